"""Values of an image between its pixels, from valid pixels only.

The kernels are the ones GDAL uses: cubic convolution with a = -1/2 (Keys, IEEE ASSP 29, 1981) and Lanczos with
three lobes. OpenCV's `remap` is not used: its cubic has a = -3/4, which moves a linear ramp by up to 0.05 px.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xmatch.coords import to_centre_xy

_CHUNK = 1 << 16  # positions computed at a time: all arrays of a chunk stay in the processor's cache


def sample(pixels: np.ndarray, valid: np.ndarray, xy: np.ndarray, kernel: str) -> tuple[np.ndarray, np.ndarray]:
    """Values at positions.

    A position is valid where the pixel that holds it is valid. Where a kernel's support holds an invalid pixel or
    the image's edge, its value is the bilinear mean of the valid pixels around it, so that no-data never leaks.

    Args:
        pixels: (C, H, W) real, or complex for "nearest".
        valid: (H, W) bool.
        xy: (h, w, 2) px, corner-counted; NaN and positions outside are legal and invalid.
        kernel: a name in `KERNELS`.

    Returns:
        (C, h, w) in the pixels' dtype for "nearest", else in float32, or float64 where float32 would not hold the
        pixels' values exactly; 0 where invalid. And (h, w) bool.
    """
    taps = KERNELS[kernel]
    shape, flat_xy = xy.shape[:2], xy.reshape(-1, 2)
    values = np.zeros((len(pixels), len(flat_xy)), pixels.dtype if taps is None else _working_dtype(pixels.dtype))
    inside = _holds(valid, flat_xy)
    if not inside.any():
        return values.reshape(-1, *shape), inside.reshape(shape)
    if taps is None:
        column, row = np.floor(flat_xy[inside]).astype(np.intp).T
        values[:, inside] = pixels[:, row, column]
        return values.reshape(-1, *shape), inside.reshape(shape)

    reach = taps(np.zeros(1)).shape[0] // 2
    padded_valid = np.pad(valid, reach)
    whole = _whole_support(padded_valid, reach)
    for band, plane in enumerate(pixels):
        padded = np.pad(np.where(valid, plane, 0).astype(values.dtype), reach)
        for start in range(0, len(flat_xy), _CHUNK):
            part = slice(start, start + _CHUNK)
            _sample_chunk(padded, padded_valid, whole, flat_xy[part], inside[part], taps, values[band, part])
    return values.reshape(-1, *shape), inside.reshape(shape)


def _sample_chunk(padded, padded_valid, whole, xy, inside, taps, out) -> None:
    if not inside.any():
        return
    reach = taps(np.zeros(1)).shape[0] // 2
    centre = to_centre_xy(np.where(inside[:, None], xy, 0.5))
    corner = np.floor(centre)
    fraction = (centre - corner).astype(padded.dtype)
    column, row = corner.astype(np.intp).T + reach
    nearest_start = row * padded.shape[1] + column
    out[:] = _weighted_sum(padded, nearest_start, fraction, taps)
    ragged = np.flatnonzero(inside & ~whole.ravel()[nearest_start])
    if len(ragged):
        weight = _weighted_sum(padded_valid.astype(padded.dtype), nearest_start[ragged], fraction[ragged], bilinear)
        out[ragged] = _weighted_sum(padded, nearest_start[ragged], fraction[ragged], bilinear) / weight
    out[~inside] = 0


def _weighted_sum(plane: np.ndarray, index: np.ndarray, fraction: np.ndarray, taps: Callable) -> np.ndarray:
    """Sum of weight times pixel over the support of each position; `index` is the flat index of its upper left
    one of the four nearest pixels."""
    weights_x, weights_y = taps(fraction[:, 0]), taps(fraction[:, 1])
    flat, stride = plane.ravel(), plane.shape[1]
    first_tap = index - (len(weights_x) // 2 - 1) * (stride + 1)
    total = np.zeros(len(index), plane.dtype)
    for j, weight_y in enumerate(weights_y):
        line = np.zeros(len(index), plane.dtype)
        for i, weight_x in enumerate(weights_x):
            line += weight_x * np.take(flat[j * stride + i :], first_tap, mode="clip")
        total += weight_y * line
    return total


def bilinear(fraction: np.ndarray) -> np.ndarray:
    """(2, N) weights of the pixels at 0 and 1 for positions at `fraction` in [0, 1)."""
    return np.stack([1 - fraction, fraction])


def cubic(fraction: np.ndarray) -> np.ndarray:
    """(4, N) weights of the pixels at -1 ... 2 (Keys, a = -1/2)."""
    t, t2, t3 = fraction, fraction**2, fraction**3
    return 0.5 * np.stack([-t3 + 2 * t2 - t, 3 * t3 - 5 * t2 + 2, -3 * t3 + 4 * t2 + t, t3 - t2])


def lanczos(fraction: np.ndarray) -> np.ndarray:
    """(6, N) weights of the pixels at -2 ... 3, scaled to sum to one."""
    distance = fraction - np.arange(-2, 4, dtype=fraction.dtype)[:, None]
    weights = np.sinc(distance) * np.sinc(distance / 3)
    return weights / weights.sum(axis=0)


KERNELS: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
    "nearest": None,
    "bilinear": bilinear,
    "cubic": cubic,
    "lanczos": lanczos,
}
"""name -> weights of the neighbours; None takes the pixel as it is."""


def _holds(valid: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(N,) whether the pixel that holds each position exists and is valid."""
    height, width = valid.shape
    inside = (xy[:, 0] >= 0) & (xy[:, 0] < width) & (xy[:, 1] >= 0) & (xy[:, 1] < height)  # NaN compares False
    column, row = np.where(inside[:, None], xy, 0).astype(np.intp).T
    return inside & valid[row, column]


def _whole_support(padded_valid: np.ndarray, reach: int) -> np.ndarray:
    """Whether all 2 reach x 2 reach pixels around the corner right below each pixel's centre are valid."""
    whole = padded_valid
    for axis in (0, 1):
        line = np.zeros_like(whole)
        inner = slice(reach - 1, whole.shape[axis] - reach)
        pick = (inner, slice(None)) if axis == 0 else (slice(None), inner)
        line[pick] = np.logical_and.reduce([np.roll(whole, -k, axis)[pick] for k in range(1 - reach, reach + 1)])
        whole = line
    return whole


def _working_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)
