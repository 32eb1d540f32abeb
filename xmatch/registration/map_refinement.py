"""From a pose that is nearly right somewhere to the map that holds everywhere: perspective and bends, step by step.

First Gauss-Newton steps over affine maps and homographies, from coarse to fine. Then windows, from half the overlap
down to a tenth of it, each free to move around where the map so far puts it: what most of them agree on is the next
map, kept where the correlation of the images' edges rises. Bends are followed by windows that choose their places
together (`coupled_field`), from the best map so far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from xmatch.coords import Floats, Mask, corners
from xmatch.correspondences import Correspondences
from xmatch.estimate import ESTIMATORS
from xmatch.estimate.bspline import SmoothField
from xmatch.estimate.consensus import affine_consensus, homography_consensus
from xmatch.estimate.model import WeightedPoints, is_plausible
from xmatch.geometry import Linear, ThinPlateSpline, Transform, compose
from xmatch.geometry.masked import resized_masked
from xmatch.geometry.matrices import local_scale
from xmatch.geometry.outlines import finite, lattice, nodes_over
from xmatch.matchers.search.descriptors import DescriptorMap, blurred, edge_descriptors
from xmatch.matchers.search.gauss_newton import AFFINE, HOMOGRAPHY, Motion, PyramidLevel, climb, correlation
from xmatch.matchers.search.seen_through import Reduced
from xmatch.raster import View
from xmatch.registration.coupled_field import coupled_field
from xmatch.registration.tie_points import displacements, similarity_surfaces
from xmatch.registration.windows import Windows

CLIMBS: tuple[tuple[PyramidLevel, Motion], ...] = (
    (PyramidLevel(80, 3.0, 12), AFFINE),
    (PyramidLevel(100, 2.5, 12), HOMOGRAPHY),
    (PyramidLevel(160, 2.0, 12), HOMOGRAPHY),
    (PyramidLevel(240, 1.5, 12), HOMOGRAPHY),
)
"""Not tuned."""


@dataclass(frozen=True)
class WindowLevel:
    share: float
    """Side of a window, of the overlap's shorter side."""
    reach: float
    """How far it may move, the same."""
    side_px: float
    """The fixed view is reduced to side_px^2 px."""
    kinds: tuple[str, ...] = ("homography",)
    """Of maps that the windows may agree on."""


@dataclass(frozen=True)
class FieldLevel:
    windows: WindowLevel
    across: int
    """Windows along the longer side."""
    cells: int
    """Of the field's lattice along the longer side."""
    stiffness: float
    """As `SmoothField.fitted` has it."""


WINDOWS = (
    WindowLevel(0.5, 0.12, 180, ("affine",)),
    WindowLevel(0.4, 0.10, 180, ("affine", "homography")),
    WindowLevel(0.3, 0.08, 270),
    WindowLevel(0.22, 0.05, 270),
    WindowLevel(0.15, 0.03, 540),
    WindowLevel(0.1, 0.02, 540),
)
"""Not tuned."""
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
LEAST_SIDE_PX, LEAST_REACH_PX, ACROSS = 16, 4, 10
"""Of a window, and windows along the longer side. Not tuned."""
SCORED_PX = 270.0
"""Maps are compared with the fixed view reduced to so many px squared. Not tuned."""
SAMPLES = 2_000
"""Drawn for a consensus at most: windows look near the map only, so that most of them are right or none is."""
CONSENSUS = {"affine": affine_consensus, "homography": homography_consensus}
MIN_WINDOWS, MIN_SHARE = 8, 0.25
"""Windows that must agree on a map. Not tuned."""
NEARLY = 0.85
"""A map that correlates so nearly as well as the best one is followed further. Not tuned."""
HORIZON = 0.2
"""The far corner of moving may lie so many times further off than the near one: 1 over this. Not tuned."""


