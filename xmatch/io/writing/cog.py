"""A Cloud-Optimised GeoTIFF put together from compressed tiles: directories first, then levels from coarse to fine.

The layout is that of GDAL's COG driver, whose structural metadata at the start promise it to readers over a network:
tiles in the order of rows, each between its size and a repetition of its last four bytes, the mask of a tile right
behind it. See https://gdal.org/en/stable/drivers/raster/cog.html, "File format details".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from xmatch.io.writing.pyramid import MASK, Segment, Written

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PREDICTOR = 254, 256, 257, 258, 262, 277, 317
_OFFSETS, _BYTE_COUNTS, _SAMPLE_FORMAT = 324, 325, 339
_OVERVIEW, _OF_MASK = 1, 4
_OF_EVERY_LEVEL = {_BITS, 259, _PHOTOMETRIC, _SAMPLES, 284, _PREDICTOR, 320, 322, 323, 338, _SAMPLE_FORMAT, 42113}
"""Tags that say how pixels are stored: compression, planes, colour table, tiles, alpha, GDAL's nodata value."""
_OF_MASKS = {259, 284, 322, 323}
_SHORT, _LONG, _LONG8 = 3, 4, 16
_LARGEST_TIFF = 2**32 - 2**16
_AROUND = 4
"""Bytes before and after each tile."""
_PROMISE = (
    "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)


class _Tag(NamedTuple):
    kind: int
    numbers: int
    value: bytes


class _Directory(NamedTuple):
    level: int
    plane: int
    tags: dict[int, _Tag]


def put_together(target: Path, template: Path, tiles: Path, written: Written) -> None:
    """Write `target` with the directory of `template` and the tiles that `written` tells of."""
    levels = range(len(written.sizes))
    planes = sorted({plane for _, plane, _, _ in written.segments}, reverse=True)  # 0, then the mask
    own = _tags_of(template)
    # GDAL's own order: overviews follow the image and its mask, and masks of overviews follow those.
    first = [_directory(own, written, 0, plane) for plane in planes]
    directories = first + [_directory(own, written, level, plane) for plane in planes for level in levels[1:]]
    tiles_nbytes = sum(segment.nbytes + 2 * _AROUND for segment in written.segments.values())
    header = _Header(directories, written, is_masked=MASK in planes, big=False)
    if header.nbytes + tiles_nbytes > _LARGEST_TIFF:
        header = _Header(directories, written, is_masked=MASK in planes, big=True)
    with target.open("wb") as file, tiles.open("rb") as source:
        file.write(header.to_bytes(_in_order(written, planes)))
        for _, segment in _in_order(written, planes):
            data = _read(source, segment)
            file.write(struct.pack("<I", segment.nbytes) + data + data[-_AROUND:])


def _in_order(written: Written, planes: list[int]) -> Iterator[tuple[tuple[int, int], Segment]]:
    """(level, plane) and segment of all tiles as the file has them."""
    for level in reversed(range(len(written.sizes))):
        for row, column in written.tiles(level):
            for plane in planes:
                yield (level, plane), written.segments[level, plane, row, column]


def _read(source: BinaryIO, segment: Segment) -> bytes:
    source.seek(segment.offset)
    return source.read(segment.nbytes)


def _tags_of(template: Path) -> dict[int, _Tag]:
    """Tags of a file's first directory as they are stored, in little-endian order."""
    import tifffile

    with tifffile.TiffFile(template) as tiff:
        tags = {}
        for tag in tiff.pages.first.tags:
            form = tifffile.TIFF.DATA_FORMATS[tag.dtype]
            tiff.filehandle.seek(tag.valueoffset)
            size = struct.calcsize(f"={form}")
            value = np.frombuffer(tiff.filehandle.read(size * tag.count), f"{tiff.byteorder}u{_word(form, size)}")
            tags[tag.code] = _Tag(int(tag.dtype), tag.count, value.astype(value.dtype.newbyteorder("<")).tobytes())
        return tags


def _word(form: str, size: int) -> int:
    """Bytes of a number in a tag's value; those of fractions are two."""
    return size // 2 if form[:1] == "2" else size


def _directory(own: dict[int, _Tag], written: Written, level: int, plane: int) -> _Directory:
    tags = own if level == 0 else {tag: own[tag] for tag in _OF_EVERY_LEVEL & own.keys()}
    if plane == MASK:
        bit = {_BITS: 1, _PHOTOMETRIC: 4, _SAMPLES: 1, _PREDICTOR: 1, _SAMPLE_FORMAT: 1}
        tags = {tag: own[tag] for tag in _OF_MASKS} | {tag: _number(value, _SHORT) for tag, value in bit.items()}
    kind = (_OVERVIEW if level else 0) + (_OF_MASK if plane == MASK else 0)
    width, height = written.sizes[level]
    tags = tags | {_WIDTH: _number(width), _HEIGHT: _number(height)}
    return _Directory(level, plane, tags | {_SUBFILE: _number(kind)} if kind else tags)


def _number(value: int, kind: int = _LONG) -> _Tag:
    return _Tag(kind, 1, struct.pack("<H" if kind == _SHORT else "<I", value))


class _Header:
    """All before the first tile: its size at once, its bytes when it is known where the tiles lie."""

    def __init__(self, directories: list[_Directory], written: Written, *, is_masked: bool, big: bool) -> None:
        self._directories, self._big = directories, big
        promise = _PROMISE + ("MASK_INTERLEAVED_WITH_IMAGERY=YES\n" if is_masked else "")
        self._promise = f"GDAL_STRUCTURAL_METADATA_SIZE={len(promise):06d} bytes\n{promise}".encode()
        self._start = _even((16 if big else 8) + len(self._promise))
        self._counts = [sum(1 for _ in written.tiles(directory.level)) for directory in directories]
        self.nbytes = self._start + sum(
            self._directory_nbytes(directory) + 2 * self._array_nbytes(count)
            for directory, count in zip(directories, self._counts, strict=True)
        )

    def to_bytes(self, tiles: Iterator[tuple[tuple[int, int], Segment]]) -> bytes:
        """The header for tiles that follow it in this order."""
        offsets: dict[tuple[int, int], list[int]] = {}
        sizes: dict[tuple[int, int], list[int]] = {}
        at = self.nbytes + _AROUND
        for key, segment in tiles:
            offsets.setdefault(key, []).append(at)
            sizes.setdefault(key, []).append(segment.nbytes)
            at += segment.nbytes + 2 * _AROUND
        form = "<II" if not self._big else "<QQ"
        word = form[-1]
        magic = struct.pack("<2sHHHQ", b"II", 43, 8, 0, self._start) if self._big else None
        out = bytearray(magic or struct.pack("<2sHI", b"II", 42, self._start))
        out += self._promise
        out += bytes(self._start - len(out))
        # Directories with their values one after the other, then the lists of all tiles.
        ends = np.cumsum([self._start] + [self._directory_nbytes(directory) for directory in self._directories])
        array_at, arrays = int(ends[-1]), bytearray()
        for directory, count, after in zip(self._directories, self._counts, ends[1:], strict=True):
            tags = dict(directory.tags)
            key = directory.level, directory.plane
            for tag, numbers in ((_OFFSETS, offsets[key]), (_BYTE_COUNTS, sizes[key])):
                tags[tag] = _Tag(_LONG8 if self._big else _LONG, count, struct.pack(f"<{count}{word}", *numbers))
            is_last = directory is self._directories[-1]
            array_at = self._add(out, arrays, tags, array_at, 0 if is_last else int(after))
        return bytes(out + arrays)

    def _add(self, out: bytearray, arrays: bytearray, tags: dict[int, _Tag], array_at: int, following: int) -> int:
        """Append a directory to `out` and its lists of tiles to `arrays`; where the next list goes."""
        count, entry, word = ("<Q", "<HHQ", "<Q") if self._big else ("<H", "<HHI", "<I")
        inline = struct.calcsize(word)
        value_at = len(out) + struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + inline) + inline
        values = bytearray()
        out += struct.pack(count, len(tags))
        for tag, (kind, number, value) in sorted(tags.items()):
            out += struct.pack(entry, tag, kind, number)
            if len(value) <= inline:
                out += value.ljust(inline, b"\0")
            elif tag in (_OFFSETS, _BYTE_COUNTS):
                out += struct.pack(word, array_at)
                arrays += value
                array_at += len(value)
            else:
                out += struct.pack(word, value_at + len(values))
                values += value.ljust(_even(len(value)), b"\0")
        out += struct.pack(word, following) + values
        return array_at

    def _directory_nbytes(self, directory: _Directory) -> int:
        """Of a directory with its values, but for the lists of tiles."""
        count, entry, inline = (8, 20, 8) if self._big else (2, 12, 4)
        tags = directory.tags.keys() | {_OFFSETS, _BYTE_COUNTS}
        outside = [
            _even(len(tag.value))
            for code, tag in directory.tags.items()
            if code not in (_OFFSETS, _BYTE_COUNTS) and len(tag.value) > inline
        ]
        return count + entry * len(tags) + inline + sum(outside)

    def _array_nbytes(self, count: int) -> int:
        """Of one list of tiles, where it does not fit into the directory itself."""
        word = 8 if self._big else 4
        return count * word if count > 1 else 0


def _even(nbytes: int) -> int:
    return nbytes + nbytes % 2


__all__ = ["put_together"]
