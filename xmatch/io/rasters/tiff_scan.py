"""A TIFF's table of contents, read with bounds on everything, before a real decoder is let near the file.

GDAL and tifffile decode; this only walks the image file directories (IFDs), because both libraries can be
made to loop or to allocate without limit by a directory that points to itself, a chain of 10^5 of them or a tag that
claims gigabytes. What it learns also decides which of the two reads the file.
Layout: TIFF 6.0, section 2; BigTIFF as at https://www.awaresystems.be/imaging/tiff/bigtiff.html.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from xmatch.errors import InputError

MAX_DIRECTORIES = 65_535
"""As many as libtiff itself used to allow."""
MAX_TAGS = 4096
"""Tags in one directory; real ones have fewer than 100."""
MAX_SAMPLES = 4096
"""Samples of a pixel; the time that GDAL needs grows with their square."""
MAX_TAG_BYTES = 256 * 2**20
"""Size of one tag's value; the largest real ones are OME-XML and the block lists of huge rasters."""

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_DESCRIPTION, _SAMPLES, _X_RESOLUTION, _Y_RESOLUTION, _UNIT, _SUB_IFDS = 270, 277, 282, 283, 296, 330
_ORIENTATION = 274
_GEOREFERENCING = {33550, 33922, 34264, 34735, 50844}
"""ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, RPCCoefficient."""


@dataclass(frozen=True, slots=True)
class Directory:
    """One IFD."""

    number: int
    """Place in the file's main chain, from 0."""
    width: int
    height: int
    samples: int
    bits: int
    compression: int
    photometric: int
    part: bool
    """True for overviews and masks, which belong to another directory's image."""
    georeferenced: bool
    sub_directories: int
    description: str
    """The first 2000 characters."""
    resolution: tuple[float, float, int] | None
    """(x, y, unit) as tagged: px per unit, where 2 is an inch and 3 a centimetre."""
    orientation: int
    """Where the first row and column belong when the image is shown, 1 to 8; 1 is top and left."""

    @property
    def claimed_bytes(self) -> int:
        """Size of the pixels once decoded."""
        return self.width * self.height * self.samples * max(self.bits, 8) // 8


def scan_tiff(path: str) -> tuple[Directory, ...]:
    """The directories of the main chain.

    Raises:
        InputError: the chain is cyclic, longer than `MAX_DIRECTORIES`, leaves the file, or holds a tag that is
            larger than `MAX_TAG_BYTES` or than the file; an image without pixels.
    """
    with open(path, "rb") as file:
        try:
            return _Walker(file, path).walk()
        except struct.error:
            raise InputError("its header is cut short; the file is truncated", path=path) from None


