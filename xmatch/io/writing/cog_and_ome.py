"""Rasters on disk: Cloud-Optimised GeoTIFF, and pyramidal OME-TIFF for medical images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xmatch.errors import OutputError
from xmatch.io.writing import atomic
from xmatch.io.writing.atomic import atomic_write
from xmatch.io.writing.cog import put_together
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.pyramid import TILE_PX, Block, Written, predictor_of, write_tiles
from xmatch.io.writing.reading_back import verify
from xmatch.io.writing.template import write_template


def write_cog(
    path: str | os.PathLike, layout: RasterLayout, blocks: Iterable[Block], *, overwrite: bool = False, threads: int = 1
) -> Written:
    """A Cloud-Optimised GeoTIFF: tiles of 512 px, overviews, deflate with predictor, mask or nodata value.

    Raises:
        OutputError: see `atomic_write`; or what was read back differs from what was written.
    """
    masked = layout.nodata is None
    written = Written([])

    def check(temp: Path) -> None:
        verify(temp, layout, written, 1, masked)

    with atomic_write(path, overwrite, check) as temp:
        tiles, template = (temp.with_name(f"{temp.name}.{what}") for what in ("tiles", "template.tif"))
        written = write_tiles(tiles, layout, blocks, planes=1, masked=masked, threads=threads)
        atomic.step("copy")
        write_template(template, layout)
        put_together(temp, template, tiles, written)
        tiles.unlink()
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
    import tifffile

    if layout.dtype.name in ("int64", "uint64"):
        raise OutputError(f"OME-TIFF knows no {layout.dtype.name} pixels", path=path)
    is_rgb = layout.colours[:3] == ("red", "green", "blue") and len(layout.bands) == 3
    planes = 1 if is_rgb else len(layout.bands)
    written = Written([])

    def check(temp: Path) -> None:
        verify(temp, layout, written, planes, masked=False)

    with atomic_write(path, overwrite, check) as temp:
        tiles = temp.with_name(f"{temp.name}.tiles")
        written = write_tiles(tiles, layout, blocks, planes=planes, masked=False, threads=threads)
        atomic.step("copy")
        # What the directories take is little; the rest is known.
        big = sum(segment.nbytes for segment in written.segments.values()) > 2**32 - 2**26
        with tiles.open("rb") as source, tifffile.TiffWriter(temp, ome=True, bigtiff=big) as tiff:
            for level in range(len(written.sizes)):
                _write_level(tiff, source, written, level, planes, layout)
        tiles.unlink()
    return written


def _write_level(tiff: Any, source: BinaryIO, written: Written, level: int, planes: int, layout: RasterLayout) -> None:
    width, height = written.sizes[level]
    is_rgb = planes < len(layout.bands)
    options: dict[str, Any] = {
        "photometric": "rgb" if is_rgb else "palette" if layout.palette else "minisblack",
        "planarconfig": "contig" if is_rgb else None,
        "tile": (TILE_PX, TILE_PX),
        "compression": "zlib",
        "predictor": predictor_of(layout.dtype),
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
        options |= {"subifds": len(written.sizes) - 1, "metadata": _ome_metadata(layout, is_rgb)}
    else:
        options |= {"subfiletype": 1, "metadata": None}
    shape = (height, width, 3) if is_rgb else (planes, height, width)
    tiff.write(_tiles(source, written, level, planes), shape=shape, dtype=layout.dtype, **options)


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


def _tiles(source: BinaryIO, written: Written, level: int, planes: int) -> Iterator[bytes]:
    """Compressed tiles in the order of the file."""
    for plane in range(planes):
        for row, column in written.tiles(level):
            segment = written.segments[level, plane, row, column]
            source.seek(segment.offset)
            yield source.read(segment.nbytes)
