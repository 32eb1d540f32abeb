"""Which of a pair's proposals is right? Do structure and intensities agree there more than they would elsewhere?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from xmatch.coords import Floats, Image, Mask, as_image, to_centre_matrix
from xmatch.geometry import Linear, Transform, compose
from xmatch.geometry.matrices import local_scale, scale_of
from xmatch.matchers.search.descriptors import Descriptor, DescriptorMap, agreement, centred, edge_descriptors, warped
from xmatch.matchers.search.fourier import resized
from xmatch.matchers.search.seen_through import seen_through
from xmatch.ops.batching import together
from xmatch.raster import View
from xmatch.verification.judge_settings import (
    BINS,
    FULL_COVER,
    LEARNED,
    MIN_OVERLAP_PX,
    NAMES,
    SHIFTS,
    SIDE_PX,
)
from xmatch.verification.measures import JUDGED_RANGES


class ProposalJudge:
    """Measures alignments of one pair; what belongs to the fixed view is computed once.

    Args:
        descriptor: a further one to measure by, if there is one.
        device: where poses are measured; maps are on the CPU.
    """

    def __init__(
        self,
        fixed: View,
        moving: View,
        descriptor: Descriptor | None = None,
        side_px: float = SIDE_PX,
        device: str = "cpu",
    ) -> None:
        self.moving, self._descriptor, self._side_px = moving, descriptor, side_px
        self._fixed, self._device = fixed, device
        reduction = side_px / np.sqrt(fixed.width * fixed.height)
        self._small, factors = resized(fixed, reduction)
        self._edges = edge_descriptors(*self._small)
        self._to_level = np.diag([*factors, 1.0])
        self._learned = None if descriptor is None else centred(descriptor(*self._small))

    def __call__(self, to_fixed: Floats | Transform) -> dict[str, float]:
        """Measures of a pose (3, 3) or a map of any kind, moving view px -> fixed view px; all 0 without overlap.

        The names are `NAMES`, and with a descriptor `LEARNED` besides.
        """
        return self._of_pose(to_fixed) if isinstance(to_fixed, np.ndarray) else self._of_map(to_fixed)

    def each(self, matrices: Sequence[Floats], threads: int = 1) -> list[dict[str, float]]:
        """Of several poses: all at once on a device, otherwise by so many threads."""
        if self._device == "cpu" or not matrices:
            with ThreadPoolExecutor(max(1, threads)) as pool:
                return list(pool.map(self, matrices))
        from xmatch.verification.judge_on_device import measured_of_pairs

        asked = [(self._fixed, self.moving, np.stack(matrices))]
        (found,) = together(measured_of_pairs, asked, self._side_px, self._device)
        if self._learned is None:
            return found
        return [
            measures | (self._by_descriptor(*self._at_level(matrix)) if any(measures.values()) else self._nothing)
            for measures, matrix in zip(found, matrices, strict=True)
        ]

    def _of_pose(self, matrix: Floats) -> dict[str, float]:
        """Moving's descriptors are made at its own grid and turned: what the weights were fitted to."""
        if self._device != "cpu":
            return self.each([matrix])[0]
        small, onto = self._at_level(matrix)
        size = self._small[0].shape[1], self._small[0].shape[0]
        seen = as_image(cv2.warpAffine(small[0], onto, size, flags=cv2.INTER_LINEAR))
        cover = as_image(cv2.warpAffine(small[1].astype(np.float32), onto, size)) > FULL_COVER
        if not self._overlaps(cover):
            return self._nothing
        moved = warped(edge_descriptors(*small), onto, size)
        return self._measured(seen, cover, int(small[1].sum()), moved) | self._by_descriptor(small, onto)

    def _at_level(self, matrix: Floats) -> tuple[tuple[Image, Mask], Floats]:
        """Moving at the scale that the pose gives it, and where the small fixed view has it, (2, 3) centre-counted."""
        small, factors = resized(self.moving, self._to_level[0, 0] * scale_of(matrix))
        pose = self._to_level @ matrix @ np.diag([1 / factors[0], 1 / factors[1], 1.0])
        return small, to_centre_matrix(pose)[:2]

    def _of_map(self, to_fixed: Transform) -> dict[str, float]:
        """Moving is resampled first: no one turn and scale holds for all of it."""
        size = self._small[0].shape[1], self._small[0].shape[0]
        seen, cover = seen_through(self.moving, compose(to_fixed, Linear(self._to_level, "affine")), size, FULL_COVER)
        if not self._overlaps(cover):
            return self._nothing
        middle = (self.moving.width / 2, self.moving.height / 2)
        scale = local_scale(to_fixed, middle) * self._to_level[0, 0]
        measures = self._measured(seen, cover, int(self.moving.valid.sum() * scale**2), edge_descriptors(seen, cover))
        if self._learned is None or self._descriptor is None:
            return measures
        return measures | self._learned_measures(centred(self._descriptor(seen, cover)))

    def _overlaps(self, cover: Mask) -> bool:
        return int((self._small[1] & cover).sum()) >= MIN_OVERLAP_PX

    @property
    def _nothing(self) -> dict[str, float]:
        return dict.fromkeys(NAMES if self._learned is None else NAMES + LEARNED, 0.0)

    def _measured(self, seen: Image, cover: Mask, moving_px: int, moved: DescriptorMap) -> dict[str, float]:
        """`NAMES` of moving on the grid of the small fixed view.

        Args:
            moving_px: valid px that all of moving would have there.
            moved: its descriptors.
        """
        image, valid = self._small
        both = valid & cover
        fixed_codes, moving_codes = _codes(image, both) * BINS, _codes(seen, both)
        information = _information((fixed_codes + moving_codes)[both])
        shifted = np.array([_information_shifted(fixed_codes, valid, moving_codes, cover, shift) for shift in SHIFTS])
        elsewhere, spread = shifted.mean(), shifted.std() + 0.005
        at_shifts = np.array([_agreement(self._edges, _rolled(moved, shift)) for shift in SHIFTS])
        order2, order4 = _agreement(self._edges, moved)
        smaller = min(int(valid.sum()), moving_px)
        return {
            "structure": order2 - at_shifts[:, 0].mean(),
            "structure_fine": order4 - at_shifts[:, 1].mean(),
            "structure_z": (order2 - at_shifts[:, 0].mean()) * np.sqrt(both.sum()),
            "structure_gain": (order2 - at_shifts[:, 0].max()) * np.sqrt(both.sum()),
            "information": information,
            "information_gain": (information - elsewhere) / max(elsewhere, 0.02),
            "information_z": (information - elsewhere) / spread,
            "overlap": float(both.sum() / smaller),
        }

    def _by_descriptor(self, small: tuple[Image, Mask], onto: Floats) -> dict[str, float]:
        """`LEARNED`: how much better the descriptors agree here than elsewhere."""
        if self._learned is None or self._descriptor is None:
            return {}
        cells = onto.copy()
        # Pixel centres -> cell centres: cell k covers the pixels from k times the stride.
        stride = self._descriptor.stride
        middle = (stride - 1) / 2
        cells[:, 2] = (onto[:, :2].sum(axis=1) * middle + onto[:, 2] - middle) / stride
        valid = self._learned.valid
        return self._learned_measures(warped(centred(self._descriptor(*small)), cells, valid.shape[::-1]))

    def _learned_measures(self, moved: DescriptorMap) -> dict[str, float]:
        """`LEARNED` of moving's descriptors in the cells of fixed's."""
        assert self._learned is not None and self._descriptor is not None
        stride, valid = self._descriptor.stride, self._learned.valid
        here = _agreement_in_all(self._learned, moved)
        around = [
            _agreement_in_all(self._learned, _rolled(moved, (round(x / stride), round(y / stride)))) for x, y in SHIFTS
        ]
        root = float(np.sqrt((valid * moved.valid).sum()))
        return {
            "drawn": here - float(np.mean(around)),
            "drawn_z": (here - float(np.mean(around))) * root,
            "drawn_gain": (here - float(np.max(around))) * root,
        }

    def log_odds(self, measures: dict[str, float]) -> float:
        """Of a pose against other poses of the same pair, up to a constant: a weighted sum of its measures."""
        weights = WEIGHTS if self._learned is None else WEIGHTS_WITH_LEARNED
        return sum(weight * float(np.clip(measures[name], *JUDGED_RANGES[name])) for name, weight in weights.items())


