"""A plane that can only be decoded whole: the one level of a `PyramidSource`, decoded when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xmatch.errors import ResourceError
from xmatch.io.rasters.area_means import Box
from xmatch.io.rasters.guard import decoding
from xmatch.io.rasters.values import holds_data


class WholeLevel:
    """
    Args:
        path: of the file, for errors.
        size: (width, height) px.
        decode: gives the pixels (C, H, W) of all bands, called once.
        chosen: bands to deliver, from 0.
        nodata: value of pixels without data, or the first and the last of several.
    """

    sequential = False

    def __init__(
        self,
        path: str,
        size: tuple[int, int],
        decode: Callable[[], np.ndarray],
        chosen: Sequence[int],
        nodata: tuple[float, float] | None,
    ) -> None:
        self.width, self.height = size
        self.block = size
        self._path, self._decode, self._chosen, self._nodata = path, decode, list(chosen), nodata
        self._pixels: np.ndarray | None = None

    def load(self, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        """See `Level.load`."""
        if self._pixels is None:
            with decoding(self._path):
                self._pixels = self._decode()[self._chosen]
        x0, y0, x1, y1 = box
        pixels = self._pixels[list(bands), y0:y1, x0:x1]
        valid = holds_data(pixels, [None] * len(pixels))
        if self._nodata is not None:
            low, high = self._nodata
            valid = valid & ~((pixels >= low) & (pixels <= high)).all(axis=0, keepdims=True)
        return pixels, valid


def afford(what: str, needed: int, max_bytes: int, path: str) -> None:
    """Raise ResourceError for what cannot be decoded within the memory allowed."""
    if needed > max_bytes:
        raise ResourceError(
            f"{what} need {needed / 2**20:.1f} MiB to be decoded, {max_bytes / 2**20:.1f} MiB are allowed",
            hint="raise --max-memory",
            path=path,
        )
