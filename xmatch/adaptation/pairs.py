"""The pairs of a folder: which files belong together, which carry a truth, and why the others are of no use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xmatch.adaptation.truths import check_truth, truth_from_file, truth_from_georeferencing
from xmatch.datasets.manifest import NAMES, read_rows
from xmatch.errors import InputError, UsageError, XmatchError
from xmatch.geometry import Transform, homography
from xmatch.io import open_source
from xmatch.io.text_files import csv_records, read_text
from xmatch.synth.sources.files import LEAST_SIDE_PX, SUFFIXES

PATTERNS = (("{}_fixed", "{}_moving"), ("{}_a", "{}_b"), ("{}_1", "{}_2"))
"""Names of the two files of a pair, endings left out; the first that finds any pair is taken."""
TRUTH_SUFFIXES = (".points", ".csv", ".npz", ".json", ".tfm")
"""Of a file called like the pair, beside it."""
POINT_SUFFIXES = (".points", ".csv", ".npz")


@dataclass(frozen=True, eq=False)
class Pair:
    """Two files, and what is known of them."""

    name: str
    where: str
    """The row or the files it was found by, for messages."""
    fixed: Path
    moving: Path
    truth: Transform | None = None
    """Moving px -> fixed px."""
    truth_source: str | None = None
    """What the truth comes from."""

    @property
    def key(self) -> tuple[str, str]:
        return os.path.realpath(self.fixed), os.path.realpath(self.moving)


@dataclass(frozen=True)
class Unusable:
    """A row that is passed over."""

    where: str
    reason: str


@dataclass(frozen=True, eq=False)
class FoundPairs:
    pairs: tuple[Pair, ...]
    unusable: tuple[Unusable, ...]

    @property
    def labelled(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.truth is not None)


def find_pairs(path: Path, *, trust_georef: bool = False, pattern: str | None = None) -> FoundPairs:
    """The usable pairs of a folder or of a manifest, and what is wrong with the others.

    A folder's pairs.jsonl or pairs.csv says which they are; without one, names do.

    Args:
        path: folder, or manifest of pairs.
        trust_georef: georeferenced pairs without another truth are labelled by it.
        pattern: names of fixed and moving without endings, such as "{}_optical {}_sar".

    Raises:
        InputError: there is no such folder, or no pair at all in it.
        UsageError: the pattern is none.
    """
    if path.is_file():
        candidates = list(_listed(path))
    elif path.is_dir():
        manifest = next((path / name for name in NAMES if (path / name).is_file()), None)
        candidates = list(_named(path, _patterns(pattern)) if pattern or manifest is None else _listed(manifest))
    else:
        raise InputError("is neither a folder nor a list of pairs" if path.exists() else "no such folder", path=path)
    if not candidates:
        wanted = pattern or ", ".join(" and ".join(both) for both in PATTERNS)
        raise InputError(f"no pairs here: want {' or '.join(NAMES)}, or files named {wanted}", path=path)
    pairs: list[Pair] = []
    unusable: list[Unusable] = []
    for candidate in candidates:
        checked = candidate if isinstance(candidate, Unusable) else _checked(candidate, trust_georef)
        if isinstance(checked, Unusable):
            unusable.append(checked)
        else:
            pairs.append(checked)
    return FoundPairs(tuple(pairs), tuple(unusable))


def labelled_by(
    path: Path, known: Sequence[Pair], *, trust_georef: bool = False, pattern: str | None = None
) -> FoundPairs:
    """The labelled pairs that `--labelled PATH` names: a manifest, a folder, or tie points of one of `known`.

    Raises:
        InputError: the path holds no labelled pair, or tie points that make no map or belong to no pair.
    """
    if path.suffix.lower() in POINT_SUFFIXES and path.is_file() and not _is_manifest(path):
        return FoundPairs((_pointed(path, known),), ())
    if path.is_dir() and not _has_pairs(path, pattern):
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in TRUTH_SUFFIXES)
        if not files:
            raise InputError("neither pairs nor tie points in this folder", path=path)
        pairs, unusable = [], []
        for file in files:
            try:
                pairs.append(_pointed(file, known))
            except InputError as error:
                unusable.append(Unusable(file.name, error.message))
        found = FoundPairs(tuple(pairs), tuple(unusable))
    else:
        found = find_pairs(path, trust_georef=trust_georef, pattern=pattern)
    if not found.labelled:
        raise InputError(f"no pair with a usable truth{_because(found.unusable)}", path=path)
    return replace(found, pairs=found.labelled)


def draw_labelled(found: FoundPairs, count: int, seed: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """`count` pairs that carry a truth, drawn evenly, and all the others.

    Raises:
        InputError: there are fewer.
    """
    labelled = found.labelled
    if len(labelled) < count:
        raise InputError(
            f"{count} labelled pairs are asked for, {len(labelled)} of {len(found.pairs)} usable pairs carry a truth"
            f"{_because(found.unusable)}",
            hint="ask for fewer, add tie points, or --trust-georef",
        )
    rng = np.random.default_rng(np.random.SeedSequence((seed, 1)))
    chosen = sorted(rng.permutation(len(labelled))[:count].tolist())
    drawn = tuple(labelled[i] for i in chosen)
    return drawn, without(found.pairs, drawn)


def without(pairs: Sequence[Pair], taken: Sequence[Pair]) -> tuple[Pair, ...]:
    """Those of `pairs` whose files are not those of one in `taken`, each once."""
    keys = {pair.key for pair in taken}
    left = []
    for pair in pairs:
        if pair.key not in keys:
            keys.add(pair.key)
            left.append(pair)
    return tuple(left)


def _listed(manifest: Path) -> Iterator[Pair | Unusable]:
    """Rows of a manifest; one without a truth is an unlabelled pair."""
    bare = _rows_without_truth(manifest)
    for row in read_rows(manifest):
        where = f"{manifest.name} row {row.number + 1}"
        if row.problem is None and row.moving_to_fixed is not None:
            truth = homography(row.moving_to_fixed)
            yield Pair(Path(row.moving).stem, where, Path(row.fixed), Path(row.moving), truth, "manifest")
        elif row.number in bare:
            fixed, moving = (manifest.parent / name for name in bare[row.number])
            yield Pair(moving.stem, where, fixed, moving)
        else:
            yield Unusable(where, row.problem or "no truth")


def _rows_without_truth(manifest: Path) -> dict[int, tuple[str, str]]:
    """Number of a row -> fixed and moving, of rows that name two files and no truth."""
    text = read_text(manifest)
    rows: list[dict] = []
    if manifest.suffix.lower() == ".csv":
        rows = csv_records(text, manifest)[1]
    else:
        for line in text.split("\n"):
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                rows.append({})
    return {
        number: (row["fixed"], row["moving"])
        for number, row in enumerate(rows)
        if isinstance(row, dict)
        and not row.get("moving_to_fixed")
        and isinstance(row.get("fixed"), str)
        and isinstance(row.get("moving"), str)
    }


def _patterns(pattern: str | None) -> Sequence[tuple[str, str]]:
    if pattern is None:
        return PATTERNS
    both = tuple(pattern.split())
    if len(both) != 2 or both[0] == both[1] or any(part.count("{}") != 1 for part in both):
        raise UsageError(f"pattern {pattern!r} does not name two files", hint="such as '{}_optical {}_sar'")
    return (both,)


def _named(folder: Path, patterns: Sequence[tuple[str, str]]) -> Iterator[Pair]:
    """Pairs of files below a folder whose names follow a pattern, and the truth that lies beside them."""
    files: dict[tuple[Path, str], Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            files.setdefault((path.parent, path.name[: -len(path.suffix)].removesuffix(".ome")), path)
    for fixed_name, moving_name in patterns:
        before, after = fixed_name.split("{}")
        found = []
        for (parent, stem), fixed in files.items():
            name = stem[len(before) : len(stem) - len(after)]
            moving = files.get((parent, moving_name.format(name)))
            if name and stem == fixed_name.format(name) and moving is not None:
                label = (parent / name).relative_to(folder).as_posix()
                beside = next((p for s in TRUTH_SUFFIXES if (p := parent / f"{name}{s}").is_file()), None)
                found.append(Pair(label, label, fixed, moving, truth_source=None if beside is None else str(beside)))
        if found:
            yield from found
            return


def _checked(pair: Pair, trust_georef: bool) -> Pair | Unusable:
    """The pair with its truth, once both files open and the truth is one."""
    try:
        with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
            headers = fixed.header, moving.header
        for header in headers:
            if min(header.width, header.height) < LEAST_SIDE_PX:
                raise InputError(f"{header.width} x {header.height} px; want {LEAST_SIDE_PX} px or more each way")
        truth, truth_source = pair.truth, pair.truth_source
        if truth is None and truth_source is not None:
            truth, truth_source = truth_from_file(Path(truth_source), *headers), Path(truth_source).name
        if truth is None and trust_georef:
            truth, truth_source = truth_from_georeferencing(*headers), "georeferencing"
        if truth is not None:
            check_truth(truth, *headers)
        return replace(pair, truth=truth, truth_source=truth_source)
    except XmatchError as error:
        what = f"{Path(error.path).name}: " if error.path else ""
        return Unusable(pair.where, f"{what}{error.message}")


def _pointed(path: Path, known: Sequence[Pair]) -> Pair:
    """The pair that a file of tie points (or a transform) is called after, with that truth."""
    names = {path.stem, path.name}
    fitting = [
        pair for pair in known if names & {Path(pair.name).name, pair.fixed.stem, pair.moving.stem, pair.moving.name}
    ]
    if len(fitting) != 1:
        raise InputError(
            f"belongs to {'no' if not fitting else 'more than one'} pair: it must be called like the pair, or like one "
            "of its images",
            hint=f"such as {Path(known[0].name).name}{path.suffix}" if known else None,
            path=path,
        )
    (pair,) = fitting
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        truth = truth_from_file(path, fixed.header, moving.header)
        check_truth(truth, fixed.header, moving.header)
    return replace(pair, truth=truth, truth_source=path.name)


def _has_pairs(folder: Path, pattern: str | None) -> bool:
    if any((folder / name).is_file() for name in NAMES):
        return True
    return next(_named(folder, _patterns(pattern)), None) is not None


def _is_manifest(path: Path) -> bool:
    """Whether a CSV lists pairs rather than points."""
    if path.suffix.lower() != ".csv":
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        names = {name.strip() for name in file.readline().split(",")}
    return {"fixed", "moving"} <= names


def _because(unusable: Sequence[Unusable]) -> str:
    if not unusable:
        return ""
    first = "; ".join(f"{row.where}: {row.reason}" for row in unusable[:3])
    return f"; {len(unusable)} are unusable ({first}{', ...' if len(unusable) > 3 else ''})"
