"""The header of a classic NetCDF file (versions 1, 2 and 5): how long the file must be to hold what it claims.

What it lacks at its end libnetcdf delivers as zeros. Version 4, which is HDF5, finds that out by itself.
"""

from __future__ import annotations

import math
import struct
from typing import BinaryIO

from xmatch.errors import InputError

_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Kind of values -> bytes of one."""
_MOST = 100_000
"""Of dimensions, attributes or variables."""


def refuse_truncated(path: str, size: int) -> None:
    """Raise InputError for a classic file whose header is damaged, or speaks of more bytes than its `size`."""
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic[:3] != b"CDF":
            return
        try:
            needed = _Header(file, magic[3]).end()
        except (struct.error, KeyError, ValueError, IndexError, OverflowError):
            raise InputError("is a NetCDF file whose header is damaged", path=path) from None
    if needed > size:
        raise InputError(f"is truncated: its header speaks of {needed} bytes, it has {size}", path=path)


class _Header:
    """Reads on behind the magic number."""

    def __init__(self, file: BinaryIO, version: int) -> None:
        self._file, self._wide_counts, self._wide_offsets = file, version == 5, version in (2, 5)

    def end(self) -> int:
        """Number of the first byte behind all values."""
        records = self._count()
        sides = []
        for _ in range(self._listed()):
            self._name()
            sides.append(self._count())
        self._skip_attributes()
        ends, of_records = [0], []
        for _ in range(self._listed()):
            self._name()
            shape = [sides[self._count()] for _ in range(self._count())]
            self._skip_attributes()
            each = _TYPES[self._number()]
            self._count()  # its size, which a large one has no room for
            begin = self._read(">q" if self._wide_offsets else ">i")
            if shape and shape[0] == 0:
                of_records.append((begin, math.prod(shape[1:]) * each))
            else:
                ends.append(begin + math.prod(shape) * each)
        # Records are padded to four bytes, unless there is one variable of them alone.
        padded = (
            [4 * -(-size // 4) for _, size in of_records] if len(of_records) > 1 else [size for _, size in of_records]
        )
        is_known = records != (2**64 - 1 if self._wide_counts else 2**32 - 1)  # else still being written
        if records and is_known:
            ends += [begin + (records - 1) * sum(padded) + size for begin, size in of_records]
        return max(ends)

    def _read(self, form: str) -> int:
        value: int = struct.unpack(form, self._file.read(struct.calcsize(form)))[0]
        return value

    def _number(self) -> int:
        return self._read(">I")

    def _count(self) -> int:
        return self._read(">Q" if self._wide_counts else ">I")

    def _listed(self) -> int:
        """Elements of the list that begins here."""
        self._number()
        count = self._count()
        if count > _MOST:
            raise ValueError
        return count

    def _skip(self, count: int) -> None:
        """That many bytes and what pads them."""
        if count > 2**31:
            raise ValueError
        self._file.seek(4 * -(-count // 4), 1)

    def _name(self) -> None:
        self._skip(self._count())

    def _skip_attributes(self) -> None:
        for _ in range(self._listed()):
            self._name()
            each = _TYPES[self._number()]
            self._skip(each * self._count())
