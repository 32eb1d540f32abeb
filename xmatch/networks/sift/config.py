"""SIFT has one size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SiftConfig:
    """Nothing differs."""
