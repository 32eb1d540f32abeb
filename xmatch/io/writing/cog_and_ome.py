"""Rasters on disk: Cloud-Optimised GeoTIFF, and pyramidal OME-TIFF for medical images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.errors import OutputError
from xmatch.io.writing import atomic
from xmatch.io.writing.atomic import atomic_write
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.staging import TILE_PX, Block, Written, gdal_session, stage, verify


def write_cog(
    path: str | os.PathLike, layout: RasterLayout, blocks: Iterable[Block], *, overwrite: bool = False, threads: int = 1
) -> Written:
    """A Cloud-Optimised GeoTIFF: tiles of 512 px, overviews, deflate with predictor, mask or nodata value.

    Raises:
        OutputError: see `atomic_write`; or what was read back differs from what was written.
    """
    from rasterio.shutil import copy

    written = Written()
    options = {
        "compress": "DEFLATE",
        "predictor": "NO" if layout.dtype.kind == "c" else "YES",
        "blocksize": TILE_PX,
        "bigtiff": "IF_SAFER",
        "overview_resampling": "AVERAGE" if layout.averaged else "NEAREST",
        "num_threads": threads,
    }

    def check(temp: Path) -> None:
        verify(temp, layout, written, has_mask=True)

    with atomic_write(path, overwrite, check) as temp:
        staged = temp.with_name(f"{temp.name}.staged.tif")
        written = stage(staged, layout, blocks)
        atomic.step("copy")
        with gdal_session(temp):
            copy(staged, temp, driver="COG", **options)
    return written


def write_ome_tiff(
    path: str | os.PathLike, layout: RasterLayout, blocks: Iterable[Block], *, overwrite: bool = False, threads: int = 1
) -> Written:
    """A tiled OME-TIFF with a pyramid in sub-IFDs, pixel size in micrometres and channel names.

    OME-TIFF knows neither masks nor nodata values: invalid pixels are 0, or `layout.nodata` where there is one. A
    colour table goes along as TIFF has it.

    Raises:
        OutputError: as `write_cog`; or the dtype has no name in OME.
    """
    import rasterio
    import tifffile

    if layout.dtype.name in ("int64", "uint64"):
        raise OutputError(f"OME-TIFF knows no {layout.dtype.name} pixels", path=path)
    is_rgb = layout.colours[:3] == ("red", "green", "blue") and len(layout.bands) == 3
    pages = 1 if is_rgb else len(layout.bands)
    written = Written()

    def check(temp: Path) -> None:
        verify(temp, layout, written, has_mask=False, pages=pages)

    with atomic_write(path, overwrite, check) as temp:
        staged = temp.with_name(f"{temp.name}.staged.tif")
        written = stage(staged, layout, blocks)
        factors = _pyramid(layout.grid.width, layout.grid.height)
        with gdal_session(temp), rasterio.open(staged, "r+") as file:
            if factors:
                kernel = rasterio.enums.Resampling
                file.build_overviews(factors, kernel.average if layout.averaged else kernel.nearest)
        big = layout.nbytes > 2 << 30  # compressed or not, pyramid included, it then stays under the 4 GiB of TIFF
        with tifffile.TiffWriter(temp, ome=True, bigtiff=big) as tiff:
            for level in range(len(factors) + 1):
                _write_level(tiff, staged, level, len(factors), layout, is_rgb, threads)
    return written


def _pyramid(width: int, height: int) -> list[int]:
    """Reductions 2, 4, ... until a level fits into one tile."""
    factors: list[int] = []
    while max(width, height) > TILE_PX << len(factors):
        factors.append(2 << len(factors))
    return factors


def _write_level(
    tiff: Any, staged: Path, level: int, levels: int, layout: RasterLayout, is_rgb: bool, threads: int
) -> None:
    import rasterio

    kwargs = {} if level == 0 else {"overview_level": level - 1}
    with gdal_session(staged), rasterio.open(staged, **kwargs) as file:
        shape = (file.height, file.width, 3) if is_rgb else (file.count, file.height, file.width)
        options: dict[str, Any] = {
            "photometric": "rgb" if is_rgb else "palette" if layout.palette else "minisblack",
            "planarconfig": "contig" if is_rgb else None,
            "tile": (TILE_PX, TILE_PX),
            "compression": "zlib",
            "predictor": layout.dtype.kind != "c",
            "maxworkers": threads,
        }
        if layout.palette:
            options["colormap"] = _colormap(layout.palette, layout.dtype.itemsize)
        if layout.grid.spacing_um:
            per_cm = tuple(1e4 / (um * 2**level) for um in layout.grid.spacing_um)
            options |= {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
        elif layout.grid.resolution:
            x, y, unit = layout.grid.resolution
            options |= {"resolution": (x / 2**level, y / 2**level), "resolutionunit": unit}
        if level == 0:
            options |= {"subifds": levels, "metadata": _ome_metadata(layout, is_rgb)}
        else:
            options |= {"subfiletype": 1, "metadata": None}
        tiff.write(_tiles(file, is_rgb), shape=shape, dtype=layout.dtype, **options)


def _colormap(palette: Mapping[int, tuple[int, int, int, int]], itemsize: int) -> np.ndarray:
    """(3, 256) or (3, 65536) uint16: an entry for every index there is room for, as TIFF wants it."""
    table = np.zeros((2 ** (8 * itemsize), 3), np.uint16)
    table[list(palette)] = np.array(list(palette.values()), np.uint16)[:, :3]
    return table.T * 257


def _ome_metadata(layout: RasterLayout, is_rgb: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {**layout.ome, "axes": "YXS" if is_rgb else "CYX"}
    channels = metadata.pop("Channel", [])
    if layout.grid.spacing_um:
        x_um, y_um = layout.grid.spacing_um
        metadata |= {"PhysicalSizeX": x_um, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": y_um, "PhysicalSizeYUnit": "µm"}
    if not is_rgb:
        channels = channels if len(channels) == len(layout.bands) else [{}] * len(layout.bands)
        metadata["Channel"] = [{**known, "Name": name} for known, name in zip(channels, layout.bands, strict=True)]
    metadata["MapAnnotation"] = {"Namespace": "xmatch", "Value": _annotation(layout)}
    return metadata


def _annotation(layout: RasterLayout) -> dict[str, str]:
    """Tags of the file, and scale, offset, unit and tags of its bands: OME has no place of their own for them."""
    kept = {name: text for name, text in layout.tags.items() if name != "ImageDescription"}
    for number, band in enumerate(layout.details, 1):
        scaled = {"scale": band.scale, "offset": band.offset} if (band.scale, band.offset) != (1.0, 0.0) else {}
        facts = {**scaled, **({"unit": band.unit} if band.unit else {}), **band.tags}
        kept |= {f"band {number} {name}": str(value) for name, value in facts.items()}
    return {_xml_text(name): _xml_text(text) for name, text in kept.items()}


def _xml_text(text: str) -> str:
    """`text` without the characters that no XML can hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def _tiles(file: Any, is_rgb: bool) -> Iterator[np.ndarray]:
    """Whole tiles in the order of the file, the last ones filled up with zeros."""
    import rasterio

    for bands in ([1, 2, 3],) if is_rgb else ([band] for band in file.indexes):
        for y in range(0, file.height, TILE_PX):
            for x in range(0, file.width, TILE_PX):
                atomic.step("block")
                width, height = min(TILE_PX, file.width - x), min(TILE_PX, file.height - y)
                pixels = file.read(bands, window=rasterio.windows.Window(x, y, width, height))
                tile = np.zeros((TILE_PX, TILE_PX, len(bands)), pixels.dtype)
                tile[:height, :width] = np.moveaxis(pixels, 0, -1)
                yield tile if is_rgb else tile[..., 0]
