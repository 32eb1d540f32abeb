"""The one resampler: a moving image onto another grid, block by block, each value computed once from the file.

The result does not depend on the size of the blocks or on the number of threads: maps are evaluated in fixed
tiles, and the moving image is reduced, where it is much finer than the grid, by one power of two for the whole run.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xmatch.coords import corners
from xmatch.errors import UsageError
from xmatch.geometry import Linear, Transform, compose
from xmatch.io.rasters.area_means import Masks
from xmatch.io.rasters.labels import holds_labels
from xmatch.io.rasters.source import Header, Source
from xmatch.io.writing.layout import output_dtype
from xmatch.io.writing.pyramid import Block
from xmatch.raster import Georef, Grid, one_mask
from xmatch.resampling.backward_map import TILE_PX, BackwardMap
from xmatch.resampling.kernels import KERNELS, sample

RESAMPLINGS = ("auto", *KERNELS)
"""Choices of `--resampling`. "auto": nearest for palettes, labels, complex and boolean images, cubic for the others."""

_SMALLEST_BLOCK_PX = 64
_LARGEST_GROWTH = 16  # of the pixel count under `--grid moving`; only a footprint close to the horizon needs more


def resample(
    moving: Source,
    transform: Transform,
    grid: Grid,
    *,
    resampling: str = "auto",
    threads: int = 1,
    max_memory_bytes: int = 2 << 30,
    block_px: int | None = None,
    patch_px: int = TILE_PX,
) -> Iterator[Block]:
    """The moving image on `grid`, as blocks that cover it once, in a fixed order.

    An output pixel is valid where the moving pixel under its centre is, in each band by itself where bands have holes
    of their own; see `xmatch.resampling.kernels`. Where one grid pixel
    spans several moving pixels, these are averaged first (nearest excepted).

    Args:
        moving: the open file; palettes are read as indices.
        transform: moving px -> px of the grid.
        grid: the output's pixels.
        resampling: one of `RESAMPLINGS`.
        threads: blocks computed at a time.
        max_memory_bytes: bounds the block size; a block whose source window is too large is computed in halves.
        block_px: side of the blocks, a divisor of 512; default the largest that fits the memory.
        patch_px: the grid is gone through by squares of this side, a multiple of 512, row by row in and of these: what
            is read lies nearer together than by whole rows.

    Raises:
        UsageError: values of this kind cannot be averaged, or the resampling is unknown.
        InputError, ResourceError: from reading `moving`.
    """
    job = _Job(moving, transform, grid, resolve_resampling(resampling, moving), threads, max_memory_bytes)
    side = block_px or job.block_side(max_memory_bytes, threads)
    windows = _windows(grid, side, patch_px)
    if threads <= 1:
        yield from (job.block(*window) for window in windows)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending: deque = deque()
        try:
            for window in windows:
                pending.append(pool.submit(job.block, *window))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def resolve_resampling(resampling: str, moving: Source) -> str:
    """The kernel that `resampling` means for this file; "auto" looks at its pixels (`xmatch.io.rasters.labels`).

    Raises:
        UsageError: it is unknown, or would average values that have no mean.
        InputError, ResourceError: from reading `moving`.
    """
    header = moving.header
    if resampling not in RESAMPLINGS:
        raise UsageError(f"resampling {resampling!r} is not one of {', '.join(RESAMPLINGS)}", hint="see --resampling")
    labels = {"palette indices": bool(header.palette), "complex values": np.dtype(header.dtype).kind == "c"}
    reason = next((what for what, applies in labels.items() if applies), None)
    if resampling == "auto":
        return "nearest" if reason or header.dtype == "bool" or holds_labels(moving) else "cubic"
    if reason and resampling != "nearest":
        raise UsageError(f"{reason} cannot be averaged", hint="--resampling nearest", path=header.path)
    return resampling


def moving_grid(moving: Header, transform: Transform, fixed: Grid) -> tuple[Grid, Transform]:
    """The grid, and the map onto it, of a result that keeps the moving image's own sampling (`--grid moving`).

    When the transform is affine, this is the moving image's pixel grid with its georeferencing corrected, and no
    pixel changes. Otherwise it is an upright grid in the fixed image's frame, at the moving image's pixel size,
    around all of the moving image.

    Args:
        moving: header of the moving file.
        transform: moving px -> fixed px.
        fixed: the fixed image's grid; its CRS becomes the result's.

    Raises:
        UsageError: the moved footprint is far larger than the image, or all of it lies behind the horizon.
    """
    if isinstance(transform, Linear) and transform.kind != "homography":
        place = _shifted(fixed.georef, transform.matrix)
        own = Grid(moving.width, moving.height, place, moving.spacing_um, resolution=moving.resolution)
        return own, Linear(np.eye(3), "translation")
    ring = corners(moving.width, moving.height)
    edges = np.roll(ring, -1, axis=0) - ring
    outline = transform((ring + np.linspace(0, 1, 33)[:, None, None] * edges).reshape(-1, 2))
    outline = outline[np.isfinite(outline).all(axis=1)]
    if not len(outline):
        raise UsageError("no part of the moving image lies in front of the fixed one", hint="--grid fixed")
    middle = np.array([[moving.width / 2, moving.height / 2]])
    steps = transform(middle + [[1.0, 0.0]]) - transform(middle), transform(middle + [[0.0, 1.0]]) - transform(middle)
    scale = float(np.sqrt(abs(np.linalg.det(np.concatenate(steps)))))
    low, high = outline.min(axis=0), outline.max(axis=0)
    width, height = np.maximum(1, np.ceil((high - low) / scale)).astype(int)
    if width * height > _LARGEST_GROWTH * moving.width * moving.height:
        times = width * height / (moving.width * moving.height)
        raise UsageError(f"the moved image would cover {times:,.0f} times its own pixels", hint="--grid fixed")
    to_fixed = Linear(np.array([[scale, 0, low[0]], [0, scale, low[1]], [0, 0, 1]]), "similarity")
    spacing = fixed.spacing_um and (fixed.spacing_um[0] * scale, fixed.spacing_um[1] * scale)
    resolution = fixed.resolution and (fixed.resolution[0] / scale, fixed.resolution[1] / scale, fixed.resolution[2])
    grid = Grid(int(width), int(height), _shifted(fixed.georef, to_fixed.matrix), spacing, resolution=resolution)
    return grid, compose(transform, to_fixed.inverse)


class _Job:
    """What all blocks of a run share."""

    def __init__(
        self, moving: Source, transform: Transform, grid: Grid, kernel: str, threads: int, memory: int
    ) -> None:
        self.moving, self.kernel = moving, kernel
        self.native = bool(moving.header.palette)
        self.dtype = output_dtype(moving.header)
        self.size = np.array([moving.header.width, moving.header.height])
        self.bands = 1 if self.native else len(moving.header.bands)
        self.map = BackwardMap(transform, tuple(self.size), tiles_kept=threads + 1)
        self.affine = isinstance(transform, Linear) and transform.kind != "homography"
        self.reduction = np.array([1, 1]) if kernel == "nearest" else _reduction(self.map, grid, self.size)
        self.window_bytes = memory // (4 * max(1, threads))
        self.reading = threading.Lock()  # an open file has one position

    def block_side(self, memory: int, threads: int) -> int:
        """Side of the blocks: finished ones, those at work with their source windows, one band's working copy."""
        bytes_per_px = self.bands * (6 * self.dtype.itemsize + 2) + 64
        fitting = (side for side in (TILE_PX, 256) if (threads + 2) * bytes_per_px * side**2 <= memory / 2)
        return next(fitting, 128)

    def block(self, x0: int, y0: int, width: int, height: int) -> Block:
        xy = self.map(x0, y0, width, height)
        low, high = self._bounds(xy)
        if not ((low >= 0).all() and (high < self.size).all()):  # a NaN among them is no number at all
            inside = (xy[0] >= 0) & (xy[0] < self.size[0]) & (xy[1] >= 0) & (xy[1] < self.size[1])
            xy = np.where(inside, xy, np.nan)
        pixels = np.zeros((self.bands, height, width), self.dtype)
        valid = np.zeros(pixels.shape, bool)
        clipped = self._fill(xy, pixels, valid)
        return Block(x0, y0, pixels, one_mask(valid), clipped)

    def _bounds(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest (x, y) of a block's positions. Those of an affine map lie at its corners, unless some in
        between are NaN since they lie outside; then corners are as well."""
        if self.affine:
            xy = xy[:, [0, 0, -1, -1], [0, -1, 0, -1]][..., None]
        return xy.min(axis=(1, 2)), xy.max(axis=(1, 2))

    def _fill(self, xy: np.ndarray, pixels: np.ndarray, valid: np.ndarray) -> int:
        """Sample positions into `pixels` and `valid`, both (C, h, w); the number of clipped values."""
        reduced = xy if (self.reduction == 1).all() else xy / self.reduction[:, None, None]
        first, last = self._bounds(reduced)
        if not np.isfinite([first, last]).all():
            first, last = np.fmin.reduce(reduced, axis=(1, 2)), np.fmax.reduce(reduced, axis=(1, 2))
        if np.isnan(first).any():
            return 0
        reach = 4  # the widest kernel and a pixel to spare
        limit = -(-self.size // self.reduction)
        low = np.maximum(0, np.floor(first).astype(int) - reach)
        high = np.minimum(limit, np.floor(last).astype(int) + reach + 1)
        height, width = valid.shape[1:]
        needed = int(np.prod(high - low)) * (self.bands * (self.dtype.itemsize + 1) + 16)
        if needed > self.window_bytes and max(height, width) > _SMALLEST_BLOCK_PX:
            axis, middle = (2, width // 2) if width > height else (1, height // 2)
            one, other = zip(*(np.split(array, [middle], axis) for array in (xy, pixels, valid)), strict=True)
            return self._fill(*one) + self._fill(*other)
        window, masks = self._read(low, high)
        known = masks[0] if len(masks) == 1 else masks
        values, here = sample(window, known, reduced, self.kernel, (int(low[0]), int(low[1])))
        valid[...] = here
        return _store(values, pixels)

    def _read(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [low, high) of the moving image reduced by `reduction`, and their masks, (C, h, w) or (1, h, w).

        The last reduced pixel of a row or column may stand for fewer pixels of the file; it is read by itself, so
        that all others are averages over exactly `reduction` pixels.
        """
        if (self.reduction == 1).all():
            with self.reading:
                raster = self.moving.read(_box(low, high - low), native=self.native)
            return raster.pixels, raster.masks
        pixels = np.empty((self.bands, high[1] - low[1], high[0] - low[0]), self.dtype)
        masks = Masks(*pixels.shape[1:])
        whole = self.size // self.reduction
        columns, rows = ([(low[a], min(high[a], whole[a])), (max(low[a], whole[a]), high[a])] for a in (0, 1))
        for left, right in columns:
            for top, bottom in rows:
                if left >= right or top >= bottom:
                    continue
                start = np.array([left, top]) * self.reduction
                extent = np.minimum(np.array([right, bottom]) * self.reduction, self.size) - start
                with self.reading:
                    raster = self.moving.read(_box(start, extent), (int(right - left), int(bottom - top)))
                place = slice(top - low[1], bottom - low[1]), slice(left - low[0], right - low[0])
                pixels[(slice(None), *place)] = raster.pixels
                masks.put(*place, raster.masks)
        return pixels, masks.layers


def _store(values: np.ndarray, pixels: np.ndarray) -> int:
    """Put values into `pixels`, rounded and cut to its dtype; how many were cut."""
    if pixels.dtype.kind not in "iu" or values.dtype.kind in "iu":
        pixels[...] = values
        return 0
    limits = np.iinfo(pixels.dtype)
    rounded = np.rint(values, out=values)
    if limits.min <= rounded.min() and rounded.max() <= limits.max < 2**53:
        pixels[...] = rounded
        return 0
    # As floats, the limits of 64-bit integers round up to numbers just outside; the next float inwards fits.
    top = np.nextafter(values.dtype.type(limits.max), values.dtype.type(0)) if limits.max >= 2**53 else limits.max
    clipped = int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
    pixels[...] = np.clip(rounded, limits.min, top)
    return clipped


def _reduction(backward: BackwardMap, grid: Grid, moving_size: np.ndarray) -> np.ndarray:
    """(2,) powers of two nearest to the number of moving pixels, in x and y, that a grid pixel spans."""
    xs, ys = np.linspace(0, grid.width, 17), np.linspace(0, grid.height, 17)
    at = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    here, right, below = backward.at(np.stack([at, at + [1.0, 0.0], at + [0.0, 1.0]]))
    span = np.hypot(right - here, below - here)
    seen = np.isfinite(span).all(axis=1) & ((here >= 0) & (here <= moving_size)).all(axis=1)
    if not seen.any():
        return np.array([1, 1])
    power = np.rint(np.log2(np.median(span[seen], axis=0)))
    return np.clip(2.0**power, 1, moving_size).astype(int)


def _windows(grid: Grid, side: int, patch_px: int) -> Iterator[tuple[int, int, int, int]]:
    """Blocks of each tile of the map in turn, so that a tile is evaluated once; tiles of each patch in turn."""
    if TILE_PX % side or patch_px % TILE_PX:
        raise ValueError(f"block_px must divide {TILE_PX}, and that patch_px; got {side}, {patch_px}")
    whole = (0, 0, grid.width, grid.height)
    for patch in _parts(whole, patch_px):
        for tile in _parts(patch, TILE_PX):
            yield from _parts(tile, side)


def _parts(window: tuple[int, int, int, int], side: int) -> Iterator[tuple[int, int, int, int]]:
    """(x0, y0, width, height) of the squares that a window falls into, row by row; less where it ends."""
    x0, y0, width, height = window
    for y in range(y0, y0 + height, side):
        for x in range(x0, x0 + width, side):
            yield x, y, min(side, x0 + width - x), min(side, y0 + height - y)


def _box(start: np.ndarray, extent: np.ndarray) -> tuple[int, int, int, int]:
    """(x0, y0, width, height) in ints of Python's."""
    return int(start[0]), int(start[1]), int(extent[0]), int(extent[1])


def _shifted(georef: Georef | None, to_fixed: np.ndarray) -> Georef:
    """The georeferencing of px that the affine `to_fixed` (3, 3) maps into the px of `georef`."""
    if georef is None:
        return Georef(None, tuple(to_fixed[:2].ravel().tolist()))
    from_fixed = np.linalg.inv(to_fixed)[:2]
    gcps = tuple((*(from_fixed @ [x, y, 1]).tolist(), *ground) for x, y, *ground in georef.gcps)
    return Georef(georef.crs_wkt, tuple((georef.matrix @ to_fixed)[:2].ravel().tolist()), gcps)


__all__ = ["RESAMPLINGS", "Block", "Grid", "moving_grid", "resample", "resolve_resampling"]
