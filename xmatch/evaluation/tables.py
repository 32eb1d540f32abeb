"""The tables of a results document, as rows of text; Markdown and CSV of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from xmatch.evaluation.prediction_rows import KindName
from xmatch.evaluation.result_rows import ResultsDocument, SetNumbers, SweepResults, WithInterval, number_at
from xmatch.evaluation.scores import KINDS


@dataclass(frozen=True)
class TextTable:
    """A table as it is printed."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Column:
    """A column of numbers, and where they stand in the numbers of a set."""

    head: str
    path: tuple[str, ...]
    factor: float = 1.0
    """100 for shares that are shown in percent."""

    def of(self, numbers: SetNumbers) -> object:
        """The number, or None where it was not measured."""
        found = number_at(numbers, *self.path)
        return self.factor * found if self.factor != 1.0 and isinstance(found, float) else found


MOST_SETS = 20
"""Of more sets, as of a hundred scenes, only the mean and the whole are shown; JSON and CSV have each."""


def tables(document: ResultsDocument, intervals: bool = True) -> list[TextTable]:
    """One table a set, a row a matcher, and last the mean over sets and all pairs together when there are several; of a
    robustness sweep, one table a factor, whose columns are its values."""
    if "sweeps" in document:
        return [_sweep(factor, sweep, intervals) for factor, sweep in document["sweeps"].items()]
    parts, kind = document["matchers"], document["kind"]
    names = list(dict.fromkeys(name for part in parts.values() for name in part["sets"]))
    shown: dict[str, dict[str, SetNumbers | None]] = {}
    for name in names if len(names) <= MOST_SETS else []:
        shown[name] = {matcher: part["sets"].get(name) for matcher, part in parts.items()}
    if len(names) > 1:
        shown[f"mean over {len(names)} sets"] = {matcher: part["mean"] for matcher, part in parts.items()}
        shown["all pairs together"] = {matcher: part["all"] for matcher, part in parts.items()}
    found = (_table(title, measured, kind, intervals) for title, measured in shown.items())
    return [table for table in found if table.rows]


def _sweep(factor: str, sweep: SweepResults, intervals: bool) -> TextTable:
    rows = []
    for name, shares in sweep["matchers"].items():
        both = zip(shares, sweep["intervals"][name], strict=True)
        cells = [{"value": share, "interval": bounds} for share, bounds in both]
        rows.append((name, *(cell(each, intervals) for each in cells)))
    title = f"{factor}: pairs with an error below {sweep['threshold']:g} px, %, by {sweep['label']}"
    return TextTable(title, ("matcher", *(f"{value:g}" for value in sweep["values"])), tuple(rows))


def _table(title: str, measured: Mapping[str, SetNumbers | None], kind: KindName, intervals: bool) -> TextTable:
    known = {name: values for name, values in measured.items() if values}
    # A column that any of them has.
    columns = _columns(list(known.values()), kind) if known else []
    rows = tuple((name, *(cell(column.of(values), intervals) for column in columns)) for name, values in known.items())
    return TextTable(title, ("matcher", *(column.head for column in columns)), rows)


def _columns(known: list[SetNumbers], kind: KindName) -> list[Column]:
    """Those that any of the rows has; thresholds are the first one's."""
    unit, first = KINDS[kind].unit, known[0]
    columns = [Column("n", ("n",)), Column("failed", ("failed",))]
    if kind not in ("semantic", "tracking"):
        columns += [Column(f"AUC@{t}", ("auc", t)) for t in first["auc"]]
        columns += [Column(f"<{t} {unit} %", ("success", t)) for t in first["success"]]
        columns += [Column(f"median {unit}", (f"median_error_{unit}",))]
    columns += [column for column in _KIND_COLUMNS[kind] if any(column.of(values) is not None for values in known)]
    return [*columns, Column("s/pair", ("seconds_per_pair",)), Column("MiB", ("peak_memory_mib",))]


