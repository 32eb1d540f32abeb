"""Control points that no fit has seen: the measured error of a registration, beside the one that it expects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.geometry import Transform
from xmatch.io.rasters.source import Header
from xmatch.registration.ground import ground_size
from xmatch.registration.hand_points import read_hand_points
from xmatch.registration.options import RegisterOptions
from xmatch.result import CheckPoints

SAME_PX = 1e-3
"""A check point this near to a tie point, in both images, is that tie point."""


def read_check_points(fixed: Header, moving: Header, options: RegisterOptions) -> Correspondences | None:
    """The points to measure by, read before the work starts; None where the options name none.

    Raises:
        InputError: the file cannot be read, holds no point, or one that is a tie point too.
    """
    if not options.check_points:
        return None
    points = read_hand_points(options.check_points, fixed, moving)
    if not len(points):
        raise InputError("holds no point to measure by", path=options.check_points)
    if options.tie_points:
        used = read_hand_points(options.tie_points, fixed, moving)
        both, other = (np.hstack([each.fixed_xy, each.moving_xy]) for each in (points, used))
        shared = (np.abs(both[:, None] - other[None]).max(axis=2, initial=0.0) < SAME_PX).any(axis=1)
        if shared.any():
            message = f"{np.count_nonzero(shared)} of its points are tie points, too: they cannot check their own map"
            raise InputError(message, path=options.check_points)
    return points


def measured(transform: Transform | None, points: Correspondences, fixed: Header) -> CheckPoints:
    """How far from their true places a map puts the points."""
    if transform is None:
        return CheckPoints(0, len(points), None, None, None)
    off = np.linalg.norm(transform(points.moving_xy) - points.fixed_xy, axis=1)
    off = off[np.isfinite(off)]
    missing = len(points) - len(off)
    if not len(off):
        return CheckPoints(0, missing, None, None, None)
    rmse = float(np.sqrt(np.mean(off**2)))
    # A point of the sample itself: between two of a few there is nothing to interpolate.
    ce90 = float(np.percentile(off, 90, method="higher"))
    ground = ground_size(fixed)
    found = CheckPoints(len(off), missing, rmse, ce90, float(off.max()))
    if ground.per_px is None:
        return found
    return replace(found, rmse_ground=rmse * ground.per_px, ce90_ground=ce90 * ground.per_px, ground_unit=ground.unit)
