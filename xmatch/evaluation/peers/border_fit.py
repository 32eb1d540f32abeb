"""A control that reads the slant of a black frame and nothing else.

SRIF as published turned its second images inside their own canvas: the lines that bound the black repeat the answer,
and this control beats the matchers published for it that were not adapted to it.

Each slanted line is a side of the other image's frame. Two opposite sides give a scale, and where the middle lies
between them. A direction of which no side is seen is taken to be centred, at scale 1 if the other one says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from xmatch.coords import from_centre_xy
from xmatch.evaluation.border import black_border
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.geometry import Linear, similarity
from xmatch.io import open_source

MIN_BORDER = 0.005
"""Share of an image that must be border, and of what must be left."""
STRAIGHT_PX = 2.0
"""How far outline and line may be apart, and how near to the canvas's edge a line is that edge."""
MIN_LINE = 0.06
"""Length of a line that is believed, of the canvas's shorter side."""
PARALLEL_DEG = 1.0
"""How far sides of one frame may be from parallel or square."""
SCALE_MISMATCH = 0.04
"""Relative difference between the scales of the two directions above which a frame must lie the other way."""


class BorderFit:
    """The similarity that lays the other image's frame on the slanted frame that a black border leaves.

    A square's frame says its turn up to quarter turns, an oblong's up to half turns. Of these the one that turns moving
    by 0 to 90 degrees (clockwise as displayed) is taken where it fits: SRIF was made so.
    """

    name = "border-fit"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        seen = _frame(fixed), _frame(moving)
        # Fixed's frame as it lies in moving's canvas maps fixed px to moving px: turned by 0 to -90 degrees.
        placed = _placed(seen[1], seen[0].size, first_deg=-90.0)
        if placed is not None:
            return Found(placed.inverse)
        placed = _placed(seen[0], seen[1].size, first_deg=0.0)
        if placed is not None:
            return Found(placed)
        return Found(None, "Neither image has a black border whose slanted lines fit the other's frame.")


@dataclass(frozen=True, eq=False)
class _Line:
    point: np.ndarray
    """(2,) px, corner-counted."""
    angle_deg: float
    length_px: float


@dataclass(frozen=True, eq=False)
class _Frame:
    """What bounds the content of one image."""

    size: tuple[int, int]
    """(width, height) of the canvas, px."""
    lines: tuple[_Line, ...] = ()
    """Slanted ones; the canvas's own edges are left out."""
    middle: tuple[float, float] = (0.0, 0.0)
    """Of the content, px."""


def _frame(path: Path) -> _Frame:
    with open_source(path) as source:
        border = black_border(source.read().pixels, grow_px=0)
    height, width = border.shape
    if not MIN_BORDER < border.mean() < 1 - MIN_BORDER:
        return _Frame((width, height))
    # Bright specks in the border and thin bridges to it are no content.
    content = cv2.morphologyEx((~border).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(content, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return _Frame((width, height))
    outline = max(outlines, key=cv2.contourArea)
    # Dark content that touches the border dents the outline; the hull spans such dents.
    polygon = cv2.approxPolyDP(cv2.convexHull(outline), STRAIGHT_PX, True).reshape(-1, 2).astype(np.float64)
    outline = outline.reshape(-1, 2).astype(np.float64)
    lines = [
        _fitted(outline, start, end)
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True)
        if np.linalg.norm(end - start) >= MIN_LINE * min(width, height) and not _at_edge(start, end, width, height)
    ]
    middle = from_centre_xy(polygon.mean(axis=0))
    return _Frame((width, height), tuple(line for line in lines if line), tuple(middle))


def _at_edge(start: np.ndarray, end: np.ndarray, width: int, height: int) -> bool:
    """Whether both ends lie at one and the same edge of the canvas."""
    ends = np.stack([start, end])
    beyond = np.hstack([ends, (width - 1, height - 1) - ends]) <= STRAIGHT_PX
    return bool(beyond.all(axis=0).any())


def _fitted(outline: np.ndarray, start: np.ndarray, end: np.ndarray) -> _Line | None:
    """The line through the outline's points between two corners, least squares with Huber's loss."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    away = outline - start
    run, off = away @ along, np.abs(away @ (-along[1], along[0]))
    # Near corners the outline bends.
    near = outline[(off < STRAIGHT_PX) & (run > 0.05 * length) & (run < 0.95 * length)]
    if len(near) < 5:
        return None
    x_step, y_step, x, y = cv2.fitLine(near.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel()
    return _Line(from_centre_xy(np.array([x, y])), float(np.degrees(np.arctan2(y_step, x_step))), length)


def _placed(frame: _Frame, size: tuple[int, int], *, first_deg: float) -> Linear | None:
    """Where an image of `size` lies in the canvas whose frame this is, px of that image -> px of the canvas.

    Args:
        first_deg: turns from here to 90 degrees on are tried first, then the other quarter turns.
    """
    if not frame.lines:
        return None
    frame = replace(frame, lines=_square_to_each_other(frame.lines))
    # Sides of a rectangle are alike up to quarter turns: four times the angle is one and the same.
    four = sum(line.length_px * np.exp(4j * np.radians(line.angle_deg)) for line in frame.lines)
    turn = first_deg + (np.degrees(np.angle(four)) / 4 - first_deg) % 90.0
    for quarter in (0, 1, -1, 2):
        placed = _laid(frame, size, turn + 90.0 * quarter)
        if placed is not None:
            return placed
    return None


def _square_to_each_other(lines: tuple[_Line, ...]) -> tuple[_Line, ...]:
    """The lines that are parallel or square to one of them, the longest such group: the others bound dark content."""

    def group(one: _Line) -> tuple[_Line, ...]:
        off = [abs((line.angle_deg - one.angle_deg + 45.0) % 90.0 - 45.0) for line in lines]
        return tuple(line for line, apart in zip(lines, off, strict=True) if apart <= PARALLEL_DEG)

    return max(map(group, lines), key=lambda found: sum(line.length_px for line in found))


def _laid(frame: _Frame, size: tuple[int, int], angle_deg: float) -> Linear | None:
    """The placement at one turn; None when the two directions contradict each other on the scale."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    axes = np.array([[c, s], [-s, c]])
    sides = [_sides(frame, axis) for axis in axes]
    scales = [
        (high - low) / n for (low, high), n in zip(sides, size, strict=True) if low is not None and high is not None
    ]
    if len(scales) == 2 and abs(np.log(scales[0] / scales[1])) > SCALE_MISMATCH:
        return None
    scale = float(np.mean(scales)) if scales else 1.0
    middle = []
    for axis, (low, high), extent in zip(axes, sides, size, strict=True):
        seen = [low + scale * extent / 2] if low is not None else []
        seen += [high - scale * extent / 2] if high is not None else []
        middle.append(np.mean(seen) if seen else axis @ (np.array(frame.size) / 2))
    turned = similarity(angle_deg, scale)
    shift = axes.T @ middle - turned(np.array([size]) / 2)[0]
    return similarity(angle_deg, scale, tuple(shift))


def _sides(frame: _Frame, axis: np.ndarray) -> tuple[float | None, float | None]:
    """Where along `axis` the two sides across it lie, px; None where no line says so. The longest line speaks."""
    low = high = None
    for line in sorted(frame.lines, key=lambda line: line.length_px):
        direction = np.array([np.cos(np.radians(line.angle_deg)), np.sin(np.radians(line.angle_deg))])
        if abs(direction @ axis) > 0.5:
            continue
        where = float(line.point @ axis)
        if where < np.array(frame.middle) @ axis:
            low = where
        else:
            high = where
    return low, high
