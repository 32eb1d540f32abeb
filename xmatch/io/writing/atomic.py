"""The one place that puts files into the world: complete, read back and under their final name, or not at all.

A file is written under a temporary name beside its target, read back, flushed to the disk and renamed. Whoever
looks sees the old file or the new one, never a part: GDAL says nothing when the disk is full, and a killed
process leaves a valid TIFF of zeros.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PosixPath
from typing import TypeAlias

from xmatch.errors import OutputError
from xmatch.io.writing.temporary_names import as_pattern, left_behind, plain, prefix_of, remove

PathName: TypeAlias = str | os.PathLike[str]


class TemporaryPath(PosixPath):
    """Name of a file that is being written, given out by `atomic_write`, which knows it by this type."""


@contextlib.contextmanager
def atomic_write(
    path: PathName, overwrite: bool = False, verify: Callable[[Path], object] | None = None
) -> Iterator[TemporaryPath]:
    """Give a temporary path to write to; when the block ends well, that file becomes `path`.

    Files that a library makes beside the temporary one are removed if their names start with its name. The old
    file stays untouched until the rename, and for good when anything raises, KeyboardInterrupt included.

    A `TemporaryPath`, which an enclosing `atomic_write` or `atomic_writes` gave out, is itself the temporary file: it
    is written and verified here, and takes its final name when the enclosing block ends.

    Args:
        path: the target; a symbolic link is followed, so that the link stays one.
        overwrite: replace an existing file.
        verify: called with the temporary path when it is complete; raises when the file is not what was meant.

    Raises:
        OutputError: the target may not be written, another run is writing it, or the disk failed.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(path, TemporaryPath):
            temp = path
        else:
            temp = stack.enter_context(atomic_writes([path], overwrite))[path]
        with _told_of(path, temp):
            yield temp
            step("verify")
            if verify is not None:
                verify(temp)


@contextlib.contextmanager
def atomic_writes(paths: Iterable[PathName], overwrite: bool = False) -> Iterator[dict[PathName, TemporaryPath]]:
    """Several files of one run: each path's temporary one. They take their names, in the order given, only when
    all of them are written and on the disk; put the one last whose presence says that the run is done.

    Raises:
        OutputError: as `atomic_write`.
    """
    with contextlib.ExitStack() as stack:
        pending = {path: stack.enter_context(_pending(path, overwrite)) for path in paths}
        yield {path: temp for path, (_, temp) in pending.items()}
        for path, (target, temp) in pending.items():
            with _told_of(path, temp):
                step("fsync")
                _flush(temp)
                check_target(path, overwrite)  # someone else may have been quicker
                with contextlib.suppress(PermissionError):  # of file systems that know no modes
                    os.chmod(temp, _mode_of(target))  # some libraries write for the owner alone
        for path, (target, temp) in pending.items():
            with _told_of(path, temp):
                step("rename")
                os.replace(temp, target)
        for directory in {target.parent for target, _ in pending.values()}:
            with contextlib.suppress(OSError):  # some network file systems cannot flush a directory
                _flush(directory)


def was_cut_off(last: PathName) -> bool:
    """Whether a run was killed while its files took their names: the last of them is not there, and a temporary file of
    it is, which nobody is writing. That run was allowed to write all of them: the others are its own, or it was told
    to replace them."""
    target = Path(os.path.realpath(last))
    if target.exists() or not any(target.parent.glob(as_pattern(prefix_of(target)) + "*.tmp*")):
        return False
    try:
        with _lock(target):
            return bool(left_behind(target))
    except OutputError:
        return False


def check_target(path: PathName, overwrite: bool = False, inputs: Sequence[PathName] = (), need_bytes: int = 0) -> None:
    """Find out before the expensive work whether `path` can be written.

    Args:
        path: the file to be written later.
        overwrite: whether an existing file may be replaced.
        inputs: files that the run reads; none of them may be the target, by whatever name or link.
        need_bytes: space that the file and its temporary companions will take.

    Raises:
        OutputError: it exists, is an input or no regular file, or its directory is read-only, full or cannot be made.
    """
    if os.fsdecode(path).endswith(os.sep):
        raise OutputError("cannot be an output: it names a folder", hint="name a file", path=path)
    target = Path(os.path.realpath(path))
    try:
        found = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    except OSError as error:
        raise OutputError(f"cannot be an output: {_reason(error)}", path=path) from error
    for source in inputs:
        with contextlib.suppress(OSError):
            if os.path.realpath(source) == str(target) or (found and os.path.samestat(os.stat(source), found)):
                raise OutputError("the output is also an input", hint="choose another --output", path=path)
    if found:
        if not stat.S_ISREG(found.st_mode):
            what = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise OutputError(f"cannot be an output: it is {what}", hint="name a file", path=path)
        if not overwrite:
            raise OutputError("exists already", hint="--overwrite replaces it", path=path)
        if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
            raise OutputError("exists and is read-only", hint="choose another --output", path=path)
    _check_directory(target, path, need_bytes)


