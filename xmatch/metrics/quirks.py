"""Oddities of published protocols, by name, for printing numbers beside theirs. Nothing else in xmatch uses them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np

from xmatch.coords import corners
from xmatch.errors import UsageError
from xmatch.geometry import Transform
from xmatch.metrics.distances import distances_px

QUIRKS: dict[str, str] = {
    "minima-corner-order": "the mapped corners are sorted by x + y and y - x before they are compared, which forgives "
    "quarter turns and mirrors (MINIMA's homography tests)",
    "minima-inner-corners": "corners are the centres of the outermost pixels, 0..W-1 counted from a centre, not the "
    "outer edges (MINIMA's homography tests)",
    "minima-path-seed": "a pair's random warp is seeded by SHA-256 of its path as it was spelled (`minima_path_seed`)",
    "superglue-focal-mean": "the mean focal length takes fx of fixed and fy of moving twice each "
    "(`superglue_mean_focal_px`)",
}
"""name -> what it does, and in which code."""


def quirky_corner_error_px(
    estimate: Transform | None, truth: Transform, width: int, height: int, quirks: Collection[str]
) -> float:
    """`corner_error_px` with the "minima-" quirks of corners that are named; with none of them it is the same number.

    "minima-corner-order": of four points p, the first is the one with the least x + y, then the least y - x, the most
    x + y, the most y - x; it takes one corner twice when corners tie. "minima-inner-corners": the four
    points are (0.5, 0.5) ... (W - 0.5, H - 0.5). MINIMA (Ren et al. 2025), its test_relative_homo_*.py.

    Raises:
        UsageError: a name that is not in `QUIRKS`.
    """
    unknown = sorted(set(quirks) - QUIRKS.keys())
    if unknown:
        raise UsageError(f"no quirk is called {', '.join(unknown)}", hint=f"known: {', '.join(QUIRKS)}")
    if estimate is None:
        return float("inf")
    points = corners(width, height)
    if "minima-inner-corners" in quirks:
        points = corners(width - 1, height - 1) + 0.5
    mapped = [transform(points) for transform in (estimate, truth)]
    if "minima-corner-order" in quirks and all(np.isfinite(xy).all() for xy in mapped):
        mapped = [_in_minima_order(xy) for xy in mapped]
    return float(distances_px(*mapped).mean())


def _in_minima_order(xy: np.ndarray) -> np.ndarray:
    along, across = xy[:, 0] + xy[:, 1], xy[:, 1] - xy[:, 0]
    return xy[[along.argmin(), across.argmin(), along.argmax(), across.argmax()]]


def minima_path_seed(path: str) -> int:
    """The seed of numpy's and Python's generators for the warp of a pair: SHA-256 of the path, modulo 2^32.

    MINIMA's synthetic homographies (depth, event) depend on how the path was spelled: "data/x" and "./data/x" are
    warped differently.
    """
    return int(hashlib.sha256(path.encode()).hexdigest(), 16) % 2**32


def superglue_mean_focal_px(fixed_intrinsics: np.ndarray, moving_intrinsics: np.ndarray) -> float:
    """(fx_fixed + fy_moving) / 2, px: what SuperGlue's `estimate_pose` divides thresholds by, and LoFTR's after it.

    Its list of four reads K0[0, 0], K1[1, 1], K0[0, 0], K1[1, 1]. Hand it to `estimate_relative_pose` as `focal_px`.
    """
    return float((fixed_intrinsics[0][0] + moving_intrinsics[1][1]) / 2)
