"""What varies over the fixed image, as cells and arrows to lay over its picture: the expected error, and how far the
map leaves the affine one nearest to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.geometry import transform_from_dict
from xmatch.geometry.matrices import apply_affine, nearest_affine
from xmatch.geometry.outlines import cell_centres, finite, inside, nodes_over
from xmatch.report.affine_part import LATTICE
from xmatch.report.document_types import RegistrationDocument
from xmatch.report.drawing import Arrows, arrows
from xmatch.report.numbers import number, quantity
from xmatch.report.previews import PreviewFrame, Previews

STOPS = ((52, 101, 164), (88, 170, 168), (246, 230, 150), (240, 139, 46), (170, 36, 22))
"""Blue, green, yellow, orange, red: little to much, apart for colour-blind eyes too."""
LEAST_RANGE = 4.0
"""From one end of the colours to the other errors grow by this factor at least, or noise would look like much."""
BEND_ACROSS, ARROWS_ACROSS = 36, 16
"""Cells and arrows of a displacement along the longer side. Not tuned."""
LEAST_BEND_PX = 0.05
"""What leaves an affine map by no more is not drawn. Not tuned."""


@dataclass(frozen=True)
class Cell:
    """A rectangle in preview px."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    text: str
    """To be written into it; may be empty."""
    said: str
    """Of it, in full."""
    extrapolated: bool = False


@dataclass(frozen=True)
class Key:
    """A bar of colours, from the least to the greatest value."""

    colours: str
    """Of a CSS gradient."""
    low: str
    middle: str
    high: str


@dataclass(frozen=True)
class Field:
    cells: tuple[Cell, ...]
    key: Key
    arrows: Arrows | None = None
    extrapolated_share: float = 0.0


def error_field(document: RegistrationDocument, previews: Previews) -> Field | None:
    """The expected error of each cell; None where none is told."""
    part = document.get("error_map")
    if not part:
        return None
    ce90 = np.array([[np.nan if value is None else value for value in row] for row in part["ce90_px"]])
    known = ce90[np.isfinite(ce90)]
    if not known.size:
        return None
    low, high = max(float(known.min()), 1e-3), max(float(known.max()), 1e-3)
    widen = math.sqrt(max(LEAST_RANGE * low / high, 1.0))
    low, high = low / widen, high * widen
    ground, unit = part["ce90_ground"], part["ground_unit"]
    side = np.array(part["cell_px"])
    found = []
    for row, column in zip(*np.nonzero(np.isfinite(ce90)), strict=True):
        value, held = float(ce90[row, column]), not part["extrapolated"][row][column]
        said = quantity(value, "px", 2)
        if ground is not None:
            said += f" ({quantity(ground[row][column], unit, 2)})"
        said += "" if held else ", continued: no tie point holds the map here"
        place = np.log(max(value, low) / low) / np.log(high / low)
        corner = np.array(part["origin_xy"]) + side * (column, row)
        found.append(_cell(previews.fixed_frame, corner, side, colour(float(place)), number(value, 2), said, not held))
    key = Key(gradient(), *(quantity(value, "px", 2) for value in (low, math.sqrt(low * high), high)))
    return Field(tuple(found), key, extrapolated_share=part["extrapolated_share"])


def bend_field(document: RegistrationDocument, previews: Previews) -> Field | None:
    """How far the transform leaves the affine map nearest to it over moving; None where it does not."""
    if document["transform"] is None:
        return None
    transform = transform_from_dict(document["transform"])
    width, height = document["moving"].get("width"), document["moving"].get("height")
    if not width or not height:
        return None
    nodes = nodes_over(width, height, LATTICE)
    landed = transform(nodes)
    defined = finite(landed)
    if defined.sum() < len(nodes) / 2:
        return None
    affine = nearest_affine(nodes[defined], landed[defined])
    frame = previews.fixed_frame

    def left(across: int) -> tuple[Floats, Floats, tuple[int, int]]:
        """Centres of cells (N, 2) over what is shown, fixed px, how far the map leaves the affine one there, and how
        many cells (columns, rows) there are."""
        columns, rows = (max(1, round(across * side / max(frame.window[2:]))) for side in frame.window[2:])
        xy = cell_centres(*frame.window[2:], columns, rows) + frame.window[:2]
        moving_xy = transform.inverse(xy)
        off = xy - apply_affine(affine, moving_xy)
        shown = inside(moving_xy, width, height)
        return xy, np.where(shown[:, None], off, np.nan), (columns, rows)

    xy, off, (columns, rows) = left(BEND_ACROSS)
    length = np.linalg.norm(off, axis=1)
    known = np.isfinite(length)
    if not known.any() or length[known].max() < LEAST_BEND_PX:
        return None
    high = float(length[known].max())
    side = np.array(frame.window[2:]) / (columns, rows)
    found = tuple(
        _cell(frame, at - side / 2, side, colour(value / high), "", quantity(value, "px", 2))
        for at, value in zip(xy[known], length[known].tolist(), strict=True)
    )
    at, off, _ = left(ARROWS_ACROSS)
    drawn = finite(off)
    key = Key(gradient(), *(quantity(value, "px", 2) for value in (0.0, high / 2, high)))
    return Field(found, key, arrows(at[drawn], off[drawn], frame) if drawn.any() else None)


def colour(place: float) -> str:
    """Of a value from 0, the least, to 1."""
    at = min(max(place, 0.0), 1.0) * (len(STOPS) - 1)
    first = min(int(at), len(STOPS) - 2)
    mixed = (a + (b - a) * (at - first) for a, b in zip(STOPS[first], STOPS[first + 1], strict=True))
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def gradient() -> str:
    return ", ".join(colour(i / (len(STOPS) - 1)) for i in range(len(STOPS)))


def _cell(
    frame: PreviewFrame, corner: Floats, side: Floats, colour: str, text: str, said: str, extrapolated: bool = False
) -> Cell:
    (x0, y0), (x1, y1) = frame.to_preview(np.array([corner, corner + side]))
    return Cell(
        round(float(x0), 1), round(float(y0), 1), round(float(x1 - x0), 1), round(float(y1 - y0), 1),
        colour, text, said, extrapolated,
    )  # fmt: skip
