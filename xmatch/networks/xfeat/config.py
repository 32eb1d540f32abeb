"""Sizes of XFeat and of LighterGlue: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class XFeatConfig:
    """XFeat comes in one size."""
