"""HDF5 files that keep values in other files. Such a file, come from somewhere else, could carry what these hold into a
result: `xmatch.io.rasters.virtual` says the same of VRTs.

There are three ways: storage outside, links to objects of other files, and virtual data sets that put others together.
Each is a message of an object's header, or of a heap. The library gives no way to forbid them and none to ask without
opening, so the bytes are looked through for messages of these kinds. What the library checks of them decides, and not
what it leaves unread, since a file may be made to deceive. That data look like one by chance is next to impossible. The
layout is that of "HDF5 File Format Specification Version 3.0", IV.A.2.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from xmatch.errors import InputError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_WORD = 8
"""Bytes of an address and of a length; what all programs write."""
_HEADERS = (rb"\x00.{6}", rb".{3}", rb".{5}")
"""Of a message, after the first byte of its kind: by version 1, and by version 2 without and with its number."""
_STORAGE = [re.compile(rb"\x07" + header + rb"\x01.{7}(.{8})", re.DOTALL) for header in _HEADERS]
"""External Data Files, and the address of their names."""
_VIRTUAL = [re.compile(rb"\x08" + header + rb"[\x04\x05]\x03(.{8})", re.DOTALL) for header in _HEADERS]
"""A layout of the virtual class, and the address of what it consists of."""
_NAMES = re.compile(rb"\x00(?:/[^\x00]*/)?[^\x00-\x1f]+(?:\x00[^\x00-\x1f]*(?:\x00|\Z)|\Z)")
"""Where a link leads: flags, file, object in it; without an object, to all of it. Of an absolute name that does not
open the library takes the last part and looks beside the file, so what comes before that may be any bytes. Elsewhere a
control character would have to be in the name of what is there, and tells data from links."""
_CHUNK = 1 << 22
_OVERLAP = 64
"""More than any pattern asks for."""


def refuse_outside(path: str) -> None:
    """Looks through the whole file.

    Raises:
        InputError: the HDF5 file keeps values in other files, or in a way that hides whether it does.
    """
    with open(path, "rb") as file:
        found = _kind_of_addresses(file) or next(_found(file, os.fstat(file.fileno()).st_size), None)
    if found is not None:
        raise InputError(
            f"is HDF5 with {found}; expected values of its own", hint="--allow-remote permits it", path=path
        )


def _kind_of_addresses(file: BinaryIO) -> str | None:
    """What is unusual of them, by the superblock."""
    data = _read(file, 0, 64)
    sizes, base = (data[13:15], data[24:32]) if data[8:9] < b"\x02" else (data[9:11], data[12:20])
    # Where the signature is not whole, the library looks for a superblock further on.
    usual = data.startswith(_SIGNATURE) and sizes == bytes([_WORD, _WORD]) and not any(base)
    return None if usual else "addresses of another kind than usual"


def _found(file: BinaryIO, size: int) -> Iterator[str]:
    signs = _signs(size)
    for start in range(0, size, _CHUNK):
        chunk = _read(file, start, _CHUNK + _OVERLAP)
        matches = (match.start() for sign in signs for match in sign.finditer(chunk))
        for at in (at for at in matches if at < _CHUNK):  # where the next begins, this one may be cut
            kind = chunk[at]
            if kind == 0x07 and _leads_to(b"HEAP", _STORAGE, chunk, at, file, size):
                yield "values in other files"
            elif kind == 0x08 and _leads_to(b"GCOL", _VIRTUAL, chunk, at, file, size):
                yield "a virtual data set, whose values may lie in other files"
            elif kind == 0x01 and _is_link(file, start + at, size):
                yield "links to other files"
            elif kind == ord("F"):
                yield "links that are packed and may lead to other files"
            elif kind == ord("M"):
                yield "an image of a metadata cache, which may hold links to other files"


def _signs(size: int) -> list[re.Pattern[bytes]]:
    """Where something may begin that is looked for, in a file of this size; each match is the first byte of it. One
    after the other takes half the time of all in one pattern."""
    used = (size.bit_length() + 7) // 8
    address = rb".{%d}\x00{%d}" % (used, _WORD - used)
    header = rb"(?:" + rb"|".join(_HEADERS) + rb")"
    kinds = (
        rb"\x07(?=" + header + rb"\x01.{7}" + address + rb")",
        rb"\x08(?=" + header + rb"[\x04\x05]\x03" + address + rb")",
        # a link that says its kind, the external one: version, flags, kind
        rb"\x01(?=[\x08-\x0f\x18-\x1f]\x40)",
        # a heap of links behind a filter, in which nothing can be seen
        rb"F(?=RHP\x00..(?!\x00\x00))",
        # an image of the cache, whose parts are put at addresses of the file when it is opened: version, flags, length
        rb"M(?=DCI\x00." + address + rb")",
    )
    return [re.compile(kind, re.DOTALL) for kind in kinds]


def _leads_to(
    signature: bytes, patterns: list[re.Pattern[bytes]], chunk: bytes, at: int, file: BinaryIO, size: int
) -> bool:
    """Whether a match there ends with the address of something that begins so."""
    matches = (pattern.match(chunk, at) for pattern in patterns)
    ends = (int.from_bytes(match.group(1), "little") for match in matches if match)
    return any(end < size and _read(file, end, len(signature)) == signature for end in ends)


def _is_link(file: BinaryIO, start: int, size: int) -> bool:
    """Whether lengths and ends of the names are those of a link."""
    head = _read(file, start, 32)
    flags = head[1]
    at = 3 + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    name = int.from_bytes(head[at : at + width], "little")
    end = start + at + width + name
    if not name or end + 2 > size:
        return False
    length = int.from_bytes(_read(file, end, 2), "little")
    return _NAMES.match(_read(file, end + 2, length)) is not None


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    """As many bytes as are there: the file may have become shorter."""
    file.seek(start)
    return file.read(count)
