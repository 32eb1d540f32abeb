"""Windows that tie points are found by: how large, where, and what is known of each; read on whatever device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats, Image
from xmatch.geometry.outlines import lattice
from xmatch.raster import View
from xmatch.verification.measures import REGION_REACH_PX

MIN_COVER = 0.7
"""Share of a window that must be valid in both images. Not tuned."""


@dataclass(frozen=True)
class Windows:
    side_px: int
    """Of fixed view px."""
    reach_px: int
    """How far each may move."""
    across: int
    """Windows along the longer side of the fixed view."""


NARROW = Windows(48, 8, 12)
"""Not tuned."""
WIDE = Windows(72, 10, 14)
"""Of 72, 96 and 128 px, 8 to 14 across, the best where narrow ones disagree (lab log, "Wider windows agree")."""
REGION_SHARE, REGION_PX = 0.35, 128
"""Side of a region, share of the shorter side of the fixed view and px at most. Not tuned."""


def regional(fixed: View) -> Windows:
    """Windows that are a good part of the image each."""
    shorter = min(fixed.width, fixed.height)
    side = 2 * (min(round(REGION_SHARE * shorter), REGION_PX) // 2)
    return Windows(side, min(REGION_REACH_PX, side // 4), 6)


@dataclass(frozen=True, eq=False)
class Matched:
    """Windows that are valid enough in both views, and where each finds itself."""

    centres: Floats
    """(N, 2) of the windows, px of the fixed view, whole ones."""
    forward: Floats
    """(N, 2) how far moving's content lies off each window of fixed, px."""
    certainty: Floats
    """(N,) of the way forward, in [0, 1]."""
    backward: Floats
    """(N, 2) the way back from moving, which should undo it."""

    @staticmethod
    def none() -> Matched:
        return Matched(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)))


def window_lattice(width: int, height: int, windows: Windows) -> Floats:
    """(N, 2) whole centres (x, y) of all windows whose way lies inside an image of that size."""
    margin = windows.side_px // 2 + windows.reach_px
    if min(height, width) <= 2 * margin:
        return np.zeros((0, 2))
    step = max(4.0, (max(height, width) - 2 * margin) / max(windows.across - 1, 1))
    columns, rows = (int((n - 2 * margin) / step) + 1 for n in (width, height))
    xs = np.linspace(margin, width - margin, columns) if columns > 1 else np.array([width / 2])
    ys = np.linspace(margin, height - margin, rows) if rows > 1 else np.array([height / 2])
    return np.asarray(lattice(xs, ys).reshape(-1, 2).round(), np.float64)


def taper(side_px: int) -> Image:
    """(side, side) weights of a window, least at its rim."""
    along = tapered(side_px)
    return np.outer(along, along)


def tapered(side_px: int) -> Image:
    """(side,) the same along one axis."""
    return np.hanning(side_px + 2)[1:-1].astype(np.float32)
