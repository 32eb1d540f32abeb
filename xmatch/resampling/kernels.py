"""Values of an image between its pixels, from valid pixels only.

The kernels are the ones GDAL uses: cubic convolution with a = -1/2 (Keys, IEEE ASSP 29, 1981) and Lanczos with
three lobes. OpenCV's `remap` is not used: its cubic has a = -3/4, which moves a linear ramp by up to 0.05 px.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xmatch.coords import CENTRE, to_centre_xy

_CHUNK = 1 << 15  # positions computed at a time: all arrays of a chunk stay in the processor's cache


def sample(
    pixels: np.ndarray, valid: np.ndarray, xy: np.ndarray, kernel: str, origin: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Values at positions.

    A position is valid where the pixel that holds it is valid. Where a kernel's support holds an invalid pixel or
    the image's edge, its value is the bilinear mean of the valid pixels around it, so that no-data never leaks.

    Args:
        pixels: (C, H, W) real, or complex for "nearest".
        valid: (H, W) bool, or (C, H, W) where bands have holes of their own.
        xy: (2, h, w), the x and the y of each position in px, corner-counted; NaN and positions outside are legal
            and invalid.
        kernel: a name in `KERNELS`.
        origin: position of the pixels' first corner, where they are a window of an image whose px `xy` counts. What is
            computed at a position does not depend on it.

    Returns:
        (C, h, w) in the pixels' dtype for "nearest", else in float32, or float64 where float32 would not hold the
        pixels' values exactly; 0 where invalid. And (h, w) bool, or (C, h, w) as `valid` is.
    """
    if valid.ndim == 3:
        bands = [sample(band[None], mask, xy, kernel, origin) for band, mask in zip(pixels, valid, strict=True)]
        return np.concatenate([values for values, _ in bands]), np.stack([inside for _, inside in bands])
    taps = KERNELS[kernel]
    flat_xy = xy.reshape(2, -1)
    dtype = pixels.dtype if taps is None else _working_dtype(pixels.dtype)
    values = np.zeros((len(pixels), flat_xy.shape[1]), dtype)
    if not valid.any():
        return values.reshape(-1, *xy.shape[1:]), np.zeros(xy.shape[1:], bool)
    if taps is not None and _is_interior(flat_xy, origin, valid.shape, _reach(taps)) and valid.all():
        _sample_whole(pixels.astype(dtype, copy=False), flat_xy, origin, taps, values)
        return values.reshape(-1, *xy.shape[1:]), np.ones(xy.shape[1:], bool)
    inside = _holds(valid, flat_xy, origin)
    if taps is None:
        column, row = _pixel(flat_xy[:, inside], origin)
        values[:, inside] = pixels[:, row, column]
    elif inside.any():
        _sample_ragged(pixels.astype(dtype, copy=False), valid, flat_xy, inside, origin, taps, values)
    return values.reshape(-1, *xy.shape[1:]), inside.reshape(xy.shape[1:])


