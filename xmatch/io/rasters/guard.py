"""What stands between a path and the libraries that decode it: nothing that hangs, lies about its kind or changes."""

from __future__ import annotations

import gzip
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import NullHandler, getLogger
from typing import BinaryIO, NoReturn

from xmatch.errors import InputError, ResourceError, XmatchError

SIGNATURES = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"CDF\x01", "netCDF"),
    (b"CDF\x02", "netCDF"),
    (b"CDF\x05", "netCDF"),
    (b"\x89HDF\r\n\x1a\n", "netCDF"),
)
"""First bytes of a file -> the one GDAL driver that may open it. The name's suffix is never believed."""
FORMATS = "TIFF, PNG, JPEG, JPEG 2000, NetCDF, ENVI, DICOM, NIfTI, OME-Zarr, SAFE"
_HEAD_BYTES = 352
"""Of a file, by which its kind is told: the header of NIfTI-1 and the four bytes after it."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_BOMB_RATIO = 20_000
"""Decoded bytes per byte of file beyond which a header is not believed; deflate reaches 1032, sparse tiles about
16,000."""
_BOMB_BYTES = 128 * 2**20
"""Decoded bytes up to which a file may claim whatever it likes."""
_REMOTE = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://|/vsi)")


@dataclass(frozen=True)
class Fingerprint:
    """A file's identity at the time of opening; `check` finds out whether it is still the same."""

    path: str
    identity: tuple[int, ...]
    size: int

    @classmethod
    def take(cls, path: str) -> Fingerprint:
        """Identity of a regular file that holds at least one byte.

        Raises:
            InputError: nothing there, not a regular file (found out without opening it, so that a pipe cannot
                hang), or empty.
        """
        try:
            status = os.stat(path)
        except FileNotFoundError:
            raise InputError("there is no such file", path=path) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot be opened: {reason}", path=path) from None
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
            raise InputError(f"is {kind}; expected an image file", path=path)
        if status.st_size == 0:
            raise InputError("is empty (0 bytes); expected an image", path=path)
        return cls(path, _identity(status), status.st_size)

    def check(self) -> None:
        """Raise InputError when the file has been replaced, rewritten or removed since."""
        try:
            same = _identity(os.stat(self.path)) == self.identity
        except OSError:
            same = False
        if not same:
            raise InputError(
                "was changed or removed while it was being read",
                hint="run again once nothing writes to it",
                path=self.path,
            )


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def is_remote(path: str) -> bool:
    """Whether GDAL would look for `path` elsewhere than in the file system: a URL, or one of its /vsi handlers."""
    return bool(_REMOTE.match(path))


def refuse_remote(path: str, offline: bool) -> NoReturn:
    raise InputError(
        "is a remote location or a GDAL virtual path; expected a local file",
        hint="without --offline, --allow-remote permits it" if offline else "--allow-remote permits it",
        path=path,
    )


def sniff(path: str) -> str:
    """The format that the first bytes announce: GDAL's name of it, "VRT", "DICOM" or "NIfTI".

    Raises:
        InputError: unreadable, or none of these.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            inner = b""
            if head.startswith(b"\x1f\x8b"):
                file.seek(0)
                inner = _inflated(file)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror or error}", path=path) from None
    for signature, driver in SIGNATURES:
        if head.startswith(signature):
            return driver
    if head.lstrip().startswith(b"<VRTDataset"):
        return "VRT"
    if head[128:132] == b"DICM":
        return "DICOM"
    if _is_nifti(head) or _is_nifti(inner):
        return "NIfTI"
    wanted = "a TIFF" if path.lower().endswith((".tif", ".tiff")) else f"an image of a known format ({FORMATS})"
    raise InputError(f"is not {wanted}: it begins with {head[:12]!r}", path=path)


def _is_nifti(head: bytes) -> bool:
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _inflated(file: BinaryIO) -> bytes:
    """The first bytes of what a gzip file holds; fewer where it is damaged."""
    try:
        with gzip.GzipFile(fileobj=file) as inner:
            return inner.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def refuse_bomb(file: Fingerprint, size: tuple[int, int], claimed_bytes: int, max_bytes: int) -> None:
    """Raise ResourceError for a header that claims far more pixels than its file can hold."""
    if claimed_bytes > min(max_bytes, _BOMB_BYTES) and claimed_bytes > _BOMB_RATIO * file.size:
        raise ResourceError(
            f"its header claims {size[0]} x {size[1]} px, {claimed_bytes / 2**30:.1f} GiB decoded, in a file of "
            f"{file.size} bytes, which cannot hold so much; {max_bytes / 2**30:.1f} GiB are allowed",
            hint="a damaged or hostile file",
            path=file.path,
        )


def silence(logger: str) -> None:
    """Keep a library's own talk off stderr, unless the program has set up logging for it."""
    if not getLogger(logger).handlers:
        getLogger(logger).addHandler(NullHandler())


@contextmanager
def decoding(path: str, what: str = "") -> Iterator[None]:
    """Turn what decoders raise into InputError, running out of memory into ResourceError; our own mistakes pass.

    rasterio, tifffile and the codecs raise their own errors on damaged files and, deep inside, whatever Python raises
    when a number is not what it was taken for (struct.error, ValueError, KeyError, ZeroDivisionError, ...). The former
    are the file's fault wherever they appear; the latter only if they were raised in a library, not in xmatch, where
    they are a bug that must be seen as one.
    """
    try:
        yield
    except XmatchError:
        raise
    except MemoryError:
        raise ResourceError(f"{what}out of memory", hint="lower --max-memory", path=path) from None
    except Exception as error:
        if _raised_here(error) and not _is_of_a_decoder(error):
            raise
        raise InputError(f"{what}{_reason(error, path)}", path=path) from error


_DECODERS = ("rasterio", "tifffile", "imagecodecs", "pydicom", "nibabel", "zarr", "numcodecs")


def _is_of_a_decoder(error: Exception) -> bool:
    if isinstance(error, (OSError, EOFError, UnicodeError, struct.error, zlib.error)):
        return True
    kinds = type(error).__mro__
    return any(kind.__module__.partition(".")[0] in _DECODERS for kind in kinds)


def _raised_here(error: Exception) -> bool:
    """Whether the statement that failed stands in xmatch, and not in a library that it called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "xmatch"


def _reason(error: Exception, path: str) -> str:
    """The message on one line; rasterio keeps GDAL's own, which name the band, in the cause."""
    told = error.__cause__ if str(error).startswith("Read failed") and error.__cause__ is not None else error
    text = " ".join(str(told).split()).replace(path, os.path.basename(path)).rstrip(".")
    return text[:300] or type(told).__name__