_OF_MAPS = [
    Column("overlap median px", ("overlap_median_px",)),
    Column("overlap p90 px", ("overlap_p90_px",)),
    *(Column(f"overlap <{t} px %", ("overlap_below_percent", t)) for t in ("1", "3", "10")),
    Column("right accepted %", ("verdicts", "right_accepted")),
    Column("wrong accepted %", ("verdicts", "wrong_accepted")),
    Column("CE90 holds %", ("verdicts", "ce90_holds")),
    Column("within own cell's CE90 %", ("error_map_percent",)),
    *(Column(f"MMA@{t}", ("mma", t)) for t in ("1", "3", "5", "10")),
    Column("cells off px", ("end_point_error_px",)),
    *(Column(f"cells <{t} px %", ("cells_below_percent", t)) for t in ("1", "3", "5")),
    Column("certainty ECE", ("certainty_calibration_error",)),
]

_KIND_COLUMNS: dict[KindName, list[Column]] = {
    "registration": _OF_MAPS,
    "bend": _OF_MAPS,
    "landmarks": [
        Column("median TRE px", ("median_tre_px",)),
        Column("of best affine's %", ("median_tre_of_affine_percent",)),
        Column("mean median rTRE %", ("mean_median_rtre",), 100.0),
        Column("median median rTRE %", ("median_median_rtre",), 100.0),
        Column("mean max rTRE %", ("mean_max_rtre",), 100.0),
        Column("robustness %", ("robustness",)),
        *(Column(f"PCK@{a} image, per point", ("pck_image_per_point", a)) for a in ("0.01", "0.05")),
    ],
    "semantic": [
        Column(f"PCK@{a} {size}, {way.replace('_', ' ')}", (f"pck_{size}_{way}", a))
        for size in ("box", "image")
        for way in ("per_image", "per_point")
        for a in ("0.05", "0.1")
    ],
    "pose": [Column("precision %", ("epipolar_precision",))],
    "tracking": [
        Column("AJ", ("average_jaccard",)),
        Column("delta avg", ("average_position_accuracy",)),
        Column("OA", ("occlusion_accuracy",)),
    ],
}
"""Kind of truth -> columns that only it has; those that were not measured are left out."""


def cell(value: object, intervals: bool = True) -> str:
    """A number with few digits, "-" for none, and the interval behind a value that has one."""
    if isinstance(value, Mapping):
        low, high = value["interval"]
        return f"{cell(value['value'])} ({cell(low)} to {cell(high)})" if intervals else cell(value["value"])
    if not isinstance(value, (int, float)):
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def markdown(document: ResultsDocument) -> str:
    """All tables, each under its set's name."""
    lines = [f"{KINDS[document['kind']].title}; 95 % intervals in brackets".capitalize() + ".", ""]
    # Results of before there were any are still read.
    if quirks := document["recipe"].get("quirks"):
        lines += [f"With these oddities of published protocols: {', '.join(quirks)}.", ""]
    for table in tables(document):
        lines += [f"### {_safe(table.title)}", "", _line(table.heads), _line(["---"] * len(table.heads))]
        lines += [_line(row) for row in table.rows] + [""]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_safe(cell) for cell in cells)} |"


def _safe(text: str) -> str:
    """What would break a table's line, or be taken for a tag, said otherwise."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


CSV_COLUMNS = ("set", "matcher", "metric", "threshold", "value", "low", "high")


def csv_text(document: ResultsDocument) -> str:
    """One number a line: set ("mean" over sets, "all" pairs), matcher, metric, threshold, value, interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for name, part in document["matchers"].items():
        for set_name, numbers in [*part["sets"].items(), ("mean", part["mean"]), ("all", part["all"])]:
            for metric, value in (numbers or {}).items():
                for threshold, number in value.items() if isinstance(value, dict) else [("", value)]:
                    writer.writerow([set_name, name, metric, threshold, *_value_low_high(number)])
    return text.getvalue()


def _value_low_high(number: object) -> tuple[object, object, object]:
    """Empty texts for what is not known."""
    if isinstance(number, dict):
        with_interval = cast(WithInterval, number)
        low, high = with_interval["interval"]
        return with_interval["value"], low, high
    return "" if number is None else number, "", ""
