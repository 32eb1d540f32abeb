"""Coordinate reference systems, given as WKT, PROJ's words or "EPSG:32633": from one to another, and their units.

Computed by pyproj, which says of each point by itself that it lies beyond a projection, as the corners of a full-disk
image from a geostationary orbit do. rasterio's `transform` fails as a whole then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xmatch.errors import InputError

if TYPE_CHECKING:
    import rasterio

LONGITUDE_LATITUDE = "OGC:CRS84"


def parse_crs(text: str) -> rasterio.crs.CRS:
    """A CRS as rasterio reads and writes it.

    Raises:
        ValueError: `text` is none.
    """
    import rasterio

    with rasterio.Env():  # outside of one, GDAL prints what it thinks of the text
        return rasterio.crs.CRS.from_user_input(text)


def projected(xy: np.ndarray, from_crs: str, to_crs: str) -> np.ndarray:
    """(N, 2) positions in another CRS; infinite, both coordinates, where a projection does not reach.

    Args:
        xy: (N, 2); x is east or longitude, y north or latitude, whatever order the CRS itself prefers.
        from_crs: CRS of `xy`.
        to_crs: the CRS wanted.

    Raises:
        InputError: nothing leads from one to the other (a local CRS, another planet), or one cannot be parsed.
    """
    if from_crs == to_crs:
        return xy
    found = np.stack(_transformer(from_crs, to_crs).transform(xy[:, 0], xy[:, 1]), axis=-1)
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.inf)


def is_reachable(crs: str) -> bool:
    """Whether a path leads from this CRS to longitude and latitude on the Earth."""
    try:
        _transformer(crs, LONGITUDE_LATITUDE)
        return True
    except InputError:
        return False


def is_local(crs: str) -> bool:
    """Whether a CRS is a local one (LOCAL_CS, EngineeringCRS): it has a unit, but no place on the Earth."""
    return _horizontal(_parsed(crs)).is_engineering


def named(crs: str) -> str:
    """The short name of a CRS that a register holds ("EPSG:32633"); any other as it is given."""
    authority = _parsed(crs).to_authority()
    return crs if authority is None else ":".join(authority)


def full_turn(crs: str) -> float | None:
    """A full circle of longitude in the units of a geographic CRS; None for all others."""
    parsed = _parsed(crs)
    return 2 * np.pi / parsed.axis_info[0].unit_conversion_factor if parsed.is_geographic else None


def metres_per_unit(crs: str) -> float | None:
    """Length of a CRS's unit in metres; None for angles."""
    parsed = _parsed(crs)
    return None if parsed.is_geographic else float(parsed.axis_info[0].unit_conversion_factor)


@lru_cache(16)
def _transformer(from_crs: str, to_crs: str) -> Any:
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    ends = _parsed(from_crs), _parsed(to_crs)
    if any(_horizontal(end).is_engineering for end in ends):
        raise InputError(
            "one image has a local CRS, which nothing relates to the CRS of the other",
            hint="--assume-crs or --moving-assume-crs replaces it; --ignore-georef registers by content alone",
        )
    try:
        return Transformer.from_crs(*ends, always_xy=True)
    except ProjError as error:
        raise InputError(f"nothing leads from its CRS to that of the other image: {_short(error)}") from None


@lru_cache(16)
def _parsed(crs: str) -> Any:
    """
    Raises:
        InputError: it is no CRS, or has no axes that positions could be counted on.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as error:
        raise InputError(f"names a CRS that PROJ does not know: {_short(error)}") from None
    if not parsed.axis_info:
        raise InputError(f"names a CRS without axes: {parsed.name[:60]}")
    return parsed


def _horizontal(crs: Any) -> Any:
    """A CRS, or the first part of a compound one, or what a bound one binds."""
    part = crs.sub_crs_list[0] if crs.sub_crs_list else crs.source_crs if crs.is_bound else None
    return crs if part is None else _horizontal(part)


def _short(error: Exception) -> str:
    """PROJ puts its reason last, after the names of its functions."""
    return " ".join(str(error).split()).rpartition(": ")[2][:120] or type(error).__name__
