"""Large rasters as overlapping tiles, so that they are trained on at the scale at which they are matched."""

from __future__ import annotations

import numpy as np

from xmatch.adaptation.recipe import TileSpec
from xmatch.io.rasters.source import Window

WHOLE = 1.5
"""Images up to this many tiles long are not cut. Two tiles of such an image would share more than half of it."""


def tile_windows(width: int, height: int, spec: TileSpec, seed: int = 0) -> list[Window]:
    """Windows of equal size that cover an image, neighbours sharing at least the overlap; the image itself if small.

    Args:
        width, height: px.
        spec: side, overlap, and the most there may be; more are thinned out evenly, drawn by `seed`.
    """
    if max(width, height) <= WHOLE * spec.px:
        return [(0, 0, width, height)]
    columns, rows = (_starts(length, spec) for length in (width, height))
    sides = min(spec.px, width), min(spec.px, height)
    windows = [(x, y, *sides) for y in rows for x in columns]
    if len(windows) <= spec.most:
        return windows
    chosen = np.random.default_rng(seed).permutation(len(windows))[: spec.most]
    return [windows[i] for i in sorted(chosen.tolist())]


def _starts(length: int, spec: TileSpec) -> list[int]:
    """Where tiles begin along a side, the last one ending with it."""
    if length <= spec.px:
        return [0]
    count = 1 + int(np.ceil((length - spec.px) / (spec.px * (1 - spec.overlap))))
    return np.linspace(0, length - spec.px, count).round().astype(int).tolist()
