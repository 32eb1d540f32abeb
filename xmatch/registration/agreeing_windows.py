"""Do windows of two images agree on any map around a pose? Where the largest ones do not, there is none to be found."""

from __future__ import annotations

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.estimate import ESTIMATORS
from xmatch.estimate.consensus import affine_consensus, homography_consensus
from xmatch.estimate.model import WeightedPoints
from xmatch.geometry import Linear, Transform
from xmatch.registration.reduced_pair import MIN_WINDOWS, ReducedPair, WindowLevel, fitting_windows, with_margin
from xmatch.registration.tie_points import displacements

ACROSS = 10
"""Windows along the longer side. Not tuned."""
SAMPLES = 2_000
"""Drawn for a consensus at most: windows look near the map only, so that most of them are right or none is."""
CONSENSUS = {"affine": affine_consensus, "homography": homography_consensus}
MIN_SHARE = 0.25
"""Of the windows must agree on a map. Not tuned."""
LARGEST = WindowLevel(0.5, 0.12, 180), WindowLevel(0.4, 0.10, 180)
"""Of training pairs seen from aside, one of these agrees around 17 of 19 poses within 35 px of the truth (the other two
were refined to nothing) and around 7 of 15 further off; of unrelated images, around 10 of 43 (lab log)."""


def holds_somewhere(pair: ReducedPair, start: Linear, *, seed: int, threads: int) -> bool:
    """Whether the largest windows around a map, moving view px -> fixed view px, agree on an affine one."""
    found = (window_ties(pair, start, level, threads=threads) for level in LARGEST)
    return any(ties is not None and agreed(*ties, "affine", seed) is not None for ties in found)


def window_ties(
    pair: ReducedPair, to_fixed: Transform, wanted: WindowLevel, *, threads: int
) -> tuple[Correspondences, float] | None:
    """Steady windows around a map, and to how many fixed view px they may be expected to agree."""
    level = pair.level(wanted.side_px)
    here, there = level.here, pair.seen(to_fixed, level)
    fitting = fitting_windows(here, there, wanted, ACROSS)
    if fitting is None:
        return None
    windows, centres = fitting
    margin, one, other = with_margin(windows, here, there)
    forward, certainty = displacements(one, other, centres + margin, windows, threads=threads)
    last = np.array(here.valid.shape[::-1]) - 1
    landed = np.clip(np.round(centres + forward), 0, last)
    backward, _ = displacements(other, one, landed + margin, windows, threads=threads)
    steady = np.linalg.norm(forward + backward, axis=1) < max(1.5, 0.15 * windows.reach_px)
    reduction = level.onto[0, 0], level.onto[1, 1]
    fixed_xy, at = (xy / reduction for xy in (centres + 0.5, centres + 0.5 + forward))
    moving_xy = to_fixed.inverse(at)
    kept = steady & (certainty > 0) & np.isfinite(moving_xy).all(axis=1)
    tolerance_px = max(2.0, 0.12 * windows.reach_px) / reduction[0]
    return Correspondences(fixed_xy, moving_xy, certainty)[kept], tolerance_px


def agreed(ties: Correspondences, tolerance_px: float, kind: str, seed: int) -> Linear | None:
    """The map of a kind that most windows agree on."""
    if len(ties) < MIN_WINDOWS:
        return None
    points = WeightedPoints.of(ties)
    inliers = CONSENSUS[kind](points, tolerance_px, seed, SAMPLES)
    if inliers is None or inliers.sum() < max(MIN_WINDOWS, MIN_SHARE * len(ties)):
        return None
    fitted = ESTIMATORS[kind].try_fit(points[inliers])
    return fitted if isinstance(fitted, Linear) else None
