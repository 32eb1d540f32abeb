"""From a pose that is nearly right to the best one nearby: Gauss-Newton steps on the descriptors of edges.

Inverse search (Lucas and Kanade, IJCAI 1981) with a gain between the two images' descriptors, so that what is maximised
is their normalised correlation (Evangelidis and Psarakis, PAMI 30, 2008), coarse to fine, over similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from xmatch.coords import Floats, Mask, corners, to_centre_matrix
from xmatch.geometry.matrices import scale_of, shift_matrix
from xmatch.matchers.base import Proposal
from xmatch.matchers.search.descriptors import DescriptorMap, agreement, blurred, edge_descriptors, warped
from xmatch.matchers.search.fourier import resized
from xmatch.raster import View


@dataclass(frozen=True)
class PyramidLevel:
    side_px: float
    """The fixed view is reduced to side_px^2 pixels."""
    blur_px: float
    """Extra smoothing of the descriptors: widens the basin of attraction."""
    steps: int


LEVELS = (PyramidLevel(120, 2.5, 12), PyramidLevel(240, 1.5, 12))
"""Not tuned."""
STEP_PX, LEAST_STEP_PX = 3.0, 0.03
"""A step moves no corner further than this, and one that moves none by more than the least is the last. Not tuned."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-4, 10.0
"""Share of the Hessian's diagonal that is added to it; where the most does not help, nothing will. Not tuned."""
RELIEF, STIFFENING = 1 / 4, 16.0
"""What the damping is multiplied by after a step that led up, and after one that did not. Not tuned."""
LEAST_GAIN = 0.05
"""Of moving's descriptors against fixed's: no less, however little they agree."""


_NO = (0.0, 0.0, 0.0)
FIELDS = np.array([[(0, 1, 0), (0, 0, 1)], [(0, 0, -1), (0, 1, 0)], [(1, 0, 0), _NO], [_NO, (1, 0, 0)]], np.float64)
"""(4, 2, 3) small motions of an image about its centre that make a similarity: for each of growing, turning and the two
shifts, what 1, x and y are multiplied by in the x and the y part of its displacement."""
POWERS = ([0, 0, 1, 0, 1, 2], [0, 1, 0, 2, 1, 0])
"""Of y and of x in 1, x, y, x^2, xy, y^2."""
PRODUCTS = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
"""Which of these the product of two of 1, x, y is."""


def reduction_at(level: PyramidLevel, width: int, height: int) -> float:
    """Px of the level a px of a fixed view of that size."""
    return float(min(1.5, level.side_px / np.sqrt(width * height)))


def can_be_seen(moving_size: ArrayLike, reduction: float) -> bool:
    """Whether moving of that size still is an image at the reduction that a pose asks for, and no monster."""
    return bool(0.02 < reduction * np.min(moving_size) / 16 < 1e3)


class PoseRefiner:
    """Refines proposals of one pair; what belongs to the fixed view is computed once."""

    def __init__(self, fixed: View, moving: View, levels: tuple[PyramidLevel, ...] = LEVELS) -> None:
        self.moving, self.levels = moving, levels
        self._fixed: list[tuple[DescriptorMap, Floats]] = []
        self._moving: dict[tuple[PyramidLevel, tuple[int, int]], tuple[DescriptorMap, tuple[float, float]]] = {}
        for level in levels:
            reduction = reduction_at(level, fixed.width, fixed.height)
            small, factors = resized(fixed, reduction)
            self._fixed.append((blurred(edge_descriptors(*small), level.blur_px), np.diag([*factors, 1.0])))

    def __call__(self, proposal: Proposal) -> Proposal:
        """The best pose nearby; its score is the normalised correlation at the finest level times the square root
        of the overlap, as `search` scores, so that refined proposals compare among themselves."""
        matrix, score = proposal.matrix, -1.0
        for level, (fixed, to_level) in zip(self.levels, self._fixed, strict=True):
            reduction = to_level[0, 0] * scale_of(matrix)
            if not can_be_seen((self.moving.width, self.moving.height), reduction):
                break
            moving, factors = self._seen(level, reduction)
            from_level = np.diag([1 / factors[0], 1 / factors[1], 1.0])
            pose, score = _climb(fixed, moving, to_level @ matrix @ from_level, level.steps)
            matrix = np.linalg.inv(to_level) @ pose @ np.linalg.inv(from_level)
        return Proposal(matrix, score)

    def _seen(self, level: PyramidLevel, reduction: float) -> tuple[DescriptorMap, tuple[float, float]]:
        """Moving's descriptors at about `reduction`, and the exact factors (x, y). A search tries few scales: kept."""
        size = round(self.moving.width * reduction), round(self.moving.height * reduction)
        if (level, size) not in self._moving:
            small, factors = resized(self.moving, reduction)
            self._moving[level, size] = blurred(edge_descriptors(*small), level.blur_px), factors
        return self._moving[level, size]


