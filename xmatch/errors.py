"""Everything xmatch raises on purpose, and the exit code that each kind ends a command with.

    XmatchError            1  internal fault: a bug in xmatch
    |-- UsageError         2  wrong option or recipe
    |-- InputError         3  an input that cannot be used
    |-- OutputError        5  the result cannot be written where it was asked for
    |-- ModelError         6  a model or checkpoint is missing, damaged or of another kind
    `-- ResourceError      7  out of host or GPU memory, after falling back

Code 4 (ran, but the alignment is not to be trusted) and 8 (a batch with failed items) are results, not
errors; they stand in `ExitCode` beside the others. docs/exit-codes.md is the table for users.
"""

from __future__ import annotations

from enum import IntEnum
from os import PathLike, fspath


class ExitCode(IntEnum):
    OK = 0
    INTERNAL = 1
    USAGE = 2
    INPUT = 3
    UNTRUSTED = 4
    OUTPUT = 5
    MODEL = 6
    RESOURCES = 7
    BATCH = 8
    INTERRUPTED = 130
    TERMINATED = 143


class XmatchError(Exception):
    """A failure that the user is told about in one line.

    Args:
        message: what was found, and what was expected instead.
        hint: what to do next (an option, a command), or None.
        path: the file concerned, or None.
    """

    exit_code = ExitCode.INTERNAL
    code = "internal"

    def __init__(self, message: str, *, hint: str | None = None, path: str | PathLike[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = None if path is None else fspath(path)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{advice}"

    def as_dict(self) -> dict[str, str | None]:
        """The `error` object of the JSON output: code, message, hint, path."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "path": self.path}


class UsageError(XmatchError):
    exit_code = ExitCode.USAGE
    code = "usage"


class InputError(XmatchError):
    exit_code = ExitCode.INPUT
    code = "input"


class OutputError(XmatchError):
    exit_code = ExitCode.OUTPUT
    code = "output"


class ModelError(XmatchError):
    exit_code = ExitCode.MODEL
    code = "model"


class ResourceError(XmatchError):
    exit_code = ExitCode.RESOURCES
    code = "resources"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, numpy or torch says that there is no memory left, of the host or of a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter: torch, on the GPU
        return True
    # On a CPU torch has no type of its own for it.
    words = ("allocate memory", "not enough memory", "bad_alloc")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