class _Walker:
    def __init__(self, file: BinaryIO, path: str) -> None:
        self.file, self.path = file, path
        self.size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = struct.unpack_from(self.order + "H", head, 2)[0] == 43
        # Formats of the count of entries, of an entry (tag, type, count, value) and of an offset.
        self.count, self.entry, self.offset = ("Q", "HHQ8s", "Q") if self.big else ("H", "HHI4s", "I")
        self.first = struct.unpack_from(self.order + self.offset, head, 8 if self.big else 4)[0]
        self.seen: set[int] = set()

    def walk(self) -> tuple[Directory, ...]:
        found: list[Directory] = []
        at = self.first
        while at:
            tags, after = self._directory(at)
            found.append(self._describe(len(found), tags))
            for sub in self._integers(tags, _SUB_IFDS):
                # Writers list sub-directories and chain them as well, so that meeting one again is no fault here.
                while sub and sub not in self.seen:
                    _, sub = self._directory(sub)
            at = after
        if not found:
            self._fail("holds no image directory")
        return tuple(found)

    def _directory(self, at: int) -> tuple[dict[int, tuple[int, int, bytes]], int]:
        """Tag -> (type, count, value or offset), and the offset of the next directory."""
        if at in self.seen:
            self._fail("its directories form a cycle; the file is damaged or made to hang readers")
        self.seen.add(at)
        if len(self.seen) > MAX_DIRECTORIES:
            self._fail(f"has more than {MAX_DIRECTORIES} image directories; split it into smaller stacks")
        if at >= self.size:
            self._fail(f"a directory lies at byte {at}, beyond the end of the {self.size}-byte file; it is truncated")
        number = self._unpack(self.count, at)
        if number > MAX_TAGS:
            self._fail(f"a directory claims {number} tags; expected {MAX_TAGS} at most")
        entry, step = struct.Struct(self.order + self.entry), struct.calcsize("=" + self.count)
        block = self._bytes(at + step, number * entry.size)
        tags = {}
        for tag, kind, count, value in entry.iter_unpack(block):
            nbytes = _TYPE_BYTES.get(kind, 0) * count
            if nbytes > len(value):
                self._check_value(tag, nbytes, struct.unpack(self.order + self.offset, value)[0])
            tags[tag] = kind, count, value
        return tags, self._unpack(self.offset, at + step + len(block))

    def _check_value(self, tag: int, nbytes: int, offset: int) -> None:
        if nbytes > MAX_TAG_BYTES:
            self._fail(f"tag {tag} claims {nbytes} bytes; expected {MAX_TAG_BYTES} at most")
        if offset + nbytes > self.size:
            self._fail(
                f"tag {tag} claims {nbytes} bytes at byte {offset}, beyond the end of the {self.size}-byte file; "
                "it is truncated or damaged"
            )

    def _describe(self, number: int, tags: dict[int, tuple[int, int, bytes]]) -> Directory:
        def value(tag: int, default: int) -> int:
            return next(iter(self._integers(tags, tag, 1)), default)

        width, height = value(_WIDTH, 0), value(_HEIGHT, 0)
        part = bool(value(_SUBFILE, 0) & 0b101) or value(_OLD_SUBFILE, 1) == 2
        if not (width and height):
            self._fail(f"image {number} measures {width} x {height} px")
        if value(_SAMPLES, 1) > MAX_SAMPLES:
            self._fail(f"image {number} claims {value(_SAMPLES, 1)} samples a pixel; expected {MAX_SAMPLES} at most")
        return Directory(
            number=number,
            width=width,
            height=height,
            samples=value(_SAMPLES, 1),
            bits=value(_BITS, 1),
            compression=value(_COMPRESSION, 1),
            photometric=value(_PHOTOMETRIC, 1),
            part=part,
            georeferenced=not _GEOREFERENCING.isdisjoint(tags),
            sub_directories=tags[_SUB_IFDS][1] if _SUB_IFDS in tags else 0,
            description=self._text(tags),
            resolution=self._resolution(tags, value(_UNIT, 2)),
            orientation=value(_ORIENTATION, 1),
        )

    def _integers(
        self, tags: dict[int, tuple[int, int, bytes]], tag: int, most: int = MAX_DIRECTORIES
    ) -> tuple[int, ...]:
        kind, count, value = tags.get(tag, (0, 0, b""))
        if kind not in _INTEGERS:
            return ()
        wanted = min(count, most)
        if _TYPE_BYTES[kind] * count > len(value):
            value = self._bytes(struct.unpack(self.order + self.offset, value)[0], wanted * _TYPE_BYTES[kind])
        return struct.unpack_from(f"{self.order}{wanted}{_INTEGERS[kind]}", value)

    def _text(self, tags: dict[int, tuple[int, int, bytes]]) -> str:
        kind, count, value = tags.get(_DESCRIPTION, (0, 0, b""))
        if kind != 2:
            return ""
        if count > len(value):
            value = self._bytes(struct.unpack(self.order + self.offset, value)[0], min(count, 2000))
        return value.decode("utf-8", "replace").rstrip("\0")

    def _resolution(self, tags: dict[int, tuple[int, int, bytes]], unit: int) -> tuple[float, float, int] | None:
        found = []
        for tag in (_X_RESOLUTION, _Y_RESOLUTION):
            kind, count, value = tags.get(tag, (0, 0, b""))
            if kind != 5 or count != 1:
                return None
            fraction = value if self.big else self._bytes(struct.unpack(self.order + "I", value)[0], 8)
            above, below = struct.unpack(self.order + "II", fraction)
            found.append(above / below if below else 0.0)
        return found[0], found[1], unit

    def _unpack(self, form: str, at: int) -> int:
        return struct.unpack(self.order + form, self._bytes(at, struct.calcsize("=" + form)))[0]

    def _bytes(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        return self.file.read(count)

    def _fail(self, message: str) -> None:
        raise InputError(message, hint="get an intact copy of the file", path=self.path)
