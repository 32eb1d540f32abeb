"""A pair at reduced sizes: fixed's descriptors on a smaller grid, and moving's there as a map lays them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.geometry import Linear, Transform, compose
from xmatch.geometry.masked import resized_masked
from xmatch.geometry.matrices import local_scale
from xmatch.geometry.outlines import lattice
from xmatch.matchers.search.descriptors import DescriptorMap, edge_descriptors
from xmatch.matchers.search.seen_through import Reduced
from xmatch.raster import View
from xmatch.registration.windows import Windows

LEAST_SIDE_PX, LEAST_REACH_PX = 16, 4
"""Of a window. Not tuned."""
REMEMBERED = 3
"""Maps: where it started, where it is, and what is compared."""
MIN_WINDOWS = 8
"""Windows that must speak together. Not tuned."""


@dataclass(frozen=True)
class WindowLevel:
    share: float
    """Side of a window, of the overlap's shorter side."""
    reach: float
    """How far it may move, the same."""
    side_px: float
    """The fixed view is reduced to side_px^2 px."""


@dataclass(frozen=True, eq=False)
class Level:
    """The fixed view at one size."""

    here: DescriptorMap
    """Its descriptors."""
    onto: Floats
    """(3, 3) fixed view px -> px there, corner-counted."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""
        height, width = self.here.valid.shape
        return width, height


class ReducedPair:
    """Edges of both views. What belongs to the fixed view is computed once for each size."""

    def __init__(self, fixed: View, moving: View) -> None:
        self.fixed, self.moving = fixed, moving
        self._levels: dict[float, Level] = {}
        self._seen: deque[tuple[Transform, Level, DescriptorMap]] = deque(maxlen=REMEMBERED)

    def level(self, side_px: float) -> Level:
        """The fixed view, reduced to side_px^2 px."""
        if side_px not in self._levels:
            view = self.fixed
            factor = min(1.0, side_px / np.sqrt(view.width * view.height))
            width, height = max(1, round(view.width * factor)), max(1, round(view.height * factor))
            image, cover = resized_masked(view.image, view.valid, (width, height), shrinks=factor < 1)
            onto = np.diag([width / view.width, height / view.height, 1.0])
            self._levels[side_px] = Level(edge_descriptors(image, cover > 0.5), onto)
        return self._levels[side_px]

    def seen(self, to_fixed: Transform, level: Level) -> DescriptorMap:
        """Moving's descriptors on the grid of a level; those of the last maps are remembered."""
        for known, at, there in self._seen:
            if known is to_fixed and at is level:
                return there
        onto = compose(to_fixed, Linear(level.onto, "affine"))
        reduced = Reduced(self.moving, local_scale(onto, (self.moving.width / 2, self.moving.height / 2)))
        there = edge_descriptors(*reduced.through(onto, level.size))
        self._seen.append((to_fixed, level, there))
        return there


def fitting_windows(
    here: DescriptorMap, there: DescriptorMap, level: WindowLevel, across: int
) -> tuple[Windows, Floats] | None:
    """Windows for what both images show, and the (N, 2) middles (x, y) of them, px of the level; None of too few."""
    both = here.valid * there.valid
    rows, columns = np.nonzero(both)
    if len(rows) < 100:
        return None
    shorter = float(min(np.ptp(columns), np.ptp(rows)))
    side = 2 * int(max(LEAST_SIDE_PX, level.share * shorter) // 2)
    windows = Windows(side, int(max(LEAST_REACH_PX, level.reach * shorter)), across)
    centres = _overhanging(np.asarray(both > 0), windows)
    return (windows, centres) if len(centres) >= MIN_WINDOWS else None


def with_margin(
    windows: Windows, here: DescriptorMap, there: DescriptorMap
) -> tuple[int, DescriptorMap, DescriptorMap]:
    """Px of emptiness that hold whatever windows at the border look at, and the descriptors with these around."""
    margin = windows.side_px // 2 + windows.reach_px + 2
    around = ((margin, margin), (margin, margin))
    one, other = (
        replace(source, planes=np.pad(source.planes, (*around, (0, 0))), valid=np.pad(source.valid, around))
        for source in (here, there)
    )
    return margin, one, other


def _overhanging(cover: Mask, windows: Windows) -> Floats:
    """(N, 2) centres (x, y) of windows of which more than half lies in what both images show, over its border too."""
    height, width = cover.shape
    margin = 0.3 * windows.side_px
    down = max(3, round(windows.across * height / width))
    xs, ys = (np.linspace(margin, n - margin, count) for n, count in ((width, windows.across), (height, down)))
    centres = lattice(xs, ys).reshape(-1, 2).round().clip(0, (width - 1, height - 1)).astype(int)
    box = (windows.side_px, windows.side_px)
    share = cv2.boxFilter(cover.astype(np.float32), cv2.CV_32F, box, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(centres[share[centres[:, 1], centres[:, 0]] > 0.5], np.float64)
