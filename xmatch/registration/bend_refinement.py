"""From a map that is nearly right to one that bends: windows choose their places together, coarse ones first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import corners
from xmatch.estimate.bspline import SmoothField
from xmatch.estimate.model import is_plausible
from xmatch.geometry import Linear, ThinPlateSpline, Transform
from xmatch.geometry.matrices import off_affine_px
from xmatch.geometry.outlines import finite, nodes_over
from xmatch.raster import View
from xmatch.registration.coupled_windows import coupled_field
from xmatch.registration.reduced_pair import MIN_WINDOWS, ReducedPair, WindowLevel, fitting_windows, with_margin
from xmatch.registration.tie_points import similarity_surfaces
from xmatch.verification.evidence import BEND_NODES


@dataclass(frozen=True)
class FieldLevel:
    windows: WindowLevel
    across: int
    """Windows along the longer side."""
    cells: int
    """Of the field's lattice along the longer side."""
    stiffness: float
    """As `SmoothField.fitted` has it."""


FIELDS = (
    FieldLevel(WindowLevel(0.3, 0.10, 200), 12, 5, 0.3),
    FieldLevel(WindowLevel(0.2, 0.06, 270), 16, 6, 0.1),
    FieldLevel(WindowLevel(0.14, 0.03, 400), 20, 8, 0.03),
    FieldLevel(WindowLevel(0.14, 0.03, 400), 20, 8, 0.03),
)
"""On training pairs bent by 12 px five times the stiffness halves those within 2.5 px (lab log)."""
AGAIN = 2
"""Stiffness holds down what a level adds, not the whole field: where images bend, each level so often leaves two thirds
of the error that once leaves in infrared (lab log)."""
FINE_FIELD = FieldLevel(WindowLevel(0.08, 0.02, 640), 28, 16, 0.01)
"""Brings all training pairs of one sensor within 1 px; what sensors do not share it follows, too (lab log)."""
FIELD_NODES = 19
"""Control points of the spline that a field is written as, each way. Not tuned."""
MARGIN = 0.15
"""Share of moving's longer side around it in which control points lie: a field beyond the images is only continued.
Not tuned."""


class BendRefiner:
    """Refines maps of one pair by edges.

    Args:
        threads: at most so many match windows.
    """

    def __init__(self, fixed: View, moving: View, *, threads: int = 1) -> None:
        self._pair, self._threads = ReducedPair(fixed, moving), threads

    def __call__(self, start: Transform, times: int = 1, *, least_px: float = 0.0) -> ThinPlateSpline | None:
        """A map that bends about one that is right to within a tenth of the overlap; None where there is too little to
        follow, or what is followed would fold.

        Args:
            times: so often each level, coarse ones first.
            least_px: what the first level must bend by, fixed view px, for the others to be looked at.
        """
        found: ThinPlateSpline | None = None
        for level in (level for level in FIELDS for _ in range(times)):
            bent = self._at(start if found is None else found, level)
            if bent is None:
                break
            if found is None and least_px > 0 and _bends_px(bent, start, self._pair) < least_px:
                break
            found = bent
        return found

    def finely(self, start: Transform) -> ThinPlateSpline | None:
        """The same about one that bends already, by smaller windows that look less far."""
        return self._at(start, FINE_FIELD)

    def _at(self, around: Transform, wanted: FieldLevel) -> ThinPlateSpline | None:
        """The map moved by what windows around it choose together; None where that is too little, or would fold."""
        level = self._pair.level(wanted.windows.side_px)
        here, there = level.here, self._pair.seen(around, level)
        fitting = fitting_windows(here, there, wanted.windows, wanted.across)
        if fitting is None:
            return None
        windows, centres = fitting
        margin, one, other = with_margin(windows, here, there)
        surfaces = similarity_surfaces(one, other, centres + margin, windows, threads=self._threads)
        height, width = here.valid.shape
        displaced = coupled_field(surfaces, centres + 0.5, SmoothField(width, height, wanted.cells), wanted.stiffness)
        places = nodes_over(width, height, FIELD_NODES)
        from_level = Linear(np.linalg.inv(level.onto), "affine")
        # What the fixed image shows at a place lies displaced in moving as it is laid so far.
        moving_xy = around.inverse(from_level(displaced(places)))
        size = np.array([self._pair.moving.width, self._pair.moving.height])
        edge = MARGIN * size.max()
        kept = finite(moving_xy) & ((moving_xy > -edge) & (moving_xy < size + edge)).all(axis=1)
        if kept.sum() < MIN_WINDOWS:
            return None
        try:
            bent = ThinPlateSpline(moving_xy[kept], from_level(places[kept]))
        except ValueError:  # all in one place, or on a line
            return None
        return bent if is_plausible(bent, corners(*size)) else None


def _bends_px(bent: Transform, start: Transform, pair: ReducedPair) -> float:
    """How far one map leaves the affine map nearest to its way from the other one, 90th percentile over what the fixed
    view shows of moving, fixed view px."""
    places = nodes_over(pair.moving.width, pair.moving.height, BEND_NODES)
    before, after = start(places), bent(places)
    on_fixed = ((before > 0) & (before < (pair.fixed.width, pair.fixed.height))).all(axis=1)
    shown = on_fixed & finite(after)
    return off_affine_px(before[shown], after[shown]) if shown.sum() >= MIN_WINDOWS else 0.0
