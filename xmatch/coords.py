"""The one place where pixel conventions meet.

xmatch counts pixels as GDAL does: (x, y), x right, y down, in pixels, with the CORNER of the first pixel at
(0, 0), so that its centre lies at (0.5, 0.5). Resizing is then a pure multiplication, and an affine
geotransform applies as it is. OpenCV and ITK put the CENTRE of the first pixel at (0, 0); every value that
comes from them or goes to them passes through here.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
"""Positions (..., 2), matrices (3, 3) and whatever else is computed in double precision."""
Image: TypeAlias = NDArray[np.float32]
"""(h, w), or (h, w, planes): what OpenCV and networks compute on."""
Mask: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]
"""Of the file's own dtype, or of any."""


def as_image(array: AnyArray) -> Image:
    """As single precision, not copied where it is: what OpenCV returns, whose stubs leave the type open."""
    return np.asarray(array, dtype=np.float32)


CENTRE = 0.5
"""Position of the first pixel's centre in xmatch's coordinates, px."""

_TO_CORNER = np.array([[1.0, 0.0, CENTRE], [0.0, 1.0, CENTRE], [0.0, 0.0, 1.0]])
_TO_CENTRE = np.array([[1.0, 0.0, -CENTRE], [0.0, 1.0, -CENTRE], [0.0, 0.0, 1.0]])


def from_centre_xy(xy: ArrayLike) -> Floats:
    """(..., 2) positions with first centre at (0, 0), as OpenCV and ITK count, to xmatch's."""
    return np.asarray(xy, dtype=np.float64) + CENTRE


def to_centre_xy(xy: ArrayLike) -> Floats:
    """(..., 2) positions of xmatch to positions with first centre at (0, 0)."""
    return np.asarray(xy, dtype=np.float64) - CENTRE


def from_centre_matrix(matrix: ArrayLike) -> Floats:
    """(3, 3) map between centre-counted positions to the same map between xmatch's positions."""
    moved: Floats = _TO_CORNER @ np.asarray(matrix, dtype=np.float64) @ _TO_CENTRE
    return moved


def to_centre_matrix(matrix: ArrayLike) -> Floats:
    """(3, 3) map between xmatch's positions to the same map between centre-counted positions."""
    moved: Floats = _TO_CENTRE @ np.asarray(matrix, dtype=np.float64) @ _TO_CORNER
    return moved


def to_normalised(xy: ArrayLike, width: int, height: int) -> Floats:
    """(..., 2) px to [-1, 1], the `align_corners=False` coordinates of torch's grid_sample."""
    return np.asarray(xy, dtype=np.float64) * (2.0 / np.array([width, height])) - 1.0


def from_normalised(xy: ArrayLike, width: int, height: int) -> Floats:
    """Inverse of `to_normalised`."""
    return (np.asarray(xy, dtype=np.float64) + 1.0) * (np.array([width, height]) / 2.0)


def pixel_centres(width: int, height: int, x0: int = 0, y0: int = 0, step: int = 1) -> Floats:
    """(h, w, 2) centres of every `step`-th pixel of a window of `width` x `height` px that starts at (x0, y0)."""
    xs = np.arange(x0, x0 + width, step, dtype=np.float64) + CENTRE
    ys = np.arange(y0, y0 + height, step, dtype=np.float64) + CENTRE
    return np.stack(np.meshgrid(xs, ys), axis=-1)


def corners(width: float, height: float) -> Floats:
    """(4, 2) outer corners of an image, clockwise from the top left."""
    return np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
