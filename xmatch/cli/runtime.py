"""How a command ends: exit codes, failures in one line or as JSON, signals, broken pipes.

Commands raise; `run` turns whatever leaves them into an exit code of `xmatch.errors.ExitCode` and says why.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import typer
from typer.main import get_command

from xmatch.cli.console import printable
from xmatch.errors import ExitCode, OutputError, ResourceError, UsageError, XmatchError, is_out_of_memory

FAILURE_SCHEMA = "xmatch.failure/1"

_command = cache(get_command)
"""Built once where one process runs many command lines: it takes longer than some of them."""

_DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class Interrupted(BaseException):
    """A signal asked to stop. Not an Exception, so that no handler on the way mistakes it for a failed step."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class _Stopped(XmatchError):
    code = "interrupted"

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__("interrupted; outputs that were not finished are gone")
        self.exit_code = exit_code


def run(app: typer.Typer, args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (default: the process's own) and return its exit code."""
    args = list(sys.argv[1:] if args is None else args)
    words = args[: args.index("--")] if "--" in args else args
    # Parsing itself may fail, so the two options that say how to fail are looked up in the raw words.
    as_json, debug = "--json" in words, "--debug" in words
    quiet_libraries(debug)
    try:
        with _signals():
            code = _command(app).main(args=args, prog_name="xmatch", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
            return int(code or 0)
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):  # Typer wraps it
            raise
        # The reader went away first and has what it wanted; nothing is said.
        _detach(sys.stdout)
        return ExitCode.OUTPUT
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        if debug:
            traceback.print_exception(error)
        failure = as_failure(error)
        _say_failure(failure, as_json)
        return failure.exit_code


def keep_stdout() -> None:
    """Keep stdout to ourselves for the rest of the process: whatever else writes to descriptor 1 ends on stderr.

    LAPACK, for one, prints its complaints there, some of them from a buffer that is emptied when the process ends.
    """
    stream = sys.stdout
    try:
        if stream is None or stream.fileno() != 1:
            return
        stream.flush()
        own = os.dup(1)
    except (OSError, ValueError):
        return  # closed, or no file at all
    try:
        os.dup2(2, 1)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # As `emit_text` does: help that twenty columns cut short ends in a sign that not every encoding has.
    sys.stdout = open(own, "w", encoding=stream.encoding, errors="backslashreplace")


def as_failure(error: BaseException) -> XmatchError:
    """Any exception as one of ours."""
    if isinstance(error, XmatchError):
        return error
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return _Stopped(getattr(error, "exit_code", ExitCode.INTERRUPTED))
    if hasattr(error, "format_message"):  # what Typer raises for a wrong command line
        context = getattr(error, "ctx", None)
        message = error.format_message() or "a command is needed"  # the help has been shown then
        return UsageError(message, hint=f"see '{context.command_path if context else 'xmatch'} --help'")
    if is_out_of_memory(error):
        return ResourceError("out of memory", hint="lower --max-memory or --threads, or free memory")
    if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
        return OutputError(error.strerror or "cannot write", path=error.filename, hint="free space or write elsewhere")
    detail = " ".join(str(error).split())
    return XmatchError(
        f"internal error: {type(error).__name__}{': ' + detail if detail else ''}",
        hint="a bug in xmatch; run again with --debug and report the trace",
    )


def failure_document(error: XmatchError) -> dict[str, Any]:
    return {"schema": FAILURE_SCHEMA, "ok": False, "exit_code": int(error.exit_code), "error": error.as_dict()}


def emit(document: Mapping[str, Any]) -> None:
    """One JSON document on one line of stdout. ASCII only: any file name survives, whatever the locale. Numbers that
    are not finite, which JSON lacks, become null."""
    from xmatch.io.json_values import json_ready

    emit_text(json.dumps(json_ready(document), ensure_ascii=True, allow_nan=False) + "\n")


def emit_text(text: str) -> None:
    """Text on stdout; what its encoding lacks (LANG=C) is written as escapes."""
    stream = _stdout()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def emit_bytes(data: bytes) -> None:
    _stdout().buffer.write(data)
    _stdout().flush()


def _stdout():
    if sys.stdout is None:
        raise OutputError("standard output is closed", hint="redirect it, or name a file with --output")
    return sys.stdout


def _say_failure(failure: XmatchError, as_json: bool) -> None:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(f"xmatch: {printable(str(failure))}", file=sys.stderr)
    try:
        if as_json and sys.stdout is not None:
            emit(failure_document(failure))
        elif sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _detach(sys.stdout)


def _detach(stream: Any) -> None:
    """Point a broken stream at nothing, or the interpreter's own last flush would end in exit code 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def quiet_libraries(debug: bool = False) -> None:
    """Warnings of libraries are for developers."""
    warnings.simplefilter("default" if debug else "ignore")
    logging.basicConfig(level=logging.WARNING if debug else logging.CRITICAL, format="%(name)s: %(message)s")


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP unwinds the stack, so that temporary files go; the second kills."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Interrupted(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    for number in (getattr(signal, name) for name in names):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs keep their immunity
            with contextlib.suppress(ValueError):  # not in the main thread
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
