"""Least squares over maps between pairs of images: one linear correction an image, so that all pairs agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.geometry import Linear, Transform, compose
from xmatch.geometry.linear import LINEAR_KINDS
from xmatch.geometry.matrices import apply_affine, apply_projective, local_scale

LEAST_CE90_PX = 0.5
"""No pair is taken to be more exact than this, reference px."""
ROUNDS = 30
"""Of reweighting, at most."""
_STILL = 1e-6
"""Halves of the reference's longer side: below a hundredth of a px in images of up to 20,000 px."""
_RIDGE = 1e-9
"""Of the sum of squares, for what no place determines: it stays as it is."""

_UNITS = [np.eye(9)[k].reshape(3, 3) for k in range(9)]
_SHIFTS = [_UNITS[2], _UNITS[5]]
_GENERATORS: dict[str, list[Floats]] = {
    "translation": _SHIFTS,
    "similarity": [*_SHIFTS, _UNITS[0] + _UNITS[4], _UNITS[3] - _UNITS[1]],
    "affine": [*_SHIFTS, _UNITS[0], _UNITS[1], _UNITS[3], _UNITS[4]],
    "homography": _UNITS[:8],
}
"""Kind -> what a small correction adds to the identity."""


@dataclass(frozen=True, eq=False)
class Tie:
    """A registered pair of images, by their numbers."""

    fixed: int
    moving: int
    transform: Transform
    """moving px -> fixed px."""
    places: Floats
    """(N, 2) px of moving, all over what both show."""
    ce90_px: float
    """Expected error, fixed px."""

    def off_px(self, maps: Sequence[Transform | None]) -> float:
        """90 % of the places are within this of where the tie and the images' maps put them, reference px; NaN where
        an image has no map, or nothing is seen."""
        to_fixed, to_moving = maps[self.fixed], maps[self.moving]
        if to_fixed is None or to_moving is None:
            return float("nan")
        apart = np.linalg.norm(to_moving(self.places) - to_fixed(self.transform(self.places)), axis=1)
        apart = apart[np.isfinite(apart)]
        return float(np.quantile(apart, 0.9)) if len(apart) else float("nan")

    def ce90_in_reference(self, maps: Sequence[Transform | None]) -> float:
        """The expected error in px of the reference, to which `maps` lead."""
        to_reference = maps[self.fixed]
        assert to_reference is not None
        scale = local_scale(to_reference, self.transform(self.places).mean(axis=0))
        return max(self.ce90_px * scale, LEAST_CE90_PX) if np.isfinite(scale) else LEAST_CE90_PX


