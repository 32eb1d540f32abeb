"""HDF5 files that keep values in other files. Such a file, come from somewhere else, could carry what these hold into a
result: `xmatch.io.rasters.virtual` says the same of VRTs.

There are three ways: storage outside, links to objects of other files, and virtual data sets that put others together.
Each is a message of an object's header, or of a heap. The library gives no way to forbid them and none to ask without
opening, so the bytes are looked through for messages of these kinds. What the library checks of them decides, and not
what it leaves unread, since a file may be made to deceive. That data look like one by chance is next to impossible. The
layout is that of "HDF5 File Format Specification Version 3.0", IV.A.2.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

from xmatch.errors import InputError

_WORD = 8
"""Bytes of an address and of a length; what all programs write."""
_HEADERS = (rb"\x00.{6}", rb".{3}", rb".{5}")
"""Of a message, after the first byte of its kind: by version 1, and by version 2 without and with its number."""
_STORAGE = [re.compile(rb"\x07" + header + rb"\x01.{7}(.{8})", re.DOTALL) for header in _HEADERS]
"""External Data Files, and the address of their names."""
_VIRTUAL = [re.compile(rb"\x08" + header + rb"[\x04\x05]\x03(.{8})", re.DOTALL) for header in _HEADERS]
"""A layout of the virtual class, and the address of what it consists of."""
_LINK = re.compile(rb"\x01[\x08-\x1f]\x40")
"""A link of the external kind: version, flags, kind."""
_NAMES = re.compile(rb"\x00[^\x00-\x1f]+\x00[^\x00-\x1f]+\x00")
"""Where it leads: flags, file, object in it."""
_PACKED = re.compile(rb"FRHP\x00..(?!\x00\x00)", re.DOTALL)
"""A heap of links behind a filter, in which nothing can be seen."""
_LONGEST_NAME = 2**16


def refuse_outside(path: str) -> None:
    """
    Raises:
        InputError: the HDF5 file keeps values in other files, or in a way that hides whether it does.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = next(_found(data), None)
    if found is not None:
        raise InputError(
            f"is HDF5 with {found}; expected values of its own", hint="--allow-remote permits it", path=path
        )


def _found(data: mmap.mmap) -> Iterator[str]:
    sizes, base = (data[13:15], data[24:32]) if data[8:9] < b"\x02" else (data[9:11], data[12:20])
    if sizes != bytes([_WORD, _WORD]) or any(base):
        yield "addresses of another kind than usual"
    if _leads_to(b"HEAP", _STORAGE, data):
        yield "values in other files"
    if _leads_to(b"GCOL", _VIRTUAL, data):
        yield "a virtual data set, whose values may lie in other files"
    if any(_is_link(data, match.start()) for match in _each(_LINK, data)):
        yield "links to other files"
    if any(True for _ in _each(_PACKED, data)):
        yield "links that are packed and may lead to other files"


def _each(pattern: re.Pattern[bytes], data: mmap.mmap) -> Iterator[re.Match[bytes]]:
    """All matches, those that overlap as well."""
    match = pattern.search(data)
    while match:
        yield match
        match = pattern.search(data, match.start() + 1)


def _leads_to(signature: bytes, patterns: list[re.Pattern[bytes]], data: mmap.mmap) -> bool:
    """Whether any match ends with the address of something that begins so."""
    matches = (match for pattern in patterns for match in _each(pattern, data))
    ends = (int.from_bytes(match.group(1), "little") for match in matches)
    return any(data[end : end + 4] == signature for end in ends if end < len(data))


def _is_link(data: mmap.mmap, start: int) -> bool:
    """Whether lengths and ends of the names are those of a link."""
    flags = data[start + 1]
    at = start + 3 + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    name = int.from_bytes(data[at : at + width], "little")
    at += width + name
    if not 0 < name <= _LONGEST_NAME or at + 2 > len(data):
        return False
    length = int.from_bytes(data[at : at + 2], "little")
    return _NAMES.match(data[at + 2 : at + 2 + length]) is not None