WEIGHTS = {
    "structure": 5.13,
    "structure_fine": 4.17,
    "structure_z": 0.033,
    "structure_gain": 0.039,
    "information_gain": 0.324,
    "information_z": 0.081,
    "overlap": 2.81,
}
"""Conditional logistic regression: which of a pair's candidates is the right one (SRIF crop, train split)."""

WEIGHTS_WITH_LEARNED = {
    "structure": 0.806,
    "structure_z": 0.178,
    "structure_gain": 0.185,
    "information_gain": 2.34,
    "information_z": 0.518,
    "overlap": 8.11,
    "drawn_z": 0.32,
    "drawn_gain": 0.48,
}
"""The same with learned descriptors among the measures: right in 145 of 151 pairs, five-fold
cross-validation (lab log)."""


def _rolled(source: DescriptorMap, shift: tuple[int, int]) -> DescriptorMap:
    return DescriptorMap(np.roll(source.planes, shift, (1, 0)), np.roll(source.valid, shift, (1, 0)))


def _agreement(fixed: DescriptorMap, moving: DescriptorMap) -> tuple[float, float]:
    """Normalised correlation of each order over the overlap."""
    product, own, other = agreement(fixed, moving)
    order2, order4 = (
        float(product[i : i + 2].sum() / np.sqrt(own[i : i + 2].sum() * other[i : i + 2].sum() + 1e-9)) for i in (0, 2)
    )
    return order2, order4