def correlation(fixed: DescriptorMap, moving_on_fixed: DescriptorMap) -> float:
    """Normalised correlation of the planes over the overlap times the square root of its area; 0 without overlap."""
    product, own, other = agreement(fixed, moving_on_fixed).sum(axis=1)
    if not own * other:
        return 0.0
    return float(product / np.sqrt(own * other) * np.sqrt(np.vdot(fixed.valid, moving_on_fixed.valid)))


def _climb(fixed: DescriptorMap, moving: DescriptorMap, pose: Floats, steps: int) -> tuple[Floats, float]:
    """The pose (3, 3) near `pose` that correlates best, px of the two maps, and its correlation."""
    height, width = fixed.valid.shape
    centre = shift_matrix((width / 2, height / 2))
    best, best_score = pose, -np.inf
    damping = FIRST_DAMPING
    system: tuple[Floats, Floats] | None = None
    for _ in range(steps + 1):
        current = warped(moving, to_centre_matrix(pose)[:2], (width, height))
        score = correlation(fixed, current)
        if score > best_score:
            best, best_score, damping = pose, score, max(damping * RELIEF, LEAST_DAMPING)
            system = _normal_equations(fixed, current)
        else:
            damping *= STIFFENING
        if system is None or damping > MOST_DAMPING:
            break
        hessian, gradient = system
        try:
            step = np.asarray(
                np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-9), gradient), np.float64
            )
        except np.linalg.LinAlgError:
            break
        # A step that would leave the neighbourhood is shortened.
        reach = _reach_px(step, width, height)
        if reach < LEAST_STEP_PX:
            break
        step *= min(1.0, STEP_PX / reach)
        pose = centre @ motion(step) @ np.linalg.inv(centre) @ best
    return best, best_score


def motion(step: Floats) -> Floats:
    """(3, 3) the similarity by `step` (4,) times `FIELDS`."""
    moved = np.eye(3)
    moved[:2] += np.tensordot(step, FIELDS, 1)[:, [1, 2, 0]]
    return moved


def _reach_px(step: Floats, width: int, height: int) -> float:
    """How far the step moves a corner of the image at most."""
    xy = corners(width, height) - (width / 2, height / 2)
    by = np.tensordot(step, FIELDS, 1)
    return float(np.hypot(*(by[:, 1:] @ xy.T)).max() + np.hypot(*by[:, 0]))


def _normal_equations(fixed: DescriptorMap, moving: DescriptorMap) -> tuple[Floats, Floats]:
    """Hessian (4, 4) and gradient (4,) of the gain-fitted squared difference under small motions of `moving`."""
    weight = fixed.valid * moving.valid
    height, width = weight.shape
    # Beyond what both show, and a px around it for gradients, all is 0.
    rows, columns = (_span(np.asarray(weight.any(axis=axis))) for axis in (1, 0))
    # The planes of a px stay beside each other in memory: to part them takes as long as all the rest.
    step = fixed.planes.shape[2]
    weight = np.repeat(weight[rows, columns], step, axis=1)
    beside = slice(step * columns.start, step * columns.stop)
    target, source = (cv2.multiply(one.planes.reshape(height, -1)[rows, beside], weight) for one in (fixed, moving))
    gain = max(float(np.vdot(target, source)) / max(float(np.vdot(source, source)), 1e-9), LEAST_GAIN)
    inner = np.s_[1:-1, step:-step]
    residual = cv2.addWeighted(target[inner], 1 / gain, source[inner], -1.0, 0.0)
    # Content moves by +d where the sampled position moves by -d.
    falls = (
        cv2.subtract(source[1:-1, : -2 * step], source[1:-1, 2 * step :]),
        cv2.subtract(source[:-2, step:-step], source[2:, step:-step]),
    )
    gx, gy = (cv2.multiply(fall, weight[inner], scale=0.5) for fall in falls)
    # Position enters each product only as a factor: sums against powers of x and y, over all planes alike.
    exponents = np.arange(3)[:, None]
    x, y = (np.arange(n, dtype=np.float32)[of][1:-1] - n / 2 for n, of in ((width, columns), (height, rows)))
    down, across = ((at**exponents).astype(np.float32) for at in (y, np.repeat(x, step)))
    products = ((gx, gx), (gx, gy), (gy, gy), (gx, residual), (gy, residual))
    moments = np.stack([down @ cv2.multiply(one, other) @ across.T for one, other in products]).astype(np.float64)
    by_power = moments[:, *POWERS]
    xx, xy, yy = by_power[:3, PRODUCTS]
    pull = by_power[3:, :3].ravel()
    fields = FIELDS.reshape(4, 6)
    hessian: Floats = fields @ np.block([[xx, xy], [xy, yy]]) @ fields.T
    return hessian, fields @ pull


def _span(any_there: Mask) -> slice:
    """From a px before the first to a px after the last."""
    where = np.flatnonzero(any_there)
    return slice(max(0, where[0] - 1), min(len(any_there), where[-1] + 2)) if len(where) else slice(0, len(any_there))
