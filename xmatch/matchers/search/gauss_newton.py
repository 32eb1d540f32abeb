"""From a pose that is nearly right to the best one nearby: Gauss-Newton steps on the descriptors of edges.

Inverse search (Lucas and Kanade, IJCAI 1981) with a gain between the two images' descriptors, so that what is maximised
is their normalised correlation (Evangelidis and Psarakis, PAMI 30, 2008), over similarities, coarse to fine.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xmatch.coords import AnyArray, Floats, Image, to_centre_matrix
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


class PoseRefiner:
    """Refines proposals of one pair; what belongs to the fixed view is computed once."""

    def __init__(self, fixed: View, moving: View, levels: tuple[PyramidLevel, ...] = LEVELS) -> None:
        self.moving, self.levels = moving, levels
        self._fixed: list[tuple[DescriptorMap, Floats]] = []
        self._moving: dict[tuple[PyramidLevel, tuple[int, int]], tuple[DescriptorMap, tuple[float, float]]] = {}
        for level in levels:
            reduction = min(1.5, level.side_px / np.sqrt(fixed.width * fixed.height))
            small, factors = resized(fixed, reduction)
            self._fixed.append((blurred(edge_descriptors(*small), level.blur_px), np.diag([*factors, 1.0])))

    def __call__(self, proposal: Proposal) -> Proposal:
        """The best pose nearby; its score is the normalised correlation at the finest level times the square root
        of the overlap, as `search` scores, so that refined proposals compare among themselves."""
        matrix, score = proposal.matrix, -1.0
        for level, (fixed, to_level) in zip(self.levels, self._fixed, strict=True):
            reduction = to_level[0, 0] * scale_of(matrix)
            if not 0.02 < reduction * min(self.moving.width, self.moving.height) / 16 < 1e3:
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
    height, width = fixed.valid.shape
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = xs.ravel() - width / 2, ys.ravel() - height / 2
    powers = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    best, best_score = pose, -np.inf
    damping = 1e-3
    step: AnyArray = np.zeros(4)
    system = None
    for _ in range(steps + 1):
        current = warped(moving, to_centre_matrix(pose)[:2], (width, height))
        score = correlation(fixed, current)
        if score > best_score:
            best, best_score, damping = pose, score, max(damping / 4, 1e-4)
            system = _normal_equations(fixed, current, powers)
        else:
            damping *= 16
        if system is None or damping > 10:
            break
        hessian, gradient = system
        try:
            step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-9), gradient)
        except np.linalg.LinAlgError:
            break
        # A step that would leave the neighbourhood is shortened: 3 px at the border, no more.
        reach = np.hypot(step[0], step[1]) * np.hypot(width, height) / 2 + np.hypot(step[2], step[3])
        if reach < 0.03:
            break
        step *= min(1.0, 3.0 / reach)
        pose = _moved(step, width, height) @ best
    return best, best_score


def _moved(step: AnyArray, width: int, height: int) -> Floats:
    """(3, 3) small similarity about the centre, fixed px -> fixed px, corner-counted."""
    a, b, tx, ty = step
    about = np.array([[1 + a, -b, tx], [b, 1 + a, ty], [0.0, 0.0, 1.0]])
    centre = shift_matrix((width / 2, height / 2))
    moved: Floats = centre @ about @ np.linalg.inv(centre)
    return moved


def _normal_equations(fixed: DescriptorMap, moving: DescriptorMap, powers: Image) -> tuple[Floats, Floats]:
    """Hessian (4, 4) and gradient (4,) of the gain-fitted squared difference under a small motion of `moving`."""
    weight = fixed.valid * moving.valid
    target, source = (np.stack(cv2.split(one.planes)) * weight for one in (fixed, moving))
    gain = max(float(np.vdot(target, source)) / max(float(np.vdot(source, source)), 1e-9), 0.05)
    residual = target / gain - source
    # Content moves by +d where the sampled position moves by -d.
    gx, gy = np.zeros_like(source), np.zeros_like(source)
    gx[..., 1:-1] = 0.5 * (source[..., :-2] - source[..., 2:]) * weight[:, 1:-1]
    gy[:, 1:-1] = 0.5 * (source[:, :-2] - source[:, 2:]) * weight[1:-1]
    # Position enters each product only as a factor: sum over the planes first, then against powers of x and y.
    squares = [np.einsum("chw,chw->hw", one, other).ravel() for one, other in ((gx, gx), (gx, gy), (gy, gy))]
    pulls = [np.einsum("chw,chw->hw", one, residual).ravel() for one in (gx, gy)]
    xx, xy, yy = (np.stack(squares) @ powers.T).astype(np.float64)
    px, py = (np.stack(pulls) @ powers[:3].T).astype(np.float64)
    one, x, y, x2, x_y, y2 = range(6)
    zoom = [
        xx[x2] + 2 * xy[x_y] + yy[y2],
        xy[x2] - xy[y2] + yy[x_y] - xx[x_y],
        xx[x] + xy[y],
        xy[x] + yy[y],
    ]
    turn = [zoom[1], xx[y2] - 2 * xy[x_y] + yy[x2], xy[x] - xx[y], yy[x] - xy[y]]
    hessian = np.array([zoom, turn, [zoom[2], turn[2], xx[one], xy[one]], [zoom[3], turn[3], xy[one], yy[one]]])
    return hessian, np.array([px[x] + py[y], py[x] - px[y], px[one], py[one]])
