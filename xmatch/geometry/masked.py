"""Images with holes, resampled: what is not valid neither bleeds into the rest nor darkens its border."""

from __future__ import annotations

import cv2
import numpy as np

from xmatch.coords import AnyArray, Floats, Image, Mask, as_image

LEAST_COVER = np.float32(1e-3)
"""Divides what hardly anything valid went into; of no consequence, as such px are not valid."""


def resized_masked(image: Image, valid: Mask, size: tuple[int, int], *, shrinks: bool) -> tuple[Image, Image]:
    """`image` (h, w) at `size` (width, height), and the share of each px that comes from `valid` (h, w).

    Args:
        shrinks: by means over areas; bilinear otherwise.
    """
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    weight = valid.astype(np.float32)
    cover = as_image(cv2.resize(weight, size, interpolation=method))
    return _freed(cv2.resize(image * weight, size, interpolation=method), cover), cover


def warped_masked(image: Image, valid: Mask, matrix: Floats, size: tuple[int, int]) -> tuple[Image, Image]:
    """`image` (h, w) under an affine map onto `size` (width, height) px, and the share of each px that comes from
    `valid` (h, w); bilinear, so that an image to be shrunk is to be shrunk before.

    Args:
        matrix: (3, 3) or (2, 3), px -> px of the result, centre-counted (`xmatch.coords.to_centre_matrix`).
    """
    onto = matrix[:2]
    cover = as_image(cv2.warpAffine(valid.astype(np.float32), onto, size, flags=cv2.INTER_LINEAR))
    return _freed(cv2.warpAffine(image * valid, onto, size, flags=cv2.INTER_LINEAR), cover), cover


def projected_masked(image: Image, valid: Mask, matrix: Floats, size: tuple[int, int]) -> tuple[Image, Image]:
    """As `warped_masked`, under a homography (3, 3)."""
    cover = as_image(cv2.warpPerspective(valid.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR))
    return _freed(cv2.warpPerspective(image * valid, matrix, size, flags=cv2.INTER_LINEAR), cover), cover


def remapped_masked(image: Image, valid: Mask, at_xy: AnyArray) -> tuple[Image, Image]:
    """`image` (h, w) looked up at positions (H, W, 2), centre-counted, and the share of each px that comes from `valid`
    (h, w); 0 where a position is not finite."""
    # OpenCV takes positions far outside for nothing, but not those that are no number.
    x, y = np.nan_to_num(at_xy, nan=-1e4).astype(np.float32).transpose(2, 0, 1)
    cover = as_image(cv2.remap(valid.astype(np.float32), x, y, cv2.INTER_LINEAR))
    return _freed(cv2.remap(image * valid, x, y, cv2.INTER_LINEAR), cover), cover


def _freed(image: AnyArray, cover: Image) -> Image:
    """An interpolated image that was 0 where nothing is valid, freed of the share that came from there."""
    return as_image(image / np.maximum(cover, LEAST_COVER))


def on_valid(valid: Mask, xy: Floats) -> Mask:
    """(N,) bool: positions (N, 2), corner-counted, on valid pixels of an image (h, w)."""
    x, y = np.floor(xy).astype(int).T
    inside: Mask = (x >= 0) & (y >= 0) & (x < valid.shape[1]) & (y < valid.shape[0])
    inside[inside] = valid[y[inside], x[inside]]
    return inside
