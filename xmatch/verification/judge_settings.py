"""What the judge measures, and at which size: read by whoever measures, on whatever device."""

from __future__ import annotations

import numpy as np

SIDE_PX = 200
"""The fixed view is reduced to so many px squared. Not tuned: as the search by edges."""
BINS = 16
"""Grey levels of mutual information. Not tuned."""
SHIFTS = tuple((round(12 * np.cos(a)), round(12 * np.sin(a))) for a in np.arange(8) * np.pi / 4)
"""Far enough that true alignments fall apart, near enough that the content stays comparable."""
MIN_OVERLAP_PX = 400
"""Fewer px say nothing about 16 x 16 pairs of grey levels."""
FULL_COVER = 0.99
"""A px all of whose share is valid, rounding forgiven."""

NAMES = (
    "structure",
    "structure_fine",
    "structure_z",
    "structure_gain",
    "information",
    "information_gain",
    "information_z",
    "overlap",
)

LEARNED = ("drawn", "drawn_z", "drawn_gain")
"""Measures by the descriptors of a network."""