def step(name: str) -> None:
    """A moment when the world can fail: "block" (before each block that a writer writes), "copy", "verify", "fsync",
    "rename".

    Does nothing. Tests put a function in its place that raises ENOSPC, EIO or KeyboardInterrupt.
    """


@contextlib.contextmanager
def _pending(path: PathName, overwrite: bool) -> Iterator[tuple[Path, TemporaryPath]]:
    """The real target of `path` and its temporary file; nothing of the latter is left in the end, nor of a folder that
    was made for it and stayed empty."""
    check_target(path, overwrite)
    target = Path(os.path.realpath(path))
    with _made(target.parent, path), _lock(target):
        # Under the lock, so that what has this very process id is no living run's: the id has come round again.
        remove(left_behind(target))
        name = f"{prefix_of(target)}{os.getpid()}.{secrets.token_hex(4)}.tmp{plain(target.suffix)}"
        temp = TemporaryPath(target.parent, name)
        try:
            yield target, temp
        finally:
            remove(target.parent.glob(as_pattern(temp.name) + "*"))


@contextlib.contextmanager
def _made(directory: Path, path: PathName) -> Iterator[None]:
    """A directory, with those above it, made where it is missing."""
    missing = []
    while not os.path.lexists(directory) and directory != directory.parent:
        missing.append(directory)
        directory = directory.parent
    try:
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"its directory cannot be made: {_reason(error)}", path=path) from error
    try:
        yield
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty: this is where the results lie
                folder.rmdir()


def _mode_of(target: Path) -> int:
    """That of the file that is replaced; of a new one, what the umask (or the directory's own list) gives to any."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(target.stat().st_mode)
    probe = target.with_name(f"{prefix_of(target)}{os.getpid()}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink()


@contextlib.contextmanager
def _told_of(path: PathName, temp: Path) -> Iterator[None]:
    """Errors speak of `path`, which the user knows, not of the temporary file."""
    try:
        yield
    except OutputError as error:
        if error.path is None or error.path.startswith(str(temp)):
            error.path = os.fspath(path)
        raise
    except OSError as error:
        raise OutputError(f"could not be written: {_reason(error)}", path=path) from error


def _check_directory(target: Path, path: PathName, need_bytes: int) -> None:
    directory = target.parent
    # What is missing is made when there is something to write.
    while not os.path.lexists(directory) and directory != directory.parent:
        directory = directory.parent
    if not directory.is_dir():
        raise OutputError(f"its directory cannot be made: {directory} is no directory", path=path)
    probe = directory / f"{prefix_of(target)}{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        # Only trying tells: permissions, read-only mounts, quotas and immutable directories each hide elsewhere.
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        probe.unlink()
        free_bytes = shutil.disk_usage(directory).free
    except OSError as error:
        raise OutputError(f"its directory cannot be written to: {_reason(error)}", path=path) from error
    if free_bytes < need_bytes:
        found, wanted = free_bytes / 2**20, need_bytes / 2**20
        raise OutputError(f"{found:,.0f} MiB free, about {wanted:,.0f} MiB needed", hint="free some space", path=path)


@contextlib.contextmanager
def held(path: PathName, message: str) -> Iterator[None]:
    """Hold a name, of which there need be no file, against other runs; its folder is made.

    Raises:
        OutputError: another run holds it (`message`), or its folder cannot be made.
    """
    target = Path(os.path.realpath(path))
    with _made(target.parent, path), _lock(target, message):
        yield


@contextlib.contextmanager
def _lock(target: Path, message: str = "another run is writing this file") -> Iterator[None]:
    """Hold `target` against other runs; the lock file goes with the lock."""
    import filelock

    lock_file = target.with_name(f"{prefix_of(target)}lock")
    lock = filelock.FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise OutputError(message, hint="wait for it to end", path=target) from None
    except OSError as error:
        raise OutputError(f"cannot be locked: {_reason(error)}", path=target) from error
    try:
        yield
    finally:
        lock_file.unlink(missing_ok=True)  # still held: a waiting run notices that the file is gone, and asks again
        lock.release()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the disk"
    return error.strerror or str(error)
