"""Signals and pipes need a process of their own."""

import json
import os
import signal
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def working(process) -> None:
    """Wait until `register` is at work."""
    assert process.stderr.readline() == b"working\n"


def ends(process) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)], ids=lambda x: str(x)
)
def test_a_signal_ends_the_run_cleanly(spawn, tmp_path, number, code):
    process = spawn("register", "optical.tif", "sar.tif", "--json", fake="slow")
    working(process)
    process.send_signal(number)
    returned, out, err = ends(process)
    assert returned == code
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert err.count(b"\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["optical.tif", "sar.tif"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=lambda x: str(x))
def test_a_signal_while_writing_takes_the_temporary_files_along(spawn, tmp_path, number, code):
    process = spawn("register", "optical.tif", "sar.tif", fake="slow_writing")
    working(process)
    assert any(".tmp" in path.name for path in tmp_path.iterdir())
    process.send_signal(number)
    assert ends(process)[0] == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["optical.tif", "sar.tif"]


def test_a_run_that_was_killed_while_writing_is_swept_up_by_the_next(spawn, tmp_path):
    process = spawn("register", "optical.tif", "sar.tif", fake="slow_writing")
    working(process)
    process.kill()
    ends(process)
    assert not (tmp_path / "sar.registered.tif").exists()
    assert ends(spawn("register", "optical.tif", "sar.tif"))[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir() if ".tmp" in path.name) == []


def test_the_second_ctrl_c_ends_at_once(spawn):
    process = spawn("register", "optical.tif", "sar.tif", fake="deaf")
    working(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == b"still here\n"
    process.send_signal(signal.SIGINT)
    assert ends(process)[0] == -signal.SIGINT


def test_under_nohup_a_hangup_is_ignored(spawn):
    process = spawn("register", "optical.tif", "sar.tif", fake="brief", shell='trap "" HUP; exec "$0" "$@"')
    working(process)
    process.send_signal(signal.SIGHUP)
    assert ends(process)[0] == 0


def test_a_reader_that_left_is_no_drama(spawn):
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = spawn("register", "optical.tif", "sar.tif", "--json", "-q", stdout=write_end)
    os.close(write_end)
    returned, _, err = ends(process)
    assert (returned, err) == (5, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_libraries_print_ends_on_stderr(spawn, unbuffered):
    env = {"PYTHONUNBUFFERED": unbuffered}
    returned, out, err = ends(spawn("register", "optical.tif", "sar.tif", "--json", fake="chatty", env=env))
    assert returned == 0 and json.loads(out)["ok"] and b"DLASCL" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_an_output_problem(spawn):
    with open("/dev/full", "wb") as full:
        returned, _, err = ends(spawn("register", "optical.tif", "sar.tif", "--json", "-q", stdout=full))
    assert returned == 5
    assert err.count(b"\n") == 1


def test_closed_standard_streams_do_not_crash(spawn, tmp_path):
    closed = '"$0" "$@" <&- >&- 2>&-'
    assert ends(spawn("register", "optical.tif", "sar.tif", shell=closed))[0] == 0
    assert (tmp_path / "sar.registered.tif").exists()
    assert ends(spawn("register", "optical.tif", "sar.tif", "--overwrite", "--json", shell=closed))[0] == 5


def test_a_name_that_is_not_utf8_survives(spawn, tmp_path):
    name = b"caf\xe9.tif"
    os.rename(tmp_path / "sar.tif", os.fsencode(tmp_path) + b"/" + name)
    returned, out, _ = ends(spawn(b"register", b"optical.tif", name, "--json"))
    assert returned == 0
    assert os.fsencode(json.loads(out)["output"]) == b"caf\xe9.registered.tif"
    assert os.path.exists(os.fsencode(tmp_path) + b"/caf\xe9.registered.tif")


@pytest.mark.parametrize(
    "env",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "20"}, {"TERM": "dumb"}],
    ids=["poor locale, narrow", "dumb"],
)
@pytest.mark.parametrize(
    "args", [["register", "--help"], ["register", "optical.tif", "none.tif"]], ids=["help", "error"]
)
def test_poor_terminals_do_not_crash(spawn, env, args):
    returned, out, err = ends(spawn(*args, env=env))
    assert returned == (0 if "--help" in args else 3)
    assert b"\x1b" not in out + err and b"Traceback" not in err


def test_a_plan_in_a_poor_locale_escapes_what_it_cannot_say(spawn, tmp_path):
    os.rename(tmp_path / "sar.tif", tmp_path / "\u00e9t\u00e9.tif")
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    returned, out, _ = ends(spawn("register", "optical.tif", "\u00e9t\u00e9.tif", "--dry-run", env=env))
    assert returned == 0 and out.isascii() and b"registered.tif" in out


def on_a_terminal(spawn, *args, **env) -> tuple[int, bytes]:
    import pty

    leader, follower = pty.openpty()
    process = spawn(*args, stdout=follower, stderr=follower, env=env)
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # Linux says EIO when the last writer is gone
            chunk = b""
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    return process.wait(60), seen


def test_a_progress_bar_appears_on_a_terminal(spawn):
    code, seen = on_a_terminal(spawn, "register", "optical.tif", "sar.tif", TERM="xterm", COLUMNS="80")
    assert code == 0 and b"\x1b[" in seen and b"trusted" in seen


def test_a_dumb_terminal_gets_no_control_codes(spawn):
    code, seen = on_a_terminal(spawn, "register", "optical.tif", "sar.tif", TERM="dumb")
    assert code == 0 and b"\x1b" not in seen and b"trusted" in seen


def test_no_color_is_honoured_and_twenty_columns_suffice(spawn):
    terminal = {"TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "20"}
    code, seen = on_a_terminal(spawn, "register", "optical.tif", "sar.tif", **terminal)
    assert code == 0 and b"Traceback" not in seen
    assert b"\x1b[3" not in seen and b"\x1b[9" not in seen


def test_two_runs_do_not_write_one_file_at_once(spawn, tmp_path):
    first = spawn("register", "optical.tif", "sar.tif", fake="slow_writing")
    working(first)
    returned, _, err = ends(spawn("register", "optical.tif", "sar.tif"))
    assert returned == 5 and b"another run" in err
    first.kill()
