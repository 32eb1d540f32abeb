"""The expected error of a confirmed map, place by place: over all that both files show."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

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
from xmatch.verification.evidence import bending_px

PLACES = 64
"""Of moving that are looked at, along its shorter side. Not tuned."""
ENOUGH = 1000
"""That lie in fixed; more of moving's are taken where it is much larger. Not tuned."""

MOST_OF_OVERLAP = 0.2
"""Share of the overlap's longer side that the expected error of an accepted map may be. Not tuned."""
VAGUE = "The map may be off by {ce90:.0f} px where the images share {overlap:.0f}: it hardly says where anything lies."


def expected_error_map(frame: FramedPair, alignment: Alignment, confirmed: ConfirmedMap) -> ErrorMap | None:
    """What the tie points of the finest resolution, and the regions, say of the map that they confirmed; None where the
    images hardly overlap."""
    step = max(1, min(frame.moving.width, frame.moving.height) // PLACES)
    fixed_xy = _overlap(frame, confirmed.transform, step)
    if len(fixed_xy) < ENOUGH and step > 1:
        fixed_xy = _overlap(frame, confirmed.transform, max(1, step // 4))
    ties = _seen(confirmed.correspondences, confirmed.steady, confirmed.transform)
    steady = alignment.regions_forward_backward_px < FORWARD_BACKWARD_PX
    regions = _seen(frame.in_files(alignment.regions), steady, confirmed.transform)
    return error_map(
        fixed_xy,
        ties,
        ties if confirmed.is_finer else regions,
        px=confirmed.px,
        bend_px=_bend_px(frame, confirmed.transform),
        ground_per_px=frame.ground.per_px,
        ground_unit=frame.ground.unit,
    )


def with_global_error(verdict: Verdict, found: ErrorMap) -> Verdict:
    """The verdict with the expected error that its map's places have as a whole; refused where the map says next to
    nothing, so large is that."""
    ce90 = global_error(found)
    rows, columns = found.ce90_px.shape
    overlap_px = max(columns * found.cell_px[0], rows * found.cell_px[1])
    if ce90 > MOST_OF_OVERLAP * overlap_px:
        reason = VAGUE.format(ce90=ce90, overlap=overlap_px)
        return replace(verdict, accepted=False, probability=min(verdict.probability, 0.5), reason=reason)
    return replace(
        verdict,
        ce90_px=ce90,
        ce90_ground=None if found.ground_per_px is None else ce90 * found.ground_per_px,
        ground_unit=found.ground_unit,
    )


def _bend_px(frame: FramedPair, transform: Transform) -> float:
    """How far a map leaves the affine one nearest to it between the views, fixed px; a homography goes on as it is."""
    if transform.matrix is not None:
        return 0.0
    return bending_px(partial(frame.between_views, transform), frame.moving) * frame.px_per_view_px


def _seen(points: Correspondences, steady: np.ndarray, transform: Transform) -> Seen:
    return Seen(points.fixed_xy, points.fixed_xy - transform(points.moving_xy), steady)


def _overlap(frame: FramedPair, transform: Transform, step: int) -> Floats:
    """(N, 2) where the map puts places of moving in the fixed file, valid in both."""
    places = pixel_centres(frame.moving.width, frame.moving.height, step=step).reshape(-1, 2)
    moving_xy = frame.moving_px(places[_is_valid(frame.moving, places)])
    fixed_xy = transform(moving_xy)
    shown = _is_valid(frame.fixed, Linear(np.linalg.inv(frame.fixed.to_pixel), "affine")(fixed_xy))
    return np.asarray(fixed_xy[shown], np.float64)


def _is_valid(view: View, xy: Floats) -> np.ndarray:
    """(N,) bool: positions (N, 2) of a view at which it shows something."""
    shown = finite(xy) & inside(xy, view.width, view.height)
    column, row = np.minimum(xy[shown], (view.width - 1, view.height - 1)).astype(int).T
    shown[shown] = view.valid[row, column]
    return shown
