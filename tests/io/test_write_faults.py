"""Disk full, I/O errors, Ctrl-C and kill -9 at every step of a write: the old output or the new one, nothing else."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from memory_source import MemorySource

from xmatch.correspondences import Correspondences
from xmatch.errors import OutputError
from xmatch.geometry import homography, translation
from xmatch.io.points.writing import write_points
from xmatch.io.transforms.files import TRANSFORM_WRITERS
from xmatch.io.transforms.itk_space import PhysicalSpace
from xmatch.io.writing import atomic
from xmatch.raster import Grid
from xmatch.resampling.registered_file import write_registered
from xmatch.result import Registration, Verdict

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

GRID = Grid(700, 300)
MOVING = MemorySource(np.random.default_rng(0).integers(1, 65535, (300, 700), dtype=np.uint16))
BEND = homography([[1.1, 0.1, 2], [0.05, 0.9, 5], [1e-5, 5e-6, 1]])


def points(path):
    found = Correspondences(np.ones((3, 2)), np.ones((3, 2)), np.ones(3))
    told = Registration({}, {}, None, found, np.ones(3, bool), np.zeros(3), Verdict(True, 1, ""))
    write_points(path, "csv", told, overwrite=True)


WRITERS = {
    "cog": lambda path: write_registered(path, MOVING, translation(0, 0), GRID, overwrite=True),
    "ome": lambda path: write_registered(
        path, MOVING, translation(0, 0), Grid(700, 300, medical=True), overwrite=True, threads=2
    ),
    "tfm": lambda path: TRANSFORM_WRITERS["tfm"](path, BEND, MOVING, MOVING, overwrite=True),
    "displacement": lambda path: TRANSFORM_WRITERS["displacement"](path, BEND, MOVING, MOVING, overwrite=True),
    "points": points,
}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "bad"), KeyboardInterrupt()])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_fault_at_any_step_keeps_the_old_output(tmp_path, monkeypatch, kind, error):
    """Every step that the writer passes fails once."""
    target = tmp_path / ("out.tfm" if kind == "tfm" else "out.tif")
    reached = []
    monkeypatch.setattr(atomic, "step", reached.append)
    monkeypatch.setattr("xmatch.io.transforms.itk.space_of", lambda header: PhysicalSpace())
    WRITERS[kind](target)
    steps = len(reached)
    assert {"verify", "fsync", "rename"} <= set(reached) and ("block" in reached) == (
        kind in ("cog", "ome", "displacement")
    )
    target.write_text("old")
    for failing in range(1, steps + 1):
        passed = []

        def step(name, passed=passed, failing=failing):
            passed.append(name)
            if len(passed) == failing:
                raise error

        monkeypatch.setattr(atomic, "step", step)
        with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
            WRITERS[kind](target)
        assert target.read_text() == "old" and os.listdir(tmp_path) == [target.name], passed[-1]
        if isinstance(error, OSError):
            assert caught.value.path == str(target)


PROGRAM = """if True:
    import sys
    import numpy as np
    sys.path.insert(0, sys.argv[2])
    from memory_source import MemorySource
    from xmatch.errors import OutputError
    from xmatch.io.writing import atomic
    from xmatch.raster import Grid
    from xmatch.geometry import translation
    from xmatch.resampling.registered_file import write_registered

    noise = np.random.default_rng(0).integers(1, 60000, (700, 900), dtype=np.uint16)

    def write(offset):
        moving = MemorySource(noise + np.uint16(offset))
        write_registered(sys.argv[1], moving, translation(0, 0), Grid(900, 700), overwrite=True)
"""


def started(program, *args, before=()):
    here = os.path.dirname(os.path.dirname(__file__))
    command = [*before, sys.executable, "-W", "ignore", "-c", PROGRAM + program, *map(str, args[:1]), here]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_at_random_moments_it_leaves_the_old_file_or_the_new_one(tmp_path):
    target = tmp_path / "out.tif"
    wait = random.Random(0)
    # One process loads what takes long to load; each of its children writes until it is killed.
    forking = """
    import os
    for _ in range(5):
        if not os.fork():
            write(0)
            print(os.getpid(), flush=True)
            for offset in range(1, 10**6):
                write(offset)
        os.wait()
        print("killed", flush=True)
    """
    noise = np.random.default_rng(0).integers(1, 60000, (700, 900), dtype=np.uint16)
    left_something = 0
    run = started(forking, target)
    for _ in range(5):
        writing = int(run.stdout.readline())
        time.sleep(wait.uniform(0, 0.5))
        os.kill(writing, signal.SIGKILL)
        assert run.stdout.readline() == "killed\n"
        with rasterio.open(target) as file:
            difference = file.read(1) - noise
        assert (difference == difference[0, 0]).all()
        left_something += len(os.listdir(tmp_path)) > 1
    assert run.wait(60) == 0
    assert left_something, "no kill hit a write: the test shows nothing"
    WRITERS["cog"](target)
    assert os.listdir(tmp_path) == ["out.tif"]


def has_mounts():
    return os.geteuid() == 0 and shutil.which("unshare") and not subprocess.run(["unshare", "-m", "true"]).returncode


@pytest.mark.skipif(not has_mounts(), reason="needs to mount a small disk")
def test_a_full_disk_is_noticed_even_when_gdal_keeps_silent(tmp_path):
    """1.2 MB of pixels; the disk fills while staging, while copying to COG, or while the overviews are made."""
    disk = tmp_path / "disk"
    disk.mkdir()
    program = """
    import os, shutil, subprocess
    known, enough = shutil.disk_usage, shutil._ntuple_diskusage(2**40, 0, 2**40)
    open(sys.argv[1], "w").write("old")
    for usage in known, lambda path: enough:
        atomic.shutil.disk_usage = usage
        for size in "400k", "1500k", "2600k":
            subprocess.run(["mount", "-o", f"remount,size={size}", os.path.dirname(sys.argv[1])], check=True)
            try:
                write(1)
                print("written")
            except OutputError as error:
                print("refused", error.exit_code == 5, error.path == sys.argv[1], end=": ")
            print(open(sys.argv[1]).read(3), os.listdir(os.path.dirname(sys.argv[1])))
    """
    mount = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    run = started(program, disk / "out.tif", before=["unshare", "-m", "sh", "-c", mount, str(disk)])
    out, err = run.communicate(timeout=60)
    assert out == 6 * "refused True True: old ['out.tif']\n", err
