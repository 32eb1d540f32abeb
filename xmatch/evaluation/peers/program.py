"""Any outside program: a command that is given two images and writes what it found into a file.

    "mytool {fixed} {moving} --out {output}"

The file holds a 3x3 (or 2x3) matrix or a list of correspondences, as JSON, CSV or numbers between spaces; see
`read_answer`. The program runs in the process group of whoever calls: `isolation.isolated` stops both when time is up.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from xmatch.coords import from_centre_matrix, from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.errors import UsageError
from xmatch.estimate import estimate
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.images import size_of
from xmatch.evaluation.peers.isolation import tail
from xmatch.geometry import Linear

PLACES = ("{fixed}", "{moving}", "{output}")
MAX_ANSWER_BYTES = 64 * 2**20
AROSICS_SCRIPT = Path(__file__).with_name("arosics_script.py")


class Program:
    """The command of the settings."""

    name = "program"

    def check(self, settings: PeerSettings) -> None:
        """Raises UsageError when the command cannot be run."""
        try:
            words = shlex.split(settings.command or "")
        except ValueError as error:
            raise UsageError(f"the program's command cannot be read: {error}") from None
        lacking = [place for place in PLACES if not any(place in word for word in words)]
        if lacking:
            raise UsageError(
                f"the program's command lacks {', '.join(lacking)}",
                hint='command: "mytool {fixed} {moving} --out {output}"',
            )

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        self.check(settings)
        return _answer(shlex.split(settings.command), fixed, moving, settings)


class Arosics:
    """AROSICS' global shift, run by the Python of its own environment: it needs an older GDAL and numpy than xmatch.

    Both images must be georeferenced in one CRS. Optical-radar pairs are not supported, its author says.
    """

    name = "arosics"

    def check(self, settings: PeerSettings) -> None:
        """Raises UsageError when no Python is named."""
        if not settings.python:
            raise UsageError(
                "the peer `arosics` needs the Python of an environment with AROSICS",
                hint="python: /path/to/environment/bin/python",
            )

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        self.check(settings)
        return _answer([settings.python or "", os.fspath(AROSICS_SCRIPT), *PLACES], fixed, moving, settings)


def _answer(words: list[str], fixed: Path, moving: Path, settings: PeerSettings) -> Found:
    answer = run_program(words, fixed, moving, settings)
    if isinstance(answer, Found):
        return answer
    if isinstance(answer, Linear):
        return Found(answer)
    fitted = estimate(
        answer,
        settings.transform,
        seed=settings.seed,
        tolerance_px=settings.tolerance_px,
        moving_size=size_of(moving),
    )
    count, inliers = len(answer), int(fitted.inliers.sum())
    reason = None if fitted.transform else f"No {settings.transform} explains the program's {count} correspondences."
    return Found(fitted.transform, reason, count, inliers)


def run_program(
    words: list[str], fixed: Path, moving: Path, settings: PeerSettings
) -> Linear | Correspondences | Found:
    """What the command `words`, whose `PLACES` are filled in, says of two files; a `Found` with the reason if it
    fails."""
    with tempfile.TemporaryDirectory() as folder:
        output, talk = Path(folder) / f"found{settings.output_suffix}", Path(folder) / "talk.txt"
        filled = {"{fixed}": Path(fixed).absolute(), "{moving}": Path(moving).absolute(), "{output}": output}
        for place, path in filled.items():
            words = [word.replace(place, os.fspath(path)) for word in words]
        try:
            # A file, not a pipe: a program's own children may hold a pipe open after it has ended.
            with talk.open("wb") as file:
                code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False).returncode
        except OSError as error:
            return Found(None, f"{words[0]} cannot be started: {error.strerror}.", failed=True)
        if code:
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return Found(None, f"The program {ended}: {tail(talk)}", failed=True)
        if not output.is_file():
            return Found(None, f"The program ended well but wrote no output: {tail(talk)}", failed=True)
        try:
            return read_answer(output, settings)
        except ValueError as error:
            reason = f"The program's output is no matrix and no list of correspondences: {error}."
            return Found(None, reason, failed=True)


def read_answer(path: Path, settings: PeerSettings) -> Linear | Correspondences:
    """What a program found, corner-counted px whatever the program counts from.

    JSON is an array of rows, or an object with it under "matrix" or "transform". Any other text is rows of numbers
    between commas, semicolons, tabs or spaces; comments (#) and one line of column names are skipped. Rows are
    - three of 3 numbers, or one of 9: a matrix, in the settings' direction;
    - two of 3 numbers: the same without its last row (0, 0, 1);
    - any number of 4: correspondences x0, y0, x1, y1, fixed before moving.

    Raises:
        ValueError: none of these, or a matrix that is not finite and invertible.
    """
    if path.stat().st_size > MAX_ANSWER_BYTES:
        raise ValueError(f"it is larger than {MAX_ANSWER_BYTES // 2**20} MiB")
    text = path.read_text(encoding="utf-8-sig")
    rows = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_lines(text)
    if not np.isfinite(rows).all():
        raise ValueError("a number is not finite")
    centred = settings.pixel_origin == "center"
    if rows.shape in ((3, 3), (2, 3), (1, 9)):
        matrix = np.vstack([rows, (0.0, 0.0, 1.0)]) if len(rows) == 2 else rows.reshape(3, 3)
        matrix = from_centre_matrix(matrix) if centred else matrix
        mapped = Linear(matrix, "affine" if (matrix[2, :2] == 0).all() else "homography")
        return mapped if settings.direction == "moving_to_fixed" else mapped.inverse
    if rows.shape[1] == 4:
        rows = from_centre_xy(rows) if centred else rows
        return Correspondences(rows[:, :2], rows[:, 2:], np.ones(len(rows)))
    raise ValueError(f"it has {rows.shape[0]} rows of {rows.shape[1]} numbers")


def _from_json(text: str) -> np.ndarray:
    try:
        document = json.loads(text)
        while isinstance(document, dict):
            document = document["matrix"] if "matrix" in document else document["transform"]
        rows = np.array(document, dtype=np.float64)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its JSON holds none ({type(error).__name__}: {error})") from None
    if rows.size == 0:
        return np.zeros((0, 4))
    return rows.reshape(1, -1) if rows.ndim == 1 else _table(rows)


def _from_lines(text: str) -> np.ndarray:
    lines = [line for line in (line.split("#")[0].strip() for line in text.splitlines()) if line]
    rows = [re.split(r"[\s,;]+", line.strip(" ,;\t")) for line in lines]
    names = rows[:1] if rows and not _numeric(rows[0]) else []
    rows = rows[len(names) :]
    if not rows and names and len(names[0]) == 4:
        return np.zeros((0, 4))
    if not rows or len({len(row) for row in rows}) > 1:
        raise ValueError("it has no rows of numbers, or rows of unequal length")
    return _table(np.array(rows).astype(np.float64))


def _numeric(row: list[str]) -> bool:
    try:
        [float(cell) for cell in row]
    except ValueError:
        return False
    return True


def _table(rows: np.ndarray) -> np.ndarray:
    if rows.ndim != 2:
        raise ValueError(f"it has {rows.ndim} dimensions instead of rows and columns")
    return rows
