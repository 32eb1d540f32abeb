"""Pixels on the ground: how long they are there, each way, whatever the CRS counts in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.geometry.matrices import scale_of
from xmatch.io.crs import LONGITUDE_LATITUDE, is_reachable, metres_per_unit, projected
from xmatch.io.rasters.source import Header

SQUARE = 1.01
"""Pixels whose sides differ by less than this factor are taken as square. Not tuned."""


def ground_matrix(header: Header, xy: tuple[float, float]) -> Floats | None:
    """(2, 2) metres east and north for one px to the right and one px down, at a position of a georeferenced file.

    None where the file has no CRS, or one that does not lead to the Earth (a local one), or does not reach there.
    """
    if header.georef is None or header.georef.crs_wkt is None or not is_reachable(header.georef.crs_wkt):
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


@dataclass(frozen=True)
class GroundSize:
    """How large a pixel is."""

    per_px: float | None
    """Its side in `unit`, the root of its area where it is not square; None where it is not known."""
    unit: str | None
    """"m" on the ground, "um" in a specimen."""


def ground_size(header: Header) -> GroundSize:
    """Size of a pixel on the ground (at the middle of the image) or in the specimen."""
    if header.spacing_um is not None:
        return GroundSize(float(np.sqrt(header.spacing_um[0] * header.spacing_um[1])), "um")
    matrix = ground_matrix(header, (header.width / 2, header.height / 2))
    if matrix is not None:
        return GroundSize(scale_of(matrix), "m")
    if header.georef is None or header.georef.crs_wkt is None:
        return GroundSize(None, None)
    # A local frame, or one whose projection does not reach the middle of the image: as long as its axes say.
    metres = metres_per_unit(header.georef.crs_wkt)
    if metres is None:
        return GroundSize(None, None)
    return GroundSize(scale_of(header.georef.matrix) * metres, "m")
