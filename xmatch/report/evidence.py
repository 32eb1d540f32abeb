"""The measures behind a verdict as lines for a person."""

from __future__ import annotations

from dataclasses import dataclass

from xmatch.report.numbers import percent, quantity
from xmatch.verification.measures import MEASURES, Measure


@dataclass(frozen=True)
class EvidenceRow:
    """One measure as a page shows it."""

    name: str
    label: str
    value: str
    guide: str
    """What right alignments usually have."""
    meaning: str
    weak: bool
    advice: str


def rows(evidence: dict[str, float | None]) -> list[EvidenceRow]:
    """Label, value, guide, meaning and weakness of each measure, in the order of `MEASURES`; one that is not there is
    shown all the same, without a meaning."""
    known = sorted(evidence, key=lambda name: list(MEASURES).index(name) if name in MEASURES else len(MEASURES))
    return [_row(name, evidence[name]) for name in known]


def _row(name: str, value: float | None) -> EvidenceRow:
    measure = MEASURES.get(name) or Measure(name.replace("_", " ").capitalize(), "", sign=1)
    guide = ""
    weak = False
    if measure.usual is not None:
        guide = f"at {'least' if measure.sign > 0 else 'most'} {_text(measure.usual, measure.unit)}"
        weak = value is not None and measure.sign * value < measure.sign * measure.usual
    return EvidenceRow(name, measure.label, _text(value, measure.unit), guide, measure.meaning, weak, measure.advice)


def _text(value: float | None, unit: str) -> str:
    return percent(value) if unit == "%" else quantity(value, unit, 2 if unit else 3)
