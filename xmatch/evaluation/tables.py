"""The tables of a results document, as rows of text; Markdown and CSV of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xmatch.evaluation.scores import KINDS

Getter = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Rows:
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


MOST_SETS = 20
"""Of more sets, as of a hundred scenes, only the mean and the whole are shown; JSON and CSV have each."""


def tables(document: dict[str, Any], intervals: bool = True) -> list[Rows]:
    """One table a set, a row a matcher, and last the mean over sets and all pairs together when there are several; of a
    robustness sweep, one table a factor, whose columns are its values."""
    if "sweeps" in document:
        return [_sweep(factor, sweep, intervals) for factor, sweep in document["sweeps"].items()]
    parts, kind = document["matchers"], document["kind"]
    names = list(dict.fromkeys(name for part in parts.values() for name in part["sets"]))
    shown = {name: lambda part, name=name: part["sets"].get(name) for name in names if len(names) <= MOST_SETS}
    if len(names) > 1:
        shown[f"mean over {len(names)} sets"] = lambda part: part["mean"]
        shown["all pairs together"] = lambda part: part["all"]
    found = (
        _table(title, {m: get(part) for m, part in parts.items()}, kind, intervals) for title, get in shown.items()
    )
    return [table for table in found if table.rows]


def _sweep(factor: str, sweep: dict[str, Any], intervals: bool) -> Rows:
    rows = []
    for name, shares in sweep["matchers"].items():
        both = zip(shares, sweep["intervals"][name], strict=True)
        cells = [{"value": share, "interval": bounds} for share, bounds in both]
        rows.append((name, *(cell(each, intervals) for each in cells)))
    title = f"{factor}: pairs with an error below {sweep['threshold']:g} px, %, by {sweep['label']}"
    return Rows(title, ("matcher", *(f"{value:g}" for value in sweep["values"])), tuple(rows))


def _table(title: str, measured: dict[str, dict[str, Any] | None], kind: str, intervals: bool) -> Rows:
    measured = {name: values for name, values in measured.items() if values}
    # A column that any of them has; the first one's numbers stand for the kind.
    sample = {key: value for values in reversed(measured.values()) for key, value in values.items()}
    columns = _columns(sample, kind) if measured else {}
    rows = tuple(
        (name, *(cell(_got(get, values), intervals) for get in columns.values())) for name, values in measured.items()
    )
    return Rows(title, ("matcher", *columns), rows)


def _columns(sample: dict[str, Any], kind: str) -> dict[str, Getter]:
    """Head -> what stands below it."""
    unit = KINDS[kind].unit
    columns: dict[str, Getter] = {"n": lambda v: v["n"], "failed": lambda v: v["failed"]}
    if kind not in ("semantic", "tracking"):
        columns |= {f"AUC@{t}": lambda v, t=t: v["auc"][t] for t in sample["auc"]}
        columns |= {f"<{t} {unit} %": lambda v, t=t: v["success"][t] for t in sample["success"]}
        columns[f"median {unit}"] = lambda v: v[f"median_error_{unit}"]
    columns |= {head: get for head, get in _SPECIAL[kind].items() if _got(get, sample) is not None}
    columns["s/pair"] = lambda v: v["seconds_per_pair"]
    columns["MiB"] = lambda v: v["peak_memory_mib"]
    return columns


_SPECIAL: dict[str, dict[str, Getter]] = {
    "registration": {
        **{f"MMA@{t}": lambda v, t=t: v["mma"][t] for t in ("1", "3", "5", "10")},
        "cells off px": lambda v: v["end_point_error_px"],
        **{f"cells <{t} px %": lambda v, t=t: v["cells_below_percent"][t] for t in ("1", "3", "5")},
        "certainty ECE": lambda v: v["certainty_calibration_error"],
    },
    "landmarks": {
        "mean median rTRE %": lambda v: _percent(v["mean_median_rtre"]),
        "median median rTRE %": lambda v: _percent(v["median_median_rtre"]),
        "mean max rTRE %": lambda v: _percent(v["mean_max_rtre"]),
        "robustness %": lambda v: v["robustness"],
        **{f"PCK@{a} image, per point": lambda v, a=a: v["pck_image_per_point"][a] for a in ("0.01", "0.05")},
    },
    "semantic": {
        f"PCK@{a} {size}, {way.replace('_', ' ')}": lambda v, key=f"pck_{size}_{way}", a=a: v[key][a]
        for size in ("box", "image")
        for way in ("per_image", "per_point")
        for a in ("0.05", "0.1")
    },
    "pose": {"precision %": lambda v: v["epipolar_precision"]},
    "tracking": {
        "AJ": lambda v: v["average_jaccard"],
        "delta avg": lambda v: v["average_position_accuracy"],
        "OA": lambda v: v["occlusion_accuracy"],
    },
}
"""Kind of truth -> columns that only it has; those that were not measured are left out."""


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _got(get: Getter, values: dict[str, Any]) -> Any:
    try:
        return get(values)
    except KeyError:
        return None


def cell(value: Any, intervals: bool = True) -> str:
    """A number with few digits, "-" for none, and the interval behind a value that has one."""
    if isinstance(value, dict):
        low, high = value["interval"]
        return f"{cell(value['value'])} ({cell(low)} to {cell(high)})" if intervals else cell(value["value"])
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def markdown(document: dict[str, Any]) -> str:
    """All tables, each under its set's name."""
    lines = [f"{KINDS[document['kind']].title}; 95 % intervals in brackets".capitalize() + ".", ""]
    # Results of before there were any are still read.
    if quirks := document["recipe"].get("quirks"):
        lines += [f"With these oddities of published protocols: {', '.join(quirks)}.", ""]
    for table in tables(document):
        lines += [f"### {_safe(table.title)}", "", _line(table.heads), _line(["---"] * len(table.heads))]
        lines += [_line(row) for row in table.rows] + [""]
    return "\n".join(lines)


def _line(cells: Any) -> str:
    return f"| {' | '.join(_safe(cell) for cell in cells)} |"


def _safe(text: str) -> str:
    """What would break a table's line, or be taken for a tag, said otherwise."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


CSV_COLUMNS = ("set", "matcher", "metric", "threshold", "value", "low", "high")


def csv_text(document: dict[str, Any]) -> str:
    """One number a line: set ("mean" over sets, "all" pairs), matcher, metric, threshold, value, interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for name, part in document["matchers"].items():
        for set_name, values in [*part["sets"].items(), ("mean", part["mean"] or {}), ("all", part["all"] or {})]:
            for metric, value in values.items():
                for threshold, number in value.items() if isinstance(value, dict) else [("", value)]:
                    bounds = number["interval"] if isinstance(number, dict) else ("", "")
                    number = number["value"] if isinstance(number, dict) else number
                    writer.writerow([set_name, name, metric, threshold, "" if number is None else number, *bounds])
    return text.getvalue()
