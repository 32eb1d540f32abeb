"""Pixels per inch or centimetre that JPEG and PNG state in their headers; GDAL does not tell."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from xmatch.io.rasters.source import Resolution

INCH, CENTIMETRE = 2, 3
_MOST_PARTS = 64
"""Segments or chunks looked at; those that say it come first in a file."""


def stated_resolution(path: str, driver: str, tags: dict[str, str]) -> Resolution | None:
    """What a JPEG or PNG says of its resolution; None where it says nothing.

    Args:
        tags: GDAL's, which hold a JPEG's EXIF.
    """
    reader = {"JPEG": _jfif, "PNG": _phys}.get(driver)
    try:
        with open(path, "rb") as file:
            found = reader(file) if reader else None
    except (OSError, struct.error):
        found = None
    found = found or _exif(tags)
    return found if found and min(found[:2]) > 0 else None


def _jfif(file: BinaryIO) -> Resolution | None:
    """ITU-T T.871, 10.1: the APP0 segment."""
    file.seek(2)
    for _ in range(_MOST_PARTS):
        marker, length = struct.unpack(">HH", file.read(4))
        if marker == 0xFFE0 and file.read(5) == b"JFIF\0":
            _, unit, x, y = struct.unpack(">HBHH", file.read(7))
            return (float(x), float(y), unit + 1) if unit in (1, 2) else None
        if marker == 0xFFDA:  # pixels begin
            return None
        file.seek(length - (7 if marker == 0xFFE0 else 2), 1)
    return None


def _phys(file: BinaryIO) -> Resolution | None:
    """PNG, 11.3.4.3: the pHYs chunk, px per metre."""
    file.seek(8)
    for _ in range(_MOST_PARTS):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"pHYs":
            x, y, unit = struct.unpack(">IIB", file.read(9))
            return (x / 100, y / 100, CENTIMETRE) if unit == 1 else None
        if kind == b"IDAT":
            return None
        file.seek(length + 4, 1)
    return None


def _exif(tags: dict[str, str]) -> Resolution | None:
    x, y = (re.search(r"[0-9.]+", tags.get(f"EXIF_{axis}Resolution", "")) for axis in "XY")
    unit = tags.get("EXIF_ResolutionUnit", "2").strip()[:1]
    if x is None or y is None or unit not in ("2", "3"):
        return None
    try:
        return float(x[0]), float(y[0]), int(unit)
    except ValueError:
        return None
