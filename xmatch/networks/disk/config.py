"""Sizes of DISK: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DiskConfig:
    descriptor: int = 128
    """Length of descriptors."""