def _agreement_in_all(fixed: DescriptorMap, moving: DescriptorMap) -> float:
    """Normalised correlation of all planes together over the overlap."""
    product, own, other = agreement(fixed, moving).sum(axis=1)
    return float(product / np.sqrt(own * other)) if own * other > 0 else 0.0


def _codes(image: Image, among: Mask) -> NDArray[np.int32]:
    """Equal-population bins 0 .. BINS - 1 of the pixels picked by `among`."""
    # Takes six tenths of the time of np.quantile and np.searchsorted.
    ordered = np.sort(image[among])
    edges = np.interp(np.linspace(0, len(ordered) - 1, BINS + 1)[1:-1], np.arange(len(ordered)), ordered)
    codes = np.zeros(image.shape, np.uint8)
    for edge in edges.astype(image.dtype):
        codes += image > edge
    return codes.astype(np.int32)


def _information(codes: NDArray[np.int32]) -> float:
    """Normalised mutual information 2 I / (H1 + H2) of paired codes in 0 .. BINS^2 - 1 (Studholme et al. 1999)."""
    joint = np.bincount(codes, minlength=BINS * BINS).reshape(BINS, BINS) / len(codes)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    entropies = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (rows, columns, joint.ravel())]
    return float(2 * (entropies[0] + entropies[1] - entropies[2]) / max(entropies[0] + entropies[1], 1e-9))


def _information_shifted(
    fixed_codes: NDArray[np.int32], valid: Mask, moving_codes: NDArray[np.int32], cover: Mask, shift: tuple[int, int]
) -> float:
    """Information between the fixed image and the moving one displaced by `shift`; 0 without enough overlap."""
    height, width = valid.shape
    dx, dy = shift
    here = np.s_[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    there = np.s_[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
    both = valid[here] & cover[there]
    if both.sum() < MIN_OVERLAP_PX:
        return 0.0
    return _information((fixed_codes[here] + moving_codes[there])[both])
