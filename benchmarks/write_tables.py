"""Write docs/benchmarks.md anew from the results in benchmarks/results/*.json.

    python benchmarks/write_tables.py

A result is what `xmatch eval` wrote, as it is: it holds no image. No number comes into the page by hand, and each table
ends with the certificate of its numbers. benchmarks/results.schema.json says what a result must hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from xmatch.evaluation.prediction_rows import RunCertificate
from xmatch.evaluation.result_rows import CountedShare, MethodResults, ResultsDocument, SetNumbers
from xmatch.evaluation.tables import markdown

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Written by `make bench` from the files in [benchmarks/results](../benchmarks/results); numbers are not edited by hand.
[Measuring](evaluation.md) says what they mean. The controls are part of every table: what `identity`, `centre` and
`border-fit` score, the data gives away, and `truth` scores less than everything only where the measurement is broken.
To add a result, run `xmatch eval` from a clean checkout, with paths that say nothing of your machine, and put the JSON
into that folder.

- `srif-crop` is the one to look at: SRIF's validation pairs, cut so that no border tells the answer. `-default` is what
  `xmatch register` does unless told otherwise, `-settings` how exact and how fast the three ways to look are
  (similarities, one thread, the first 20 pairs of each set), `-peers` and `-peers-intensity` what others do.
- `srif-published`: the same pairs as they were published. Their black borders repeat the answer (`border-fit`), and the
  truth of Optical-Map is that nothing moves (`identity`). `-noise`: the border declared nodata and filled with noise.
- `aligned`: real pairs of other sensors, medical ones among them, turned by up to 180 degrees and scaled by up to 2 by
  chance. Neither matchers nor verdicts were fitted to them. They lie on each other only as well as whoever aligned
  them: 1 to 3 px of theirs, more at the corners of a turned canvas; for SPECT and MRI nobody knows.
  `-peers`: 8 of each kind.
- `samples` are the two pairs of this repository, drawn by programs: they show what a result looks like, not what to
  expect of real sensors.

Pairs ran two at a time on two cores that often did other work as well: compare seconds within a table, and roughly.
"""


SUMMARISED = ("srif-crop", "srif-published", "aligned")
"""Pairs whose results, files called so and so-and-so-much-more, are first shown side by side."""


def page(results: dict[str, ResultsDocument]) -> str:
    """docs/benchmarks.md of the results, by name."""
    overviews = [overview(pairs, results) for pairs in SUMMARISED]
    return "\n".join([HEAD, *filter(None, overviews), *(section(name, part) for name, part in results.items())])


def overview(pairs: str, results: dict[str, ResultsDocument]) -> str:
    """All that was measured on the same pairs, a line each, best first; controls once; "" where nothing was."""
    names = [name for name in results if name == pairs or name.startswith(f"{pairs}-")]
    if not names:
        return ""
    rows: dict[tuple[str, str], tuple[MethodResults, SetNumbers]] = {}
    sets = sorted({s for name in names for part in results[name]["matchers"].values() for s in part["sets"]})
    for name in names:
        for matcher, part in results[name]["matchers"].items():
            control = part["kind_of_method"] == "control"
            if part["mean"] is not None:
                rows.setdefault((matcher, "" if control else name), (part, part["mean"]))
    order = sorted(rows, key=lambda row: -rows[row][1]["success"]["10"]["value"])
    lines = [
        f"## {pairs}, side by side",
        "",
        "Below 10 px, %; the last columns are AUC@5 and seconds a pair, means over the sets.",
        "",
        f"| matcher | result | {' | '.join(sets)} | mean | AUC@5 | s/pair |",
        f"| --- | --- |{' --- |' * (len(sets) + 3)}",
    ]
    for matcher, name in order:
        part, mean = rows[matcher, name]
        shares = [part["sets"][s]["success"]["10"] if s in part["sets"] else None for s in sets]
        cells = ["-" if share is None else f"{share['value']:.0f}" for share in shares]
        seconds = mean["seconds_per_pair"]
        cells += [f"{mean['success']['10']['value']:.1f}", f"{mean['auc']['5']['value']:.1f}", f"{seconds:.3g}"]
        lines.append(f"| {matcher} | {f'[{name}](#{name})' if name else 'control'} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def section(name: str, document: ResultsDocument) -> str:
    counts = [part["n"] for part in document["matchers"].values()]
    related, unrelated = (max(count[key] for count in counts) for key in ("related", "unrelated"))
    strangers = f" and {unrelated} pairs of unrelated images" if unrelated else ""
    lines = [f"## {name}", "", f"{related} pairs{strangers}. {markdown(document).rstrip()}", ""]
    lines += verdicts(document)
    failed = {matcher: part["n"]["failed"] for matcher, part in document["matchers"].items() if part["n"]["failed"]}
    if failed:
        lines += ["Failed pairs: " + ", ".join(f"{matcher} {n}" for matcher, n in failed.items()) + ".", ""]
    return "\n".join([*lines, *certificate(document), ""])


def verdicts(document: ResultsDocument) -> list[str]:
    """How the verdicts of xmatch's own matchers did."""
    own = {name: part["verdict"] for name, part in document["matchers"].items() if part["kind_of_method"] == "matcher"}
    if not own:
        return []
    head = [
        "| verdict of | right ones accepted | wrong ones accepted | unrelated ones accepted |",
        "| --- | --- | --- | --- |",
    ]
    shares = {name: (v["right_accepted"], v["wrong_accepted"], v["unrelated_accepted"]) for name, v in own.items()}
    return [*head, *(f"| {name} | {' | '.join(map(counted, each))} |" for name, each in shares.items()), ""]


def counted(share: CountedShare) -> str:
    if not share["n"]:
        return "-"
    low, high = share["interval"]
    return f"{share['count']} of {share['n']} ({low:.0f} to {high:.0f} %)"


def certificate(document: ResultsDocument) -> list[str]:
    """One line a session that added numbers."""
    born = document["certificate"]
    return [_session(run, born["seed"], born["data_sha256"]) for run in born["runs"]]


def _session(run: RunCertificate, seed: int, data_sha256: str) -> str:
    hardware, versions = run["hardware"], run["versions"]
    return "; ".join(
        [
            f"- `{run['command']}`",
            f"{run['time'][:10]}, commit `{run['commit']}`, code `{run['code_sha256'][:16]}`",
            f"seed {seed}, data `{data_sha256[:16]}`",
            f"{run['jobs']} pairs at once, {run['threads']} threads a pair",
            # Seconds of a machine that has more to do than it has cores say little.
            f"{hardware['cores']} cores of {hardware['processor']}, load {hardware['load_before']} before the run",
            f"Python {versions['python']}, OpenCV {versions['opencv-python']}",
        ]
    )


def read(folder: Path = RESULTS) -> dict[str, ResultsDocument]:
    """Name -> document, by name; a test holds each to its schema."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}
    return {name: cast(ResultsDocument, json.loads(text)) for name, text in texts.items()}


if __name__ == "__main__":
    PAGE.write_text(page(read()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
