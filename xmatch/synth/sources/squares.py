"""Squares cut from two views of a scene, and the flow between them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xmatch.coords import pixel_centres

LEAST_SHARE = 0.6
"""Side of a square, share of the shorter side of the image, at least."""
JUMP_PX = 2.0
"""Neighbouring px whose partners lie further apart than this (beyond their own distance) lie on different things."""


@dataclass(frozen=True)
class Square:
    """A square window of an image, whole px."""

    x: int
    y: int
    side: int

    def cut(self, image: np.ndarray, size: int) -> np.ndarray:
        """(size, size[, 3]) of an (H, W[, 3]) image."""
        crop = image[self.y : self.y + self.side, self.x : self.x + self.side]
        how = cv2.INTER_AREA if self.side > size else cv2.INTER_LINEAR
        return cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=how)

    def places(self, size: int) -> np.ndarray:
        """(size, size, 2) px of the image at the centres of the px of `cut`."""
        return pixel_centres(size, size) * (self.side / size) + (self.x, self.y)

    def normalised(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) px of the image as normalised places in `cut`."""
        return (xy - (self.x, self.y)) * (2.0 / self.side) - 1.0


def random_square(shape: tuple[int, ...], host: np.random.Generator) -> Square:
    """A square anywhere in an image of that shape (H, W, ...)."""
    side = _side(shape, host)
    return Square(int(host.integers(shape[1] - side + 1)), int(host.integers(shape[0] - side + 1)), side)


def square_around(centre_xy: np.ndarray, shape: tuple[int, ...], host: np.random.Generator) -> Square:
    """A square of random side with its centre at a place, or as near to it as the image allows."""
    side = _side(shape, host)
    x, y = (int(np.clip(c - side / 2, 0, n - side)) for c, n in zip(centre_xy, shape[1::-1], strict=True))
    return Square(x, y, side)


def both(mask: np.ndarray) -> np.ndarray:
    """(..., 2) bool: both hold. Quicker than `all(-1)` by far."""
    return mask[..., 0] & mask[..., 1]


def steady(partners: np.ndarray) -> np.ndarray:
    """(H, W) bool: the flow (H, W, 2), px of `cut`s of the same size, does not jump between this px and the next.

    Between px on different sides of a jump, interpolating the flow points nowhere.
    """
    keep = np.ones(partners.shape[:2], bool)
    for axis in (0, 1):
        step = np.diff(partners, axis=axis)
        step[..., 1 - axis] -= 1.0
        calm = both(np.abs(step) <= JUMP_PX)
        before, after = (slice(None, -1), slice(1, None))
        keep[before if axis == 0 else slice(None), before if axis == 1 else slice(None)] &= calm
        keep[after if axis == 0 else slice(None), after if axis == 1 else slice(None)] &= calm
    return keep


def _side(shape: tuple[int, ...], host: np.random.Generator) -> int:
    return max(1, round(min(shape[:2]) * host.uniform(LEAST_SHARE, 1.0)))
