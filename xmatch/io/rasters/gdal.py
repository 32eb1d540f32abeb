"""GDAL at work for the readers: kept quiet, off the network, and given the one name under which it finds a file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from xmatch.errors import InputError
from xmatch.io.rasters.guard import decoding, is_remote
from xmatch.io.rasters.hooks import MENDED_HOOKS
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.tiff_scan import Directory

CACHE_BYTES = 32 * 2**20
"""Of GDAL, which takes 5 % of all memory otherwise, for files in tiles. A warp goes by patches of 4,096 px, of whose
tiles it holds two rows of three 16-bit bands. Whatever is allowed fills up, so that a large file would take more."""
CACHE_OF_STRIPS_BYTES = 128 * 2**20
"""Of strips, each as wide as the image, a row of tiles needs as many as it is high. Not tuned."""
NETWORK_LIMITS = {
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    # Fewer bytes than this a second, for so many seconds, and a transfer has stalled.
    "GDAL_HTTP_LOW_SPEED_LIMIT": "100",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    # Of one request, which is for a range of some MiB at most.
    "GDAL_HTTP_TIMEOUT": "300",
}
"""How long GDAL waits for the network, in seconds: without them it waits for ever, and no signal ends that. Not tuned.
What the environment says under these names counts instead."""
_NOBODY = "127.0.0.1:9"
"""A proxy that nobody answers at: the port of the discard service."""


@contextmanager
def gdal(options: ReadOptions, cache_bytes: int = CACHE_BYTES) -> Iterator[None]:
    """GDAL set up to keep quiet, to read rows of a PNG one by one (its short cut hides truncation) and to stay off
    the network, where a sidecar file could send it."""
    settings: dict[str, Any] = {"GDAL_CACHEMAX": cache_bytes, "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO"}
    settings["RAW_CHECK_FILE_SIZE"] = "YES"  # bare pixels that are missing are zeros without it
    if not options.network:
        # What is read as a file over the network, and what whole drivers fetch: a VRT of URLs does both.
        settings |= {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none", "GDAL_HTTP_PROXY": _NOBODY}
    else:
        settings |= {name: limit for name, limit in NETWORK_LIMITS.items() if name not in os.environ}
    with rasterio.Env(**settings), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MENDED_HOOKS:
            yield


def open_dataset(
    path: str, name: str, driver: str | None, options: ReadOptions
) -> tuple[Callable[..., rasterio.DatasetReader], rasterio.DatasetReader, tuple[str, ...]]:
    """What opens the file, the file opened by it, and what to say of that: georeferencing over which GDAL stumbles is
    left out."""
    opener = partial(_opened, path, name, driver, options)
    try:
        return opener, _looked_at(opener, path, options), ()
    except InputError as error:
        if driver != "GTiff":
            raise
        opener = partial(opener, GEOREF_SOURCES="NONE")
        try:
            dataset = _looked_at(opener, path, options)
        except InputError:
            raise error from None
        return opener, dataset, (f"its georeferencing is damaged and not used: {error.message.partition(': ')[2]}",)


def _looked_at(opener: Callable[[], rasterio.DatasetReader], path: str, options: ReadOptions) -> rasterio.DatasetReader:
    """The dataset, once GDAL has read its georeferencing, which it puts off."""
    dataset = opener()
    try:
        with gdal(options), decoding(path, "cannot be opened: "):
            dataset.tags(), dataset.colorinterp
        return dataset
    except BaseException:
        dataset.close()
        raise


def _opened(path: str, name: str, driver: str | None, options: ReadOptions, **how: Any) -> rasterio.DatasetReader:
    with gdal(options), decoding(path, "cannot be opened: "):
        return rasterio.open(name, driver=driver, **how)


def gdal_name(path: str, directory: Directory | None, stack: ExitStack) -> str:
    """The name under which GDAL finds the file: absolute, lest "-x.tif" or "s3:x.tif" mean something to it."""
    if is_remote(path):
        return path
    name = os.path.abspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        # rasterio takes UTF-8 names only; an open descriptor has one, at the price of sidecar files.
        descriptor = os.open(path, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        name = f"/dev/fd/{descriptor}"
    return f"GTIFF_DIR:{directory.number + 1}:{name}" if directory and directory.number else name
