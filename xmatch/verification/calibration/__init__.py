"""What verdicts were fitted to: one file of coefficients a matcher, named as the matcher is, with its certificate.

benchmarks/fit_verdict.py writes them; error-map.json, that of errors place by place, benchmarks/fit_error_map.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FALLBACK = "structural"
"""The calibration of matchers that have none of their own: it asks for nothing that a matcher may lack."""

ERROR_MAP = "error-map"
"""The fit of errors place by place, which is no matcher's: they come from tie points, whoever found the alignment."""


@dataclass(frozen=True)
class Calibration:
    """Logistic regression on measures, and the guards around it."""

    name: str
    """Matcher whose registrations it was fitted to."""
    intercept: float
    weights: Mapping[str, float]
    """Measure -> log-odds a standard deviation."""
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    """Standard deviation."""
    range: Mapping[str, tuple[float, float]]
    """What the fit has seen: beyond it a measure says no more."""
    threshold: float
    """Least probability that is accepted."""
    min_lead: float
    max_repetition: float
    min_inliers: float
    min_regions_share: float
    """Of the regions, on which a map lies at least."""
    certificate: Mapping[str, Any]
    """Command, pairs, checksums and what cross-validation says."""

    @staticmethod
    def from_dict(name: str, data: Mapping[str, Any]) -> Calibration:
        """From the JSON of a file, or from what benchmarks/fit_verdict.py is about to write."""
        return Calibration(name, **data)


def calibrated_matchers() -> tuple[str, ...]:
    """Names of all matchers with a calibration of their own."""
    found = (item.name for item in files(__name__).iterdir() if item.name.endswith(".json"))
    return tuple(sorted({name.removesuffix(".json") for name in found} - {ERROR_MAP}))


@cache
def calibration_for(matcher: str) -> Calibration:
    """The calibration of a matcher, by its name; `FALLBACK` where it has none, which its name then tells."""
    name = matcher if matcher in calibrated_matchers() else FALLBACK
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    return Calibration.from_dict(name, json.loads(text))
