"""The command line with a registration of our own making behind it.

Run as a script, it is `xmatch` for subprocess tests: XMATCH_FAKE names what `register` does.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

from xmatch.correspondences import Correspondences
from xmatch.errors import ModelError
from xmatch.geometry import Linear, similarity
from xmatch.provenance import describe
from xmatch.result import Registration, Verdict

SHIFT = similarity(angle_deg=10.0, scale=1.0, shift_px=(3.0, -2.0))


def write_image(path: Path, width: int = 48, height: int = 40, seed: int = 0) -> Path:
    """A small uint16 TIFF without symmetry: a gradient, a blob, noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(0, 20, (height, width))
    image = 1000 + 9 * x + 4 * y + 900 * np.exp(-((x - 12) ** 2 + (y - 25) ** 2) / 40) + noise
    tifffile.imwrite(path, image.astype(np.uint16))
    return path


def registration(fixed, moving, *, accepted: bool = True, transform: Linear | None = SHIFT) -> Registration:
    """A registration with nine exact correspondences and a verdict as asked for."""
    moving_xy = np.stack(np.meshgrid([5.0, 20.0, 40.0], [4.0, 18.0, 33.0]), axis=-1).reshape(-1, 2)
    found = Correspondences(SHIFT(moving_xy), moving_xy, np.linspace(0.5, 1.0, 9))
    reason = "the halves agree" if accepted else "the halves disagree"
    verdict = Verdict(accepted, 0.97 if accepted else 0.1, reason, 1.25, None, None, {"coverage": 0.5})
    return Registration(
        describe(fixed), describe(moving), transform, found, np.ones(9, bool), np.zeros(9), verdict, {"total": 0.1}
    )


def trusted(fixed, moving, options, progress=None):
    return registration(fixed, moving)


def untrusted(fixed, moving, options, progress=None):
    return registration(fixed, moving, accepted=False)


def lost(fixed, moving, options, progress=None):
    return registration(fixed, moving, accepted=False, transform=None)


def model_error(fixed, moving, options, progress=None):
    raise ModelError("the checkpoint is truncated", path="weights.safetensors")


def out_of_memory(fixed, moving, options, progress=None):
    raise MemoryError


def bug(fixed, moving, options, progress=None):
    raise ZeroDivisionError("division\nby zero")


def chatty(fixed, moving, options, progress=None):
    """As LAPACK does with numbers that are not finite: C's own stdout, which is flushed at exit."""
    ctypes.CDLL(None).puts(b" ** On entry to DLASCL parameter number  4 had an illegal value")
    return registration(fixed, moving)


def slow(*args):
    print("working", file=sys.stderr, flush=True)
    time.sleep(30)


def brief(fixed, moving, options, progress=None):
    print("working", file=sys.stderr, flush=True)
    time.sleep(0.5)
    return registration(fixed, moving)


def deaf(fixed, moving, options, progress=None):
    """As C code is that takes its time before Python's handlers run."""
    try:
        slow()
    finally:
        print("still here", file=sys.stderr, flush=True)
        time.sleep(30)


def slow_writing(fixed, moving, options, progress=None):
    """Succeeds; the report that follows the raster then takes long."""
    import xmatch.report

    xmatch.report.make_previews = slow
    return registration(fixed, moving)


BEHAVIOURS = {
    f.__name__: f
    for f in (trusted, untrusted, lost, model_error, out_of_memory, bug, chatty, slow, brief, deaf, slow_writing)
}

if __name__ == "__main__":
    import xmatch.registration.pipeline
    from xmatch.cli import main

    xmatch.registration.pipeline.register = BEHAVIOURS[os.environ.get("XMATCH_FAKE", "trusted")]
    main()
