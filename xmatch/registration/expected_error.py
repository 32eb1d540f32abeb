"""The expected error of a confirmed map, place by place: over all that both files show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.coords import Floats, pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.geometry import Linear, Transform
from xmatch.geometry.outlines import finite, inside
from xmatch.raster import View
from xmatch.registration.full_resolution import ConfirmedMap
from xmatch.registration.view_planning import FramedPair
from xmatch.result import ErrorMap, Verdict
from xmatch.verification.alignment import FORWARD_BACKWARD_PX, Alignment
from xmatch.verification.error_map import Seen, error_map, global_error

PLACES = 64
"""Of moving that are looked at, along its shorter side. Not tuned."""
ENOUGH = 1000
"""That lie in fixed; more of moving's are taken where it is much larger. Not tuned."""


def expected_error_map(frame: FramedPair, alignment: Alignment, confirmed: ConfirmedMap) -> ErrorMap | None:
    """What the tie points of the finest resolution, and the regions, say of the map that they confirmed; None where the
    images hardly overlap."""
    step = max(1, min(frame.moving.width, frame.moving.height) // PLACES)
    moving_xy, fixed_xy = _overlap(frame, confirmed.transform, step)
    if len(fixed_xy) < ENOUGH and step > 1:
        moving_xy, fixed_xy = _overlap(frame, confirmed.transform, max(1, step // 4))
    ties = _seen(confirmed.correspondences, confirmed.steady, confirmed.transform)
    steady = alignment.regions_forward_backward_px < FORWARD_BACKWARD_PX
    regions = _seen(frame.in_files(alignment.regions), steady, confirmed.transform)
    return error_map(
        moving_xy,
        fixed_xy,
        ties,
        ties if confirmed.is_finer else regions,
        px=confirmed.px,
        ground_per_px=frame.ground.per_px,
        ground_unit=frame.ground.unit,
    )


def with_global_error(verdict: Verdict, found: ErrorMap) -> Verdict:
    """The verdict with the expected error that its map's places have as a whole."""
    ce90 = global_error(found)
    return replace(
        verdict,
        ce90_px=ce90,
        ce90_ground=None if found.ground_per_px is None else ce90 * found.ground_per_px,
        ground_unit=found.ground_unit,
    )


def _seen(points: Correspondences, steady: np.ndarray, transform: Transform) -> Seen:
    return Seen(points.fixed_xy, points.fixed_xy - transform(points.moving_xy), steady)


def _overlap(frame: FramedPair, transform: Transform, step: int) -> tuple[Floats, Floats]:
    """(N, 2) places of the moving file and where the map puts them in the fixed one, valid in both."""
    places = pixel_centres(frame.moving.width, frame.moving.height, step=step).reshape(-1, 2)
    moving_xy = frame.moving_px(places[_is_valid(frame.moving, places)])
    fixed_xy = transform(moving_xy)
    shown = _is_valid(frame.fixed, Linear(np.linalg.inv(frame.fixed.to_pixel), "affine")(fixed_xy))
    return moving_xy[shown], fixed_xy[shown]


def _is_valid(view: View, xy: Floats) -> np.ndarray:
    """(N,) bool: positions (N, 2) of a view at which it shows something."""
    shown = finite(xy) & inside(xy, view.width, view.height)
    column, row = np.minimum(xy[shown], (view.width - 1, view.height - 1)).astype(int).T
    shown[shown] = view.valid[row, column]
    return shown
