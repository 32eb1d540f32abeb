"""Coordinate reference systems: from one to another, and how long a pixel is on the ground, each way."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from xmatch.io.source import Header

LONGITUDE_LATITUDE = "OGC:CRS84"
SQUARE = 1.01
"""Pixels whose sides differ by less than this factor are taken as square."""


def projected(xy: np.ndarray, from_crs: str, to_crs: str) -> np.ndarray:
    """(N, 2) positions in another CRS, x (longitude, easting) first; infinite where a projection does not reach, and
    everywhere where no path leads from one to the other, as from a local CRS."""
    if from_crs == to_crs:
        return xy
    transformer = _transformer(from_crs, to_crs)
    if transformer is None:
        return np.full_like(xy, np.inf)
    return np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=-1)


@lru_cache(16)
def _transformer(from_crs: str, to_crs: str):
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(from_crs, to_crs, always_xy=True)
    except ProjError:
        return None


def is_reachable(crs: str) -> bool:
    """Whether a path leads from this CRS to longitude and latitude."""
    return _transformer(crs, LONGITUDE_LATITUDE) is not None


def full_turn(crs: str) -> float | None:
    """A full circle of longitude in the units of a geographic CRS; None for all others."""
    parsed = _crs(crs)
    return 2 * np.pi / parsed.axis_info[0].unit_conversion_factor if parsed.is_geographic else None


@lru_cache(16)
def _crs(wkt: str):
    from pyproj import CRS

    return CRS.from_user_input(wkt)


def ground_matrix(header: Header, xy: tuple[float, float]) -> np.ndarray | None:
    """(2, 2) metres east and north for one px to the right and one px down, at a position of a georeferenced file.

    None where the file has no CRS, or one that does not lead to the Earth (a local one), or does not reach there.
    """
    if header.georef is None or header.georef.crs_wkt is None:
        return None
    x, y = xy
    around = np.array([[x - 0.5, y, 1], [x + 0.5, y, 1], [x, y - 0.5, 1], [x, y + 0.5, 1]]) @ header.georef.matrix.T
    degrees = projected(around[:, :2], header.georef.crs_wkt, LONGITUDE_LATITUDE)
    if not np.isfinite(degrees).all():
        return None
    from pyproj import Geod

    azimuth, _, length = Geod(ellps="WGS84").inv(*degrees[0::2].T, *degrees[1::2].T)
    return np.stack([length * np.sin(np.radians(azimuth)), length * np.cos(np.radians(azimuth))])


def pixel_shape(header: Header, xy: tuple[float, float]) -> tuple[float, float]:
    """Length of a px in x and in y where it lies, in the same unit; (1, 1) where they are equal or not known.

    On a grid of degrees away from the equator a px is narrower than it is tall, and a turn of the ground is no turn of
    pixels.
    """
    matrix = ground_matrix(header, xy)
    if matrix is None:
        return 1.0, 1.0
    across, down = np.linalg.norm(matrix, axis=0)
    if 1 / SQUARE < across / down < SQUARE:
        return 1.0, 1.0
    return float(across), float(down)


def ground_size(header: Header) -> dict[str, Any]:
    """Size of a pixel on the ground (metres, at the middle of the image) or in the specimen (micrometres).

    As `ground_per_px` and `unit`, both None where it is not known.
    """
    if header.spacing_um is not None:
        return {"ground_per_px": float(np.sqrt(header.spacing_um[0] * header.spacing_um[1])), "unit": "um"}
    matrix = ground_matrix(header, (header.width / 2, header.height / 2))
    if matrix is not None:
        return {"ground_per_px": float(np.sqrt(abs(np.linalg.det(matrix)))), "unit": "m"}
    if header.georef is None or header.georef.crs_wkt is None or full_turn(header.georef.crs_wkt) is not None:
        return {"ground_per_px": None, "unit": None}
    # A local frame, or one whose projection does not reach the middle of the image: as long as its axes say.
    metres = _crs(header.georef.crs_wkt).axis_info[0].unit_conversion_factor
    px = float(np.sqrt(abs(np.linalg.det(header.georef.matrix[:2, :2]))))
    return {"ground_per_px": px * metres, "unit": "m"}
