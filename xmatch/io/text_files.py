"""Lists and tables that people and their programs write: whatever encoding, line ends and separators these chose."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xmatch.errors import InputError

# UTF-32's mark begins with that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: str | os.PathLike, errors: str = "strict") -> str:
    """The text of a file, its lines ended by "\\n"; see `decode_text`.

    Raises:
        InputError: the file cannot be read, or is no text.
    """
    try:
        return decode_text(Path(path).read_bytes(), errors)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from None
    except ValueError as error:
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputError(f"is no text: {reason}", hint="save it as UTF-8", path=path) from None


def decode_text(data: bytes, errors: str = "strict") -> str:
    """Bytes as text, its lines ended by "\\n".

    The text is UTF-8, or what a byte-order mark says: Excel's "Unicode Text" is UTF-16.

    Args:
        data: the bytes of a file.
        errors: what to do with bytes that are no such text, as for `bytes.decode`; only UTF-8 can carry file names
            that are no text at all ("surrogateescape").

    Raises:
        UnicodeDecodeError: no text in that encoding.
    """
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
    text = data[len(mark) :].decode(encoding, errors if encoding == "utf-8" else "strict")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike) -> Any:
    """The JSON document in a file, strictly: Infinity and NaN are no JSON, nor are numbers that no float can hold.

    Raises:
        InputError: the file cannot be read, or is no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_float, parse_int=_int)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise InputError(f"is no JSON: {reason}", path=path) from None


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _float(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is too large a number")
    return value


def _int(word: str) -> int:
    _float(word)
    return int(word)


def csv_rows(text: str, delimiter: str = ",", path: str | os.PathLike | None = None) -> list[tuple[int, list[str]]]:
    """(line, cells) of each row that is not empty; lines count from 1, and cells are stripped.

    Raises:
        InputError: a cell holds more than 131,072 characters, or the quotes are garbled.
    """
    rows, line = [], 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"line {line}: {error}", hint="is a quote left open?", path=path) from None
    return rows


def csv_records(text: str, path: str | os.PathLike | None = None) -> tuple[list[str], list[dict[str, str]]]:
    """The names in the first row, and each row below it by these names; a row that is too short lacks the last ones.

    Raises:
        InputError: see `csv_rows`.
    """
    (_, names), *rows = csv_rows(text, path=path) or [(1, [])]
    return names, [dict(zip(names, cells, strict=False)) for _, cells in rows]


def delimiter_of(lines: Sequence[str], columns: tuple[int, int]) -> str:
    """The first of tab, semicolon and comma that cuts every line into so many (least, most) cells; else the one that
    the first line holds. Names hold commas more often than the others."""

    def fits(mark: str) -> bool:
        least, most = columns
        try:
            return all(least <= len(next(csv.reader([line], delimiter=mark), [])) <= most for line in lines)
        except csv.Error:
            return False

    lines = [line for line in lines if line.strip()]
    inside = (mark for mark in "\t;," if lines and mark in lines[0])
    return next((mark for mark in "\t;," if lines and fits(mark)), next(inside, ","))