class Adjustment:
    """Ties whose images all have a map to the reference, and the corrections of these maps that make the ties agree.

    Positions are counted from the middle of the reference in halves of its longer side, so that all parameters are of
    one size.

    Args:
        ties: at least one.
        maps: px of each image -> px of the reference, to start from; the reference's own is the identity.
        reference: number of the image that keeps its place.
        size: its width and height, px.
    """

    def __init__(
        self, ties: Sequence[Tie], maps: Sequence[Transform | None], reference: int, size: tuple[int, int]
    ) -> None:
        self._maps, self._half = maps, max(size) / 2
        scale, (x, y) = 1 / self._half, (side / 2 for side in size)
        self._to_unit = np.array([[scale, 0, -x * scale], [0, scale, -y * scale], [0, 0, 1]])
        # What bends is in the maps to start from: an affine map puts it in place.
        kinds = [tie.transform.kind if tie.transform.kind in LINEAR_KINDS else "affine" for tie in ties]
        self._kind = max(kinds, key=LINEAR_KINDS.index)
        images = {image for tie in ties for image in (tie.fixed, tie.moving)} - {reference}
        self._row = {image: row for row, image in enumerate(sorted(images))}
        self._ends = [(tie.fixed, tie.moving) for tie in ties]
        self._places = [self._both_ways(tie) for tie in ties]
        self.expected_px = np.array([tie.ce90_in_reference(maps) for tie in ties])
        """(ties,) expected error of each, reference px."""
        self._corrections = {image: np.eye(3) for image in images}

    def _both_ways(self, tie: Tie) -> tuple[Floats, Floats]:
        """(N, 2) places by fixed's map after the tie, and by moving's."""
        to_fixed, to_moving = self._maps[tie.fixed], self._maps[tie.moving]
        assert to_fixed is not None and to_moving is not None
        one, other = to_fixed(tie.transform(tie.places)), to_moving(tie.places)
        known = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
        return apply_affine(self._to_unit, one[known]), apply_affine(self._to_unit, other[known])

    def solve(self, robust: bool) -> None:
        """Find the corrections.

        Args:
            robust: make the sum of the ties' distances small (each root mean square over its places), on which wrong
                ones among many pull little; else that of squares.
        """
        expected = self.expected_px / self._half
        for _ in range(ROUNDS if robust or self._kind == "homography" else 1):
            weight = 1 / expected**2
            if robust:
                rms = np.array([np.sqrt((apart**2).sum(axis=1).mean()) if len(apart) else 0 for apart in self._apart()])
                weight = 1 / (expected * np.maximum(rms, 0.1 * expected))
            steps = self._step(weight)
            for image, step in steps.items():
                self._corrections[image] = step @ self._corrections[image]
            if all(np.abs(step - np.eye(3)).max() < _STILL for step in steps.values()):
                break

    def off_px(self) -> Floats:
        """(ties,) 90 % of each tie's places are within this of where the corrected maps put them, reference px."""
        apart = [np.linalg.norm(apart, axis=1) for apart in self._apart()]
        return np.array([self._half * np.quantile(one, 0.9) if len(one) else 0.0 for one in apart])

    def corrected(self) -> list[Transform | None]:
        """The maps after their corrections; the ties' images only have another one than before."""
        maps = list(self._maps)
        for image, matrix in self._corrections.items():
            chain = maps[image]
            assert chain is not None
            in_px = np.linalg.inv(self._to_unit) @ matrix @ self._to_unit
            maps[image] = compose(chain, Linear(in_px, self._kind))
        return maps

    def _put(self, image: int, xy: Floats) -> Floats:
        return apply_projective(self._corrections[image], xy) if image in self._corrections else xy

    def _apart(self) -> list[Floats]:
        """Of each tie the (N, 2) ways from where it and fixed's map put its places to where moving's map does."""
        ends = zip(self._ends, self._places, strict=True)
        return [self._put(moving, other) - self._put(fixed, one) for (fixed, moving), (one, other) in ends]

    def _step(self, weight: Floats) -> dict[int, Floats]:
        """Image -> (3, 3) to be applied after its correction: one step of Gauss and Newton."""
        from scipy.sparse import bsr_array, eye_array
        from scipy.sparse.linalg import spsolve

        generators = np.array(_GENERATORS[self._kind])
        size, count = len(generators), len(self._row)
        blocks: dict[tuple[int, int], Floats] = {}
        right = np.zeros((count, size))
        for (fixed, moving), (one, other), w in zip(self._ends, self._places, weight, strict=True):
            if not len(one):
                continue
            here, there = self._put(fixed, one), self._put(moving, other)
            apart = there - here
            sides = [(moving, _columns(generators, there)), (fixed, -_columns(generators, here))]
            sides = [(self._row[image], columns) for image, columns in sides if image in self._row]
            for row, columns in sides:
                right[row] -= w * np.einsum("nik,ni->k", columns, apart) / len(one)
                for column, others in sides:
                    product = w * np.einsum("nik,nil->kl", columns, others) / len(one)
                    blocks[row, column] = blocks.get((row, column), 0) + product
        if not blocks:
            return {}
        places = sorted(blocks)
        starts = np.searchsorted([row for row, _ in places], np.arange(count + 1))
        data = np.array([blocks[place] for place in places])
        normal = bsr_array((data, [column for _, column in places], starts), shape=(count * size,) * 2).tocsc()
        ridge = _RIDGE * normal.diagonal().max() * eye_array(count * size, format="csc")
        solution = np.asarray(spsolve(normal + ridge, right.ravel())).reshape(count, size)
        return {image: np.eye(3) + np.tensordot(solution[row], generators, 1) for image, row in self._row.items()}


def _columns(generators: Floats, xy: Floats) -> Floats:
    """(N, 2, parameters): how far each generator moves each position."""
    moved = np.einsum("kij,nj->nik", generators, np.column_stack([xy, np.ones(len(xy))]))
    columns: Floats = moved[:, :2] - xy[:, :, None] * moved[:, 2:]
    return columns
