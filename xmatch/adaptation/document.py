"""The result of an adaptation as JSON, and its two reports on disk."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xmatch.adaptation.adapt import Adapted, AdaptOptions
from xmatch.adaptation.guard import Gain
from xmatch.adaptation.outputs import AdaptationFiles
from xmatch.io.json_values import json_ready
from xmatch.io.writing.atomic import atomic_writes
from xmatch.report.adaptation import render_adaptation
from xmatch.report.document_types import AdaptationDocument
from xmatch.training.loop import HISTORY, VALIDATION

SCHEMA = "xmatch.adapt/1"


def document(adapted: Adapted, options: AdaptOptions, command: Sequence[str] = ()) -> AdaptationDocument:
    """What happened, for programs: see docs/adaptation.md."""
    collected, outcome = adapted.collected, adapted.outcome
    held = collected.held_labelled or collected.held_unlabelled
    return {
        "schema": SCHEMA,
        "ok": adapted.exit_code == 0,
        "exit_code": int(adapted.exit_code),
        "better": adapted.better,
        "reason": reason(adapted),
        "output": None if adapted.weights is None else str(adapted.weights),
        "run": str(AdaptationFiles.of(options.output).run_folder),
        "evidence": f"held-out {adapted.judges} pairs",
        "before": json_ready(adapted.before),
        "best": json_ready(adapted.best),
        "gain": None if adapted.gain is None else adapted.gain.as_dict(),
        "verdicts": adapted.verdicts,
        "stopped": outcome.stopped,
        "step": outcome.step,
        "steps": outcome.steps,
        "minutes": outcome.minutes,
        "pairs": {
            "labelled": [pair.name for pair in collected.labelled],
            "unlabelled": len(collected.unlabelled),
            "registered": adapted.registered,
            "held_out": [pair.name for pair in held],
        },
        "skipped": [{"where": row.where, "reason": row.reason} for row in collected.unusable],
        "base": {
            "name": adapted.base.metadata.name,
            "path": str(adapted.base.path),
            "sha256": adapted.base.sha256,
        },
        "recipe": adapted.recipe.as_dict(),
        "command": list(command),
    }


def reason(adapted: Adapted) -> str:
    """One sentence: what the guard found."""
    if adapted.better is None:
        return "It was stopped before the result could be judged; the same command goes on."
    before, after = (float(row["score"]) for row in (adapted.before, adapted.best))
    measured = f"Held-out {adapted.judges} pairs score {after:.1f} instead of {before:.1f}{_surety(adapted.gain)}"
    if adapted.verdicts is None:
        return measured + "."
    counts = adapted.verdicts
    return (
        f"{measured}, and {counts['after']} instead of {counts['before']} of {counts['of']} registrations are trusted."
    )


def _surety(gain: Gain | None) -> str:
    """ " (gain 0.4, 95 % interval -0.3 to 1.1 over 8 pairs: chance explains that)"."""
    if gain is None:
        return ""
    if gain.interval is None:
        return " (one view: too little to tell a gain from chance)"
    low, high = gain.interval
    doubt = ": chance explains that" if low <= 0 < gain.mean else ""
    return f" (gain {gain.mean:+.1f}, 95 % interval {low:+.1f} to {high:+.1f} over {gain.count} {gain.over}{doubt})"


def write_reports(adapted: Adapted, options: AdaptOptions, report: AdaptationDocument) -> tuple[Path, Path]:
    """The HTML page and its JSON beside the output.

    Raises:
        OutputError: one of them cannot be written.
    """
    files = AdaptationFiles.of(options.output)
    folder = files.run_folder
    measured: list[Mapping[str, Any]] = [*adapted.untouched, *_rows(folder / VALIDATION)]
    page = render_adaptation(report, _rows(folder / HISTORY), measured, adapted.overlays)
    with atomic_writes([files.report, files.document], options.overwrite) as temporary:
        temporary[files.report].write_text(page, encoding="utf-8")
        temporary[files.document].write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return files.report, files.document


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
