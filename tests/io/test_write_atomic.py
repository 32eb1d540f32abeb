"""Old file or new file, never a part of one, whatever happens in between."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from xmatch.errors import OutputError
from xmatch.io.writing import atomic
from xmatch.io.writing.atomic import atomic_write, atomic_writes, check_target

STEPS = ["verify", "fsync", "rename"]


def fail_at(monkeypatch, name, error, count=1):
    """Raise at the `count`-th time that the step is reached."""
    reached = []

    def step(here):
        reached.append(here)
        if here == name and reached.count(name) == count:
            raise error

    monkeypatch.setattr(atomic, "step", step)


def test_the_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_write(target) as temp:
        temp.write_text("new")
        assert not target.exists() and temp.parent == tmp_path and temp.suffix == ".txt"
    assert target.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "bad"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", STEPS)
def test_a_fault_at_any_step_leaves_the_old_file_alone(tmp_path, monkeypatch, name, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    fail_at(monkeypatch, name, error)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        with atomic_write(target, overwrite=True) as temp:
            temp.write_text("new")
            temp.with_name(temp.name + ".ovr").write_text("a companion")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    if isinstance(error, OSError):
        assert caught.value.path == str(target) and caught.value.exit_code == 5


def test_a_file_that_does_not_verify_is_not_kept(tmp_path):
    def verify(path):
        if path.read_text() != "right":
            raise OutputError("holds something else", path=path)

    with pytest.raises(OutputError) as caught, atomic_write(tmp_path / "a.txt", verify=verify) as temp:
        temp.write_text("wrong")
    assert caught.value.path == str(tmp_path / "a.txt") and os.listdir(tmp_path) == []


def test_several_files_appear_together_or_not_at_all(tmp_path, monkeypatch):
    fail_at(monkeypatch, "fsync", OSError(errno.ENOSPC, "full"), count=2)
    with pytest.raises(OutputError, match="no space") as caught:
        with atomic_writes([tmp_path / "a", tmp_path / "b"]) as temps:
            for temp in temps.values():
                temp.write_text("new")
    assert caught.value.path == str(tmp_path / "b") and os.listdir(tmp_path) == []


def test_a_writer_within_an_enclosing_write_uses_its_temporary_file(tmp_path):
    with atomic_writes([tmp_path / "a.txt", tmp_path / "b.txt"]) as temps:
        with atomic_write(temps[tmp_path / "a.txt"]) as inner:
            inner.write_text("a")
        assert inner == temps[tmp_path / "a.txt"] and not (tmp_path / "a.txt").exists()
        temps[tmp_path / "b.txt"].write_text("b")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "a", "b.txt": "b"}


def test_an_existing_file_needs_overwrite_and_keeps_its_mode(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    target.chmod(0o640)
    with pytest.raises(OutputError, match="overwrite"), atomic_write(target):
        pytest.fail("must not get here")
    with atomic_write(target, overwrite=True) as temp:
        temp.write_text("new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o640


def test_a_file_that_someone_else_made_meanwhile_is_kept(tmp_path):
    with pytest.raises(OutputError, match="exists"), atomic_write(tmp_path / "a") as temp:
        temp.write_text("mine")
        (tmp_path / "a").write_text("theirs")
    assert (tmp_path / "a").read_text() == "theirs" and os.listdir(tmp_path) == ["a"]


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "there" / "real.txt")
    with atomic_write(link) as temp:
        temp.write_text("new")
    assert link.is_symlink() and (tmp_path / "there" / "real.txt").read_text() == "new"


@pytest.mark.parametrize(
    "name",
    ["ü" * 127, "a b\nc.tif", "-o.tif", "[*]?.tif", os.fsdecode(b"\xff\xfe.tif"), ".tif", "no-suffix"],
)
def test_any_name_that_the_file_system_takes_will_do(tmp_path, name):
    with atomic_write(tmp_path / name) as temp:
        temp.write_text("x")
        str(temp.name).encode()
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("link", [os.symlink, os.link, lambda source, path: None])
def test_an_input_is_never_an_output(tmp_path, link):
    source, path = tmp_path / "in.tif", tmp_path / "out.tif"
    source.write_text("pixels")
    link(source, path)
    target = path if path.exists() else tmp_path / "." / "in.tif"
    with pytest.raises(OutputError, match="input"):
        check_target(target, overwrite=True, inputs=[tmp_path / "other", source])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: (d / "a").write_text("") or d / "a" / "b" / "c.tif", "cannot be made: .*a is no directory"),
        (lambda d: f"{d}/new/", "names a folder"),
        (lambda d: d, "directory"),
        (lambda d: d / ("x" * 256), "name too long"),
        (lambda d: os.mkfifo(d / "pipe") or d / "pipe", "not a regular file"),
        (lambda d: (d / "a").write_text("") or (d / "a").chmod(0o444) or d / "a", "read-only"),
    ],
)
def test_a_target_that_cannot_be_written_is_found_before_the_work(tmp_path, make, message):
    with pytest.raises(OutputError, match=f"(?i){message}"):
        check_target(make(tmp_path), overwrite=True)


def test_a_directory_that_takes_no_file_is_found_before_the_work(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(atomic.os, "open", refuse)
    with pytest.raises(OutputError, match="Read-only file system"):
        check_target(tmp_path / "a.tif")


def test_a_disk_with_too_little_space_is_found_before_the_work(tmp_path):
    check_target(tmp_path / "a.tif", need_bytes=1)
    with pytest.raises(OutputError, match="MiB free"):
        check_target(tmp_path / "a.tif", need_bytes=1 << 60)
    assert os.listdir(tmp_path) == []


def test_two_runs_cannot_write_one_file(tmp_path):
    failures = []

    def second():
        try:
            with atomic_write(tmp_path / "a"):
                pass
        except OutputError as error:
            failures.append(error.message)

    with atomic_write(tmp_path / "a") as temp:
        temp.write_text("first")
        other = threading.Thread(target=second)
        other.start()
        other.join()
    assert failures == ["another run is writing this file"] and os.listdir(tmp_path) == ["a"]


def test_what_killed_runs_left_is_swept_and_what_living_runs_write_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [f".a.tif.{dead.pid}.0123abcd.tmp.tif", f".a.tif.{dead.pid}.0123abcd.tmp.tif.staged.tif"]
    kept = [f".a.tif.{os.getppid()}.0123abcd.tmp.tif", f".b.tif.{dead.pid}.0123abcd.tmp.tif", ".a.tif.notes.tmp"]
    for name in left + kept:
        (tmp_path / name).write_text("")
    with atomic_write(tmp_path / "a.tif") as temp:
        temp.write_text("new")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "a.tif"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_leaves_the_old_file(tmp_path, how):
    """SIGINT cleans up at once; after SIGKILL the next run does."""
    target = tmp_path / "a.txt"
    target.write_text("old")
    program = """if True:
        import sys, time
        from xmatch.io.writing.atomic import atomic_write
        with atomic_write(sys.argv[1], overwrite=True) as temp:
            temp.write_text("half")
            print("writing", flush=True)
            time.sleep(60)
    """
    run = subprocess.Popen([sys.executable, "-c", program, target], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout.readline() == b"writing\n"
    run.send_signal(how)
    run.wait(20)
    assert target.read_text() == "old"
    if how == signal.SIGINT:
        assert os.listdir(tmp_path) == ["a.txt"]
    with atomic_write(target, overwrite=True) as temp:
        temp.write_text("new")
    assert target.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_the_folder_of_a_target_is_made_with_it_and_goes_with_a_failure(tmp_path):
    target = tmp_path / "new" / "deep" / "a.txt"
    check_target(target)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ZeroDivisionError), atomic_write(target):
        1 / 0  # noqa: B018
    assert os.listdir(tmp_path) == []
    with atomic_writes([target, target.with_name("b.txt")]) as temps:
        for path, temp in temps.items():
            temp.write_text(path.name)
    assert sorted(os.listdir(target.parent)) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a") as temp:
            os.close(os.open(temp, os.O_CREAT | os.O_WRONLY, 0o600))  # as some libraries write
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
