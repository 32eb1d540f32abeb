"""Search over all turns, scales and shifts by what a network makes of each cell: correlation of learned fields.

The same search as `xmatch.matchers.search`, with the descriptors of a trained network in place of gradient directions.
They are not free to turn: moving is turned first and described then, once for each turn and scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from xmatch.coords import to_centre_matrix
from xmatch.matchers import Hypothesis, SearchRange
from xmatch.matchers.network import Fields, Network
from xmatch.matchers.search import MIN_OVERLAP, distinct, resized, scales_within, turn_about_centre
from xmatch.raster import View

BATCH = 6
"""Turned images described at once."""


@dataclass(frozen=True, eq=False)
class _Turned:
    """Moving, turned on a canvas of its own."""

    image: np.ndarray
    valid: np.ndarray
    from_view: np.ndarray
    """(3, 3) moving view px -> canvas px."""


def search_fields(
    network: Network,
    fixed: View,
    moving: View,
    within: SearchRange,
    *,
    side_px: float,
    angle_step_deg: float,
    scale_step: float,
    keep: int,
) -> list[Hypothesis]:
    """The `keep` best poses of `moving` on `fixed`, best first, no two nearly alike.

    The score is the mean product of the fields over the overlap times the square root of its area: how far a pose
    stands above chance.

    Args:
        side_px: neither view is described at more than side_px^2 pixels, the cost grows with its square.
        angle_step_deg: between neighbouring turns; the descriptors bear half of it.
        scale_step: ratio of neighbouring scales, likewise.
    """
    poses: list[Hypothesis] = []
    flips = (1, -1) if within.mirror else (1,)
    for scale in scales_within(within, scale_step):
        # Where moving comes out larger than fixed, both are shrunk.
        area = np.sqrt(max(fixed.width * fixed.height, moving.width * moving.height * scale**2))
        reduction = side_px / area
        (image, valid), factors = resized(fixed, reduction)
        here = network.fields([image], [valid])
        to_view = np.diag([1 / factors[0], 1 / factors[1], 1.0])
        there = [side for flip in flips for side in _turned(moving, reduction * scale, within, angle_step_deg, flip)]
        near, radius = None, 0.0
        if within.near:
            middle = (within.centre @ (moving.width / 2, moving.height / 2, 1.0))[:2] * factors
            near = middle - np.array(there[0].valid.shape[::-1]) / 2  # where the canvas then begins
            radius = within.max_shift * max(image.shape)
        for start in range(0, len(there), BATCH):
            sides = there[start : start + BATCH]
            described = network.fields([s.image for s in sides], [s.valid for s in sides])
            for side, (shift, score) in zip(
                sides, _best_shifts(here, described, here.stride / side_px, near, radius), strict=True
            ):
                poses.append(Hypothesis(to_view @ shift @ side.from_view, score))
    poses.sort(key=lambda pose: -pose.score)
    return distinct([pose for pose in poses if pose.score > 0], moving, limit=keep, apart=0.08)


def _turned(moving: View, factor: float, within: SearchRange, step_deg: float, flip: int) -> list[_Turned]:
    (image, valid), factors = resized(moving, factor)
    height, width = valid.shape
    canvas = int(np.ceil(np.hypot(height, width)))
    sides = []
    for angle in _angles(within, step_deg):
        onto = turn_about_centre(width, height, angle, canvas, flip)
        matrix = to_centre_matrix(onto)[:2]
        cover = cv2.warpAffine(valid.astype(np.float32), matrix, (canvas, canvas))
        laid = cv2.warpAffine(image * valid, matrix, (canvas, canvas)) / np.maximum(cover, 1e-3)
        sides.append(_Turned(laid, cover > 0.99, onto @ np.diag([*factors, 1.0])))
    return sides


def _angles(within: SearchRange, step_deg: float) -> np.ndarray:
    middle = np.degrees(np.arctan2(within.centre[1, 0], within.centre[0, 0]))
    if within.max_angle_deg >= 180:
        return middle + np.arange(0.0, 360.0, step_deg)
    count = max(0, int(np.ceil(within.max_angle_deg / step_deg - 0.5)))
    return middle + np.linspace(-1, 1, 2 * count + 1) * within.max_angle_deg * (count > 0)


def _best_shifts(
    fixed: Fields, moving: Fields, unit: float, centre_xy: np.ndarray | None, radius_px: float
) -> list[tuple[np.ndarray, float]]:
    """For each moving image the (3, 3) shift in px onto the fixed one that correlates best, and its score.

    Args:
        unit: what a cell's side counts in the score.
        centre_xy: shifts by more than `radius_px` from this are left out; None: all count.
    """
    shape = tuple(a + b for a, b in zip(fixed.cover.shape[1:], moving.cover.shape[1:], strict=True))

    def spectrum(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft2(x, shape)

    product = (spectrum(fixed.values) * spectrum(moving.values).conj()).sum(1)
    overlap = torch.fft.irfft2(spectrum(fixed.cover) * spectrum(moving.cover).conj(), shape)
    needed = MIN_OVERLAP * torch.minimum(fixed.cover.sum(), moving.cover.sum((1, 2)))
    allowed = overlap > needed.clamp(min=1)[:, None, None]
    if centre_xy is not None:
        y, x = (fixed.stride * _places(n, size) for n, size in zip(shape, fixed.cover.shape[1:], strict=True))
        allowed &= torch.from_numpy(np.hypot(x[None, :] - centre_xy[0], y[:, None] - centre_xy[1]) <= radius_px)
    score = torch.fft.irfft2(product, shape) / overlap.clamp(min=1).sqrt() * unit
    return [_peak(plane, fixed) for plane in torch.where(allowed, score, 0.0).numpy()]


def _places(period: int, size: int) -> np.ndarray:
    """The shifts in cells that the elements of a cyclic correlation stand for; the far ones are negative."""
    n = np.arange(period)
    return np.where(n > size, n - period, n)


def _peak(score: np.ndarray, fixed: Fields) -> tuple[np.ndarray, float]:
    height, width = score.shape
    y, x = np.unravel_index(score.argmax(), score.shape)

    def between(before: float, at: float, after: float) -> float:
        bend = before - 2 * at + after
        return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < -1e-9 else 0.0

    at = score[y, x]
    dy = between(score[(y - 1) % height, x], at, score[(y + 1) % height, x])
    dx = between(score[y, (x - 1) % width], at, score[y, (x + 1) % width])
    rows, columns = fixed.cover.shape[1:]
    y, x = _places(height, rows)[y], _places(width, columns)[x]
    shift = np.eye(3)
    shift[:2, 2] = fixed.stride * (x + dx), fixed.stride * (y + dy)
    return shift, float(at)