def _sample_whole(
    pixels: np.ndarray, xy: np.ndarray, origin: tuple[int, int], taps: Callable, values: np.ndarray
) -> None:
    """Into (C, N) `values`, for positions whose support exists and is valid throughout."""
    for start in range(0, xy.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        index, fraction = _cells(xy[:, part], origin, pixels.shape[2], pixels.dtype)
        weights = taps(fraction[0]), taps(fraction[1])
        for band, plane in enumerate(pixels):
            values[band, part] = _weighted_sum(plane, index, weights)


def _sample_ragged(
    pixels: np.ndarray,
    valid: np.ndarray,
    xy: np.ndarray,
    inside: np.ndarray,
    origin: tuple[int, int],
    taps: Callable,
    values: np.ndarray,
) -> None:
    """Into (C, N) `values` where `inside`, with all that may be missing around the positions."""
    reach = _reach(taps)
    padded_valid = np.pad(valid, reach)
    whole = _whole_support(padded_valid, reach).ravel()
    shares = padded_valid.astype(values.dtype)
    planes = [np.pad(np.where(valid, plane, 0), reach) for plane in pixels]
    corner = origin[0] - reach, origin[1] - reach
    anywhere = np.array(origin, dtype=np.float64)[:, None] + CENTRE
    for start in range(0, xy.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        here = inside[part]
        # Positions outside are computed somewhere and left out afterwards: picking the others is slower.
        index, fraction = _cells(np.where(here, xy[:, part], anywhere), corner, padded_valid.shape[1], values.dtype)
        weights = taps(fraction[0]), taps(fraction[1])
        ragged = np.flatnonzero(here & ~np.take(whole, index, mode="clip"))
        near = tuple(bilinear(share[ragged]) for share in fraction)
        share = _weighted_sum(shares, index[ragged], near)
        for band, plane in enumerate(planes):
            found = _weighted_sum(plane, index, weights)
            found[ragged] = _weighted_sum(plane, index[ragged], near) / share
            values[band, part] = np.where(here, found, 0)


def _cells(xy: np.ndarray, origin: tuple[int, int], stride: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Of each position, the flat index, in a window that begins at `origin`, of the upper left of its four nearest
    pixels, and its (2, N) distance from that pixel's centre."""
    centre = to_centre_xy(xy)
    corner = np.floor(centre)
    fraction = np.subtract(centre, corner, out=centre).astype(dtype)
    row = np.multiply(corner[1] - origin[1], stride, out=corner[1])
    return np.add(row, corner[0] - origin[0], out=row).astype(np.intp), fraction


def _weighted_sum(plane: np.ndarray, index: np.ndarray, weights: tuple) -> np.ndarray:
    """Sum of weight times pixel over the support of each position, `index` and `weights` as `_cells` and a kernel
    give them."""
    weights_x, weights_y = weights
    flat, stride = plane.reshape(-1), plane.shape[1]
    first_tap = index - (len(weights_x) // 2 - 1) * (stride + 1)
    total, line, term = np.empty((3, len(index)), plane.dtype)
    for j, weight_y in enumerate(weights_y):
        for i, weight_x in enumerate(weights_x):
            into = term if i else line
            # "clip" spares a pass that looks for indices out of range; there are none.
            np.take(flat[j * stride + i :], first_tap, out=into, mode="clip")
            np.multiply(into, weight_x, out=into)
            if i:
                line += term
        line *= weight_y
        total[:] = total + line if j else line
    return total


def bilinear(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the pixels at 0 and 1 for positions t in [0, 1)."""
    return 1 - t, t


def cubic(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the pixels at -1, 0, 1, 2 (Keys, a = -1/2)."""
    half = t * np.float32(0.5)
    square = t * t
    outer_left, outer_right = half * (2 * t - square - 1), half * (square - t)
    inner_left = 1 + square * (3 * half - np.float32(2.5))
    return outer_left, inner_left, 1 - outer_left - inner_left - outer_right, outer_right


def lanczos(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the pixels at -2, ..., 3, scaled to sum to one."""
    distance = t - np.arange(-2, 4, dtype=t.dtype)[:, None]
    weights = np.sinc(distance) * np.sinc(distance / 3)
    return tuple(weights / weights.sum(axis=0))


KERNELS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, ...]] | None] = {
    "nearest": None,
    "bilinear": bilinear,
    "cubic": cubic,
    "lanczos": lanczos,
}
"""name -> weights of the neighbours; None takes the pixel as it is."""


def _reach(taps: Callable) -> int:
    """Pixels that a kernel looks at on either side."""
    return len(taps(np.zeros(1))) // 2


def _holds(valid: np.ndarray, xy: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """(N,) whether the pixel that holds each position exists and is valid."""
    (x, y), (left, top), (height, width) = xy, origin, valid.shape
    inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)  # NaN compares False
    if not valid.all():
        column, row = _pixel(xy[:, inside], origin)
        inside[inside] = valid[row, column]
    return inside


def _pixel(xy: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """(2, N) column and row of the pixel that holds each position, in a window that begins at `origin`."""
    return np.floor(xy).astype(np.intp) - np.array(origin)[:, None]


def _is_interior(xy: np.ndarray, origin: tuple[int, int], shape: tuple[int, int], reach: int) -> bool:
    """Whether the supports of all positions lie within a window that begins at `origin`; not where one is NaN."""
    low, high = np.array(origin) + reach, np.array(origin) + shape[::-1] - reach
    return bool((xy.min(axis=1) >= low).all() and (xy.max(axis=1) < high).all())


def _whole_support(padded_valid: np.ndarray, reach: int) -> np.ndarray:
    """Whether all 2 reach x 2 reach pixels around the corner right below each pixel's centre are valid."""
    whole = padded_valid
    for axis in (0, 1):
        line = np.zeros_like(whole)
        count = whole.shape[axis] - 2 * reach + 1
        cuts = [slice(first, first + count) for first in range(2 * reach)]
        picks = [(cut, slice(None)) if axis == 0 else (slice(None), cut) for cut in cuts]
        line[picks[reach - 1]] = np.logical_and.reduce([whole[pick] for pick in picks])
        whole = line
    return whole


def _working_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)
