"""Where the truth of a labelled pair comes from, and whether it can be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmatch.errors import InputError
from xmatch.estimate import ESTIMATORS
from xmatch.estimate.model import WeightedPoints
from xmatch.geometry import Transform
from xmatch.io.points.reading import TiePoints, read_tie_points
from xmatch.io.rasters.source import Header
from xmatch.io.transforms.files import read_transform
from xmatch.registration.georef_prior import georef_prior

MIN_OVERLAP = 0.05
"""Share of moving that must lie on fixed. Not tuned."""
LINE = 0.02
"""Points whose spread across is less than this part of their spread along lie on a line. Not tuned."""
LARGEST_RESIDUAL = 0.03
"""Of tie points under the map fitted to them, share of fixed's diagonal: beyond it a point was set wrongly. Not
tuned."""

KINDS_BY_COUNT = ((8, "homography"), (4, "affine"), (2, "similarity"))
"""Fewest points -> kind: a point more than each kind needs at least, as hands are not exact."""


def truth_from_file(path: Path, fixed: Header, moving: Header) -> Transform:
    """Moving px -> fixed px, from tie points (.csv, .points, .npz) or a transform (.json, .tfm).

    Raises:
        InputError: the file cannot be read, or its points do not make a map.
    """
    if path.suffix.lower() in (".json", ".tfm"):
        return read_transform(path, fixed, moving)
    points = read_tie_points(
        path, (fixed.width, fixed.height), (moving.width, moving.height), fixed.georef, moving.georef
    )
    return truth_from_points(points, np.hypot(fixed.width, fixed.height), path)


def truth_from_points(points: TiePoints, diagonal_px: float, path: Path) -> Transform:
    """The map of the freest kind that so many points carry.

    Raises:
        InputError: fewer than two points, points in one place or on one line, or one that contradicts the others.
    """
    used = np.flatnonzero(points.inliers)
    count = len(used)
    kind = next((name for least, name in KINDS_BY_COUNT if count >= least), None)
    if kind is None:
        raise InputError(f"{count} tie points; at least 2 are needed, 4 or more are better", path=path)
    found = points.correspondences[used]
    for name, xy in (("fixed", found.fixed_xy), ("moving", found.moving_xy)):
        spread = np.linalg.svd(xy - xy.mean(0), compute_uv=False)
        if spread[0] < 1e-6 * diagonal_px:
            raise InputError(f"all tie points lie in one place of the {name} image", path=path)
        if count > 2 and spread[1] < LINE * spread[0]:
            raise InputError(
                f"the {count} tie points lie on one line in the {name} image", hint="add one beside it", path=path
            )
    fitted = ESTIMATORS[kind].try_fit(WeightedPoints.of(found))
    if fitted is None:
        raise InputError(f"no {kind} goes through the {count} tie points", path=path)
    residual = np.linalg.norm(fitted(found.moving_xy) - found.fixed_xy, axis=1)
    if not (residual <= LARGEST_RESIDUAL * diagonal_px).all():
        worst = int(np.nanargmax(np.where(np.isfinite(residual), residual, np.inf)))
        row = points.rows[used[worst]]
        raise InputError(
            f"row {row} lies {residual[worst]:.0f} px off the {kind} through all {count} tie points",
            hint="are columns of fixed and moving swapped, or a point misplaced?",
            path=path,
        )
    return fitted


def truth_from_georeferencing(fixed: Header, moving: Header) -> Transform:
    """
    Raises:
        InputError: a file lacks a CRS, or the two do not overlap.
    """
    prior = georef_prior(fixed, moving)
    if prior is None:
        raise InputError("neither file is georeferenced", path=moving.path)
    return prior.transform


def check_truth(truth: Transform, fixed: Header, moving: Header) -> None:
    """
    Raises:
        InputError: the map is not defined on moving, or leads (nearly) all of it outside fixed.
    """
    nodes = np.stack(np.meshgrid(*(np.linspace(0.02, 0.98, 15) * n for n in (moving.width, moving.height))), -1)
    landed = np.asarray(truth(nodes.reshape(-1, 2)))
    if not np.isfinite(landed).all():
        raise InputError("the truth is not defined on the whole of moving: its horizon crosses the image")
    inside = ((landed > 0) & (landed < (fixed.width, fixed.height))).all(axis=1)
    if inside.mean() < MIN_OVERLAP:
        # A fixed image that is small on a large moving one holds few of these nodes.
        own = np.stack(np.meshgrid(*(np.linspace(0.02, 0.98, 15) * n for n in (fixed.width, fixed.height))), -1)
        back = np.asarray(truth.inverse(own.reshape(-1, 2)))
        shown = ((back > 0) & (back < (moving.width, moving.height))).all(axis=1)
        if shown.mean() < MIN_OVERLAP:
            low, high = landed.min(0), landed.max(0)
            raise InputError(
                f"the truth maps moving outside fixed: to x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to "
                f"{high[1]:.0f} of {fixed.width} x {fixed.height} px"
            )
