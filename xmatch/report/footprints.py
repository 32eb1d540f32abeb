"""Where on the Earth the pairs of a batch lie: outlines, and the map of them as numbers that an SVG draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmatch.errors import InputError
from xmatch.geometry import transform_from_dict
from xmatch.geometry.outlines import border
from xmatch.io.crs import LONGITUDE_LATITUDE, projected
from xmatch.report.charts import Axis
from xmatch.report.document_types import ImageFacts, RegistrationDocument
from xmatch.report.reading import georef_of

Footprint = tuple[tuple[float, float], ...]
"""Longitude and latitude along an outline, degrees; longitudes run on beyond 180 rather than jump."""

SIDE_POINTS = 5
"""To a side of an image: projections bend its sides."""
WIDTH = 960.0
"""Of the map, in the units of its SVG."""
LEAST_HEIGHT, MOST_HEIGHT = 120.0, 560.0
MARGIN = 40.0
"""Below the map, for the labels of meridians; around the outlines it is about as wide."""
LEAST_SIZE = 5.0
"""What is drawn smaller than this gets a dot as well."""


@dataclass(frozen=True)
class Outline:
    """One pair on the map."""

    index: int
    path: str
    dot: tuple[float, float] | None
    """Where its outline is too small to be seen."""


@dataclass(frozen=True)
class FootprintMap:
    """Plate carree, true to scale in the middle; the templates know its margins."""

    height: float
    outlines: tuple[Outline, ...]
    """Large ones first, so that small ones can be pointed at."""
    meridians: tuple[tuple[float, str], ...]
    """x and label."""
    parallels: tuple[tuple[float, str], ...]
    """y and label."""
    width: float = WIDTH
    margin: float = MARGIN


def footprint(document: RegistrationDocument) -> Footprint | None:
    """The outline of moving where the map lays it, or of fixed where the map is not to be trusted. None where fixed has
    no place on the Earth."""
    fixed, moving, transform = document["fixed"], document["moving"], document["transform"]
    xy = _border(fixed)
    if document["ok"] and transform is not None:
        xy = transform_from_dict(transform)(_border(moving))
    georef = georef_of(fixed)
    if georef is None or georef.crs_wkt is None:
        return None
    ground = xy @ georef.matrix[:2, :2].T + georef.matrix[:2, 2]
    try:
        degrees = projected(ground, georef.crs_wkt, LONGITUDE_LATITUDE)
    except InputError:
        return None
    degrees = degrees[np.isfinite(degrees).all(axis=1)]
    if len(degrees) < 3:
        return None
    degrees[:, 0] = np.unwrap(degrees[:, 0], period=360)
    return tuple((float(x), float(y)) for x, y in degrees.round(6))


def footprint_map(footprints: Sequence[tuple[int, Footprint]]) -> FootprintMap | None:
    """The map of some outlines, each with the index of its pair; None of none."""
    if not footprints:
        return None
    rings = [np.array(ring) for _, ring in footprints]
    # All on the side of the first: a batch across the date line stays together.
    rings = [ring - (360 * round((ring[:, 0].mean() - rings[0][:, 0].mean()) / 360), 0) for ring in rings]
    points = np.concatenate(rings)
    low, high = points.min(axis=0), points.max(axis=0)
    squeeze = max(math.cos(math.radians((low[1] + high[1]) / 2)), 0.01)
    size = np.maximum(high - low, 1e-6) * (squeeze, 1)
    scale = min((WIDTH - 3 * MARGIN) / size[0], (MOST_HEIGHT - 3 * MARGIN) / size[1])
    height = max(float(scale * size[1]) + 3 * MARGIN, LEAST_HEIGHT)
    middle, centre = (low + high) / 2, np.array([WIDTH, height - MARGIN]) / 2

    def drawn(degrees: np.ndarray) -> np.ndarray:
        return centre + (degrees - middle) * (scale * squeeze, -scale)

    half = centre / (scale * squeeze, scale)
    meridians = [(float(drawn(np.array([x, 0]))[0]), x) for x in _ticks(middle[0] - half[0], middle[0] + half[0])]
    parallels = [(float(drawn(np.array([0, y]))[1]), y) for y in _ticks(middle[1] - half[1], middle[1] + half[1])]
    shapes = [(index, drawn(ring)) for (index, _), ring in zip(footprints, rings, strict=True)]
    shapes.sort(key=lambda shape: -float(np.prod(np.ptp(shape[1], axis=0))))
    return FootprintMap(
        round(height, 1),
        tuple(_outline(index, ring) for index, ring in shapes),
        tuple((round(x, 1), _degrees((value + 180) % 360 - 180, "E", "W")) for x, value in meridians),
        tuple((round(y, 1), _degrees(value, "N", "S")) for y, value in parallels),
    )


def _border(image: ImageFacts) -> np.ndarray:
    return border(image["width"], image["height"], SIDE_POINTS)


def _outline(index: int, ring: np.ndarray) -> Outline:
    small = np.ptp(ring, axis=0).max() < LEAST_SIZE
    x, y = ring.mean(axis=0).round(1)
    return Outline(
        index, "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring) + "Z", (float(x), float(y)) if small else None
    )


def _ticks(low: float, high: float) -> list[float]:
    return Axis("", low, high).ticks()


def _degrees(value: float, positive: str, negative: str) -> str:
    side = positive if value > 0 else negative if value < 0 else ""
    digits = f"{abs(value):.6f}".rstrip("0").rstrip(".")
    return f"{digits}\u00b0{side}"
