"""Search over all turns, scales and shifts at once: correlation of descriptors in Fourier space.

Every turn and scale is one correlation, and each correlation tries every shift. The score of a pose is the normalised
correlation over the overlap times the square root of the overlap's area: how many standard deviations of a
chance alignment it stands above zero, up to a constant factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np

from xmatch.coords import AnyArray, Floats, Image, Mask, as_image, corners, to_centre_matrix
from xmatch.geometry.masked import resized_masked
from xmatch.geometry.matrices import apply_projective, shift_matrix
from xmatch.matchers.base import Proposal, SearchRange
from xmatch.matchers.search.descriptors import Descriptor, DescriptorMap, centred, warped
from xmatch.matchers.search.pooled_descriptors import pooled_edge_descriptors
from xmatch.matchers.search.turns_and_scales import (
    angles_within,
    is_worth_trying,
    near_place,
    near_shifts,
    scales_within,
    turn_about_centre,
)
from xmatch.raster import View

HALF_TURN = np.array([[-1.0, 0.0, 1.0], [0.0, -1.0, 1.0], [0.0, 0.0, 1.0]])

THIN = 4
"""Overlaps are reckoned at this fraction of the resolution. Not tuned: they change slowly with the shift."""

MIN_OVERLAP = 0.4
"""Share of the smaller footprint that must lie on the other image. Not tuned."""
APART = 0.08
"""Proposals whose corners lie nearer than this share of the side are one: refining takes both to the same place. Not
tuned."""
CANDIDATES = 20
"""For each proposal that is asked for, so many shifts are looked at for one that is apart from the better ones."""

Factors: TypeAlias = tuple[float, float]
"""Px or cells per view px, in x and in y."""


@dataclass(frozen=True, eq=False)
class _Correlator:
    """The fixed image's side of a correlation, transformed once and used for every pose of one size.

    Spectra are those of real images as OpenCV packs them: a correlation is then three calls that hold no lock, and
    threads pay off.
    """

    fixed: DescriptorMap
    canvas: int
    """Side of the square that the turned moving image lies in, px; a multiple of `THIN`."""

    @cached_property
    def shape(self) -> tuple[int, int]:
        return transform_shape(self.fixed.valid.shape, self.canvas)

    @cached_property
    def _spectra(self) -> list[tuple[list[Image], list[Image]]]:
        """For moving as it is, then turned by 180 degrees: spectra of the planes, and of the thinned validity.

        Correlating with a half-turned image is convolving with the image itself, displaced by its size less one.
        """
        planes, cover = cv2.split(self.fixed.planes), _thinned(self.fixed.valid)
        thin_shape, thin_canvas = self._thin_shape, self.canvas // THIN
        back, thin_back = 1 - self.canvas, 1 - thin_canvas
        plain: list[Image] = []
        displaced: list[Image] = []
        for plane, shape, by in [(p, self.shape, back) for p in planes] + [(cover, thin_shape, thin_back)]:
            padded = _padded(plane, shape)
            plain.append(as_image(cv2.dft(padded)))
            # The convolution peaks `canvas - 1` later than the correlation: take that off here, once.
            displaced.append(as_image(cv2.dft(np.roll(padded, (by, by), (0, 1)))))
        return [(plain[:-1], plain[-1:]), (displaced[:-1], displaced[-1:])]

    @property
    def _thin_shape(self) -> tuple[int, int]:
        return self.shape[0] // THIN, self.shape[1] // THIN

    def correlate(self, moving: DescriptorMap, *, half_turn: bool) -> list[Image]:
        """(H, W) score of every cyclic shift of `moving` and, if asked, of `moving` turned by 180 degrees; 0 where the
        overlap is too small. Order 2 comes back to itself after half a turn, so the second is nearly free."""
        planes = [as_image(cv2.dft(_padded(plane, self.shape))) for plane in cv2.split(moving.planes)]
        cover = [as_image(cv2.dft(_padded(_thinned(moving.valid), self._thin_shape)))]
        needed = max(1.0, MIN_OVERLAP * min(self.fixed.valid.sum(), moving.valid.sum())) / THIN**2
        scores = []
        for turned_half in (False, True) if half_turn else (False,):
            own_planes, own_cover = self._spectra[turned_half]
            score = _correlation(own_planes, planes, conjugate=not turned_half)
            # The overlap changes so slowly with the shift that a quarter of the resolution serves.
            overlap = _correlation(own_cover, cover, conjugate=not turned_half)
            weight = np.where(overlap > needed, 1 / np.sqrt(np.maximum(overlap, 1.0)), 0.0).astype(np.float32)
            weight = as_image(cv2.resize(weight, self.shape[::-1], interpolation=cv2.INTER_NEAREST))
            scores.append(as_image(cv2.multiply(score, weight)))
        return scores

    def shift(self, y: int, x: int) -> Floats:
        """(3, 3) shift that element (y, x) of a score stands for; the far half wraps round to negative shifts."""
        dx, dy = (
            n - period if n > size else n
            for n, period, size in zip((x, y), self.shape[::-1], self.fixed.valid.shape[::-1], strict=True)
        )
        return shift_matrix((dx, dy))


def canvas_side(width: float, height: float) -> int:
    """Side of the square that holds a width x height image however it is turned; a multiple of `THIN`."""
    return -(-int(np.ceil(np.hypot(width, height))) // THIN) * THIN


def transform_shape(fixed_size: Iterable[int], canvas: int) -> tuple[int, int]:
    """Rows and columns of the transforms that correlate an image of `fixed_size` (h, w) with a square canvas."""
    # Shifts that leave too little overlap may wrap around; the rest needs this much room.
    room = int((1 - MIN_OVERLAP) * canvas)
    rows, columns = (THIN * cv2.getOptimalDFTSize(-(-max(int(n) + room, canvas) // THIN)) for n in fixed_size)
    return rows, columns


def _thinned(valid: Image) -> Image:
    """Mean over blocks of THIN x THIN px."""
    height, width = (-(-n // THIN) * THIN for n in valid.shape)
    padded = np.zeros((height, width), np.float32)
    padded[: valid.shape[0], : valid.shape[1]] = valid
    return as_image(cv2.resize(padded, (width // THIN, height // THIN), interpolation=cv2.INTER_AREA))


def _padded(plane: AnyArray, shape: tuple[int, int]) -> Image:
    """`plane` in the top left of a frame of zeros."""
    height, width = plane.shape
    below, right = shape[0] - height, shape[1] - width
    return as_image(cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0.0))


def _correlation(one: list[Image], other: list[Image], *, conjugate: bool) -> Image:
    """Sum over the planes of the cyclic correlation (or, without `conjugate`, convolution) of packed spectra."""
    total = cv2.mulSpectrums(one[0], other[0], 0, conjB=conjugate)
    for a, b in zip(one[1:], other[1:], strict=True):
        total = cv2.add(total, cv2.mulSpectrums(a, b, 0, conjB=conjugate))
    return as_image(cv2.idft(total, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT))


def search(
    fixed: View,
    moving: View,
    within: SearchRange,
    *,
    side_px: float,
    angle_step_deg: float,
    scale_step: float,
    keep: int,
    threads: int = 1,
    descriptor: Descriptor = pooled_edge_descriptors,
) -> list[Proposal]:
    """The `keep` best poses of `moving` on `fixed`, best first, no two nearly alike.

    Args:
        side_px: the fixed view is reduced to side_px^2 pixels for this, and further where moving shows the same
            ground on fewer pixels; the cost grows with its square and more.
        scale_step: ratio of neighbouring scales.
        descriptor: from images to what is correlated.
    """
    reduction = side_px / np.sqrt(fixed.width * fixed.height)
    flips = (False, True) if within.mirror else (False,)
    whole = described(fixed, reduction, descriptor)

    def at_scale(scale: float) -> list[Proposal]:
        # Where moving has fewer px than fixed on the same ground, it is moving that must not be made larger.
        shrunk = reduction / max(1.0, scale)
        there, from_fixed = whole if scale <= 1 else described(fixed, shrunk, descriptor)
        size = np.array([moving.width, moving.height]) * shrunk * scale
        if not is_worth_trying(size, side_px):
            return []
        here, from_moving = described(moving, shrunk * scale, descriptor)
        extents = (moving.width, moving.height), (fixed.width, fixed.height)
        allowed = near_place(within, *extents, from_fixed) if within.near else None
        poses = _one_scale(
            there,
            here,
            from_moving,
            angles_within(within, angle_step_deg),
            flips,
            full=within.max_angle_deg > 90,
            allowed=allowed,
        )
        to_view = np.diag([1 / from_fixed[0], 1 / from_fixed[1], 1.0])
        return [Proposal(to_view @ pose.matrix, pose.score) for pose in poses]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        poses = [pose for found in pool.map(at_scale, scales_within(within, scale_step)) for pose in found]
    poses.sort(key=lambda pose: -pose.score)
    return distinct([pose for pose in poses if pose.score > 0][: CANDIDATES * keep], moving, limit=keep, apart=APART)


def described(view: View, factor: float, descriptor: Descriptor) -> tuple[DescriptorMap, Factors]:
    """Centred descriptors of the view at `factor` times its size, and cells per view px (x, y)."""
    small, (x, y) = resized(view, factor)
    return centred(descriptor(*small)), (x / descriptor.stride, y / descriptor.stride)


def distinct(poses: list[Proposal], moving: View, *, limit: int, apart: float) -> list[Proposal]:
    """The first `limit` poses whose corners lie further from all better ones than `apart` of the image's side."""
    kept: list[tuple[Floats, Proposal]] = []
    for pose in poses:
        landed = apply_projective(pose.matrix, corners(moving.width, moving.height))
        side = np.sqrt(moving.width * moving.height) * pose.scale
        if all(np.linalg.norm(landed - other, axis=1).mean() > apart * side for other, _ in kept):
            kept.append((landed, pose))
            if len(kept) == limit:
                break
    return [pose for _, pose in kept]


