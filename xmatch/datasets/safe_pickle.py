"""Pickles and .npz files with object arrays, read without running what is in them.

A pickle is a program: loading one may call any function of the machine. Published lists of pairs come as such files.
The unpickler here knows numpy's arrays, scalars and types and plain containers, and refuses every other name.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib import format as npy

from xmatch.errors import InputError

Rebuild = Callable[..., object]
_REBUILT, _SCALAR, _FROM_BUFFER = (
    cast(Rebuild, reduced[0])  # numpy's stubs call them text
    for reduced in (np.zeros(0).__reduce__(), np.float64(0).__reduce__(), np.zeros(1).__reduce_ex__(5))
)


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes; other codecs could unpack more than the machine holds."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r}")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Rebuild] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("collections", "OrderedDict"): OrderedDict,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _REBUILT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FROM_BUFFER for core in ("core", "_core")},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _KNOWN[module, name]


def load_pickle(path: Path) -> object:
    """What a pickle of arrays and plain containers holds.

    Raises:
        InputError: the file cannot be read, or names anything else.
    """
    try:
        with path.open("rb") as file:
            return _plain(file, path)
    except OSError as error:
        raise InputError(f"cannot be read: {error}", path=path) from error


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, those of objects too.

    Raises:
        InputError: the file is no .npz, or its objects are more than arrays and plain containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name), path) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"cannot be read as an .npz file: {error}", path=path) from error


def _array(content: bytes, path: Path) -> np.ndarray:
    file = io.BytesIO(content)
    read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject:
        return np.load(io.BytesIO(content), allow_pickle=False)
    return np.asarray(_plain(file, path), dtype=object).reshape(shape)


def _plain(file: io.BufferedIOBase, path: Path) -> object:
    try:
        return _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything; none of it is xmatch's fault
        raise InputError(
            f"is a pickle that holds more than arrays and plain containers, or is damaged: {error}",
            path=path,
            hint="pickles are programs; convert the file to plain arrays (numpy.savez) where you trust it",
        ) from error