class MapRefiner:
    """Refines maps of one pair; what belongs to the fixed view is computed once."""

    def __init__(self, fixed: View, moving: View, *, seed: int) -> None:
        self.fixed, self.moving, self._seed = fixed, moving, seed
        self._levels: dict[tuple[float, float], tuple[DescriptorMap, Floats]] = {}

    def __call__(self, pose: Floats, *, affine_only: bool = False) -> Linear:
        """The best map nearby, an affine one or a homography; the pose itself where nothing fits better.

        Args:
            pose: (3, 3) moving view px -> fixed view px.
            affine_only: no homography.
        """
        start = Linear(pose, "affine")
        found = max((start, self._climbed(start, affine_only)), key=self.score)
        return self._by_windows(found, affine_only)

    def bent(self, start: Transform, times: int = 1) -> ThinPlateSpline | None:
        """A map that bends about one that is right to within a tenth of the overlap; None where there is too little to
        follow, or what is followed would fold.

        Args:
            times: so often each level, coarse ones first.
        """
        found: ThinPlateSpline | None = None
        for level in (level for level in FIELDS for _ in range(times)):
            bent = self._bent_at(start if found is None else found, level)
            if bent is None:
                break
            found = bent
        return found

    def finely_bent(self, start: Transform) -> ThinPlateSpline | None:
        """The same about one that bends already, by smaller windows that look less far."""
        return self._bent_at(start, FINE_FIELD)

    def _bent_at(self, around: Transform, level: FieldLevel) -> ThinPlateSpline | None:
        """The map moved by what windows around it choose together; None where that is too little, or would fold."""
        here, to_level = self._level(level.windows.side_px)
        there = self._seen(around, to_level, here)
        fitting = self._windows(here, there, level.windows, level.across)
        if fitting is None:
            return None
        windows, centres = fitting
        margin = windows.side_px // 2 + windows.reach_px + 2
        surfaces = similarity_surfaces(_padded(here, margin), _padded(there, margin), centres + margin, windows)
        height, width = here.valid.shape
        displaced = coupled_field(surfaces, centres + 0.5, SmoothField(width, height, level.cells), level.stiffness)
        places = nodes_over(width, height, FIELD_NODES)
        from_level = Linear(np.linalg.inv(to_level), "affine")
        # What the fixed image shows at a place lies displaced in moving as it is laid so far.
        moving_xy = around.inverse(from_level(places + displaced(places)))
        size = np.array([self.moving.width, self.moving.height])
        edge = MARGIN * size.max()
        kept = finite(moving_xy) & ((moving_xy > -edge) & (moving_xy < size + edge)).all(axis=1)
        if kept.sum() < MIN_WINDOWS:
            return None
        try:
            bent = ThinPlateSpline(moving_xy[kept], from_level(places[kept]))
        except ValueError:  # all in one place, or on a line
            return None
        return bent if is_plausible(bent, corners(*size)) else None

    def score(self, to_fixed: Transform) -> float:
        """Correlation of edges times the root of the overlap, as the search has it."""
        here, to_level = self._level(SCORED_PX)
        return correlation(here, self._seen(to_fixed, to_level, here))

    def _level(self, side_px: float, blur_px: float = 0.0) -> tuple[DescriptorMap, Floats]:
        """Fixed's descriptors, reduced to side_px^2 px, and (3, 3) fixed view px -> px there."""
        key = side_px, blur_px
        if key not in self._levels:
            view = self.fixed
            factor = min(1.0, side_px / np.sqrt(view.width * view.height))
            width, height = max(1, round(view.width * factor)), max(1, round(view.height * factor))
            image, cover = resized_masked(view.image, view.valid, (width, height), shrinks=factor < 1)
            to_level = np.diag([width / view.width, height / view.height, 1.0])
            self._levels[key] = blurred(edge_descriptors(image, cover > 0.5), blur_px), to_level
        return self._levels[key]

    def _seen(self, to_fixed: Transform, to_level: Floats, here: DescriptorMap, blur_px: float = 0.0) -> DescriptorMap:
        """Moving's descriptors on the grid of a level."""
        onto = compose(to_fixed, Linear(to_level, "affine"))
        reduced = Reduced(self.moving, local_scale(onto, (self.moving.width / 2, self.moving.height / 2)))
        return blurred(edge_descriptors(*reduced.through(onto, here.valid.shape[::-1])), blur_px)

    def _climbed(self, start: Linear, affine_only: bool) -> Linear:
        found = start
        for level, motion in CLIMBS:
            here, to_level = self._level(level.side_px, level.blur_px)
            onto = to_level @ found.matrix
            middle = (self.moving.width / 2, self.moving.height / 2)
            reduced = Reduced(self.moving, local_scale(Linear(onto), middle))

            def seen(
                matrix: Floats, reduced: Reduced = reduced, here: DescriptorMap = here, blur_px: float = level.blur_px
            ) -> DescriptorMap:
                return blurred(edge_descriptors(*reduced.through(Linear(matrix), here.valid.shape[::-1])), blur_px)

            try:
                matrix, _ = climb(here, seen, onto, AFFINE if affine_only else motion, level.steps)
                climbed = Linear(np.linalg.inv(to_level) @ matrix)
            except ValueError:
                break
            if not self._is_sane(climbed, start):
                break
            found = climbed
        return found

    def _by_windows(self, start: Linear, affine_only: bool) -> Linear:
        best = found = start
        best_score = self.score(start)
        for level in WINDOWS:
            ties = self._window_ties(found, level)
            if ties is None:
                continue
            points, tolerance_px = ties
            fits = [self._agreed(points, kind, tolerance_px) for kind in (("affine",) if affine_only else level.kinds)]
            scored = [(self.score(fit), fit) for fit in fits if fit is not None and self._is_sane(fit, start)]
            if not scored:
                continue
            score, fit = max(scored, key=lambda one: one[0])
            if score > NEARLY * best_score:
                found = fit
            if score > best_score:
                best, best_score = fit, score
        return best

    def _windows(
        self, here: DescriptorMap, there: DescriptorMap, level: WindowLevel, across: int
    ) -> tuple[Windows, Floats] | None:
        """Windows for what both views show, and the (N, 2) middles of them, px of the level; None of too few."""
        rows, columns = np.nonzero(here.valid * there.valid)
        if len(rows) < 100:
            return None
        shorter = float(min(np.ptp(columns), np.ptp(rows)))
        side = 2 * int(max(LEAST_SIDE_PX, level.share * shorter) // 2)
        windows = Windows(side, int(max(LEAST_REACH_PX, level.reach * shorter)), across)
        centres = _overhanging(np.asarray(here.valid * there.valid > 0), windows)
        return (windows, centres) if len(centres) >= MIN_WINDOWS else None

    def _window_ties(self, to_fixed: Transform, level: WindowLevel) -> tuple[Correspondences, float] | None:
        """Steady windows around a map, and to how many fixed view px they may be expected to agree."""
        here, to_level = self._level(level.side_px)
        there = self._seen(to_fixed, to_level, here)
        fitting = self._windows(here, there, level, ACROSS)
        if fitting is None:
            return None
        windows, centres = fitting
        margin = windows.side_px // 2 + windows.reach_px + 2
        one, other = _padded(here, margin), _padded(there, margin)
        forward, certainty = displacements(one, other, centres + margin, windows)
        size = np.array(here.valid.shape[::-1]) - 1
        landed = np.clip(np.round(centres + forward), 0, size)
        backward, _ = displacements(other, one, landed + margin, windows)
        steady = np.linalg.norm(forward + backward, axis=1) < max(1.5, 0.15 * windows.reach_px)
        fixed_xy, at = (xy / (to_level[0, 0], to_level[1, 1]) for xy in (centres + 0.5, centres + 0.5 + forward))
        moving_xy = to_fixed.inverse(at)
        kept = steady & (certainty > 0) & np.isfinite(moving_xy).all(axis=1)
        tolerance_px = max(2.0, 0.12 * windows.reach_px) / to_level[0, 0]
        return Correspondences(fixed_xy, moving_xy, certainty)[kept], tolerance_px

    def _agreed(self, ties: Correspondences, kind: str, tolerance_px: float) -> Linear | None:
        """The map of a kind that most windows agree on."""
        if len(ties) < MIN_WINDOWS:
            return None
        points = WeightedPoints.of(ties)
        inliers = CONSENSUS[kind](points, tolerance_px, self._seed, SAMPLES)
        if inliers is None or inliers.sum() < max(MIN_WINDOWS, MIN_SHARE * len(ties)):
            return None
        fitted = ESTIMATORS[kind].try_fit(points[inliers])
        return fitted if isinstance(fitted, Linear) else None

    def _is_sane(self, found: Linear, start: Linear) -> bool:
        """Whether moving lies well before the horizon, convex, and on the same side as `start` has it."""
        outline = corners(self.moving.width, self.moving.height)
        w = np.column_stack([outline, np.ones(4)]) @ found.matrix[2]
        if (w <= HORIZON * w.max()).any():
            return False
        sides = np.diff(np.vstack([found(outline), found(outline[:2])]), axis=0)
        turns = sides[:-1, 0] * sides[1:, 1] - sides[:-1, 1] * sides[1:, 0]
        return bool((turns * np.sign(np.linalg.det(start.matrix[:2, :2])) > 0).all())


def _overhanging(cover: Mask, windows: Windows) -> Floats:
    """(N, 2) centres (x, y) of windows of which more than half lies in what both images show, over its border too."""
    height, width = cover.shape
    margin = 0.3 * windows.side_px
    down = max(3, round(windows.across * height / width))
    xs, ys = (np.linspace(margin, n - margin, count) for n, count in ((width, windows.across), (height, down)))
    centres = lattice(xs, ys).reshape(-1, 2).round().clip(0, (width - 1, height - 1)).astype(int)
    box = (windows.side_px, windows.side_px)
    share = cv2.boxFilter(cover.astype(np.float32), cv2.CV_32F, box, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(centres[share[centres[:, 1], centres[:, 0]] > 0.5], np.float64)


def _padded(source: DescriptorMap, margin: int) -> DescriptorMap:
    around = ((margin, margin), (margin, margin))
    return replace(source, planes=np.pad(source.planes, (*around, (0, 0))), valid=np.pad(source.valid, around))