def reduced_size(size: Sequence[float], factor: float) -> tuple[int, int]:
    """Sides in whole px at `factor` times the size."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(view: View, factor: float) -> tuple[tuple[Image, Mask], Factors]:
    """(image, valid) of the view at `factor` times its size, and the exact factors (x, y) after rounding."""
    width, height = reduced_size((view.width, view.height), factor)
    image, cover = resized_masked(view.image, view.valid, (width, height), shrinks=factor < 1)
    return (image, cover > 0.5), (width / view.width, height / view.height)


def _one_scale(
    fixed: DescriptorMap,
    source: DescriptorMap,
    factors: Factors,
    angles_deg: Floats,
    flips: tuple[bool, ...],
    *,
    full: bool,
    allowed: tuple[Floats, float] | None,
) -> list[Proposal]:
    """Best shift for each turn of one scaled moving image, moving view px -> small fixed view px."""
    height, width = source.valid.shape
    correlator = _Correlator(fixed, canvas_side(width, height))
    mask = None
    if allowed is not None:
        mask = near_shifts(*allowed, correlator.canvas, correlator.shape, fixed.valid.shape)
    poses = []
    for flip in flips:
        for to_canvas in turn_about_centre(width, height, angles_deg, correlator.canvas, -1 if flip else 1):
            turned = warped(source, to_centre_matrix(to_canvas)[:2], (correlator.canvas, correlator.canvas))
            for half_turn, score in zip(
                (np.eye(3), HALF_TURN), correlator.correlate(turned, half_turn=full), strict=False
            ):
                if mask is not None:
                    score = np.where(mask, score, 0.0)
                _, highest, _, (x, y) = cv2.minMaxLoc(score)
                about_centre = half_turn.copy()
                about_centre[:2, 2] *= correlator.canvas
                matrix = correlator.shift(y, x) @ about_centre @ to_canvas @ np.diag([*factors, 1.0])
                poses.append(Proposal(matrix, highest))
    return poses
