"""Coordinate reference systems: positions from one into another, and what a unit of one measures.

rasterio's `transform` fails as a whole when a single point lies beyond a projection, as the corners of a full-disk
image from a geostationary orbit do. Here such points become infinite, and the others keep their place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS

from xmatch.errors import InputError


def reprojected(from_crs: str, to_crs: str, xy: np.ndarray) -> np.ndarray:
    """(N, 2) ground coordinates in another CRS; infinite where a projection does not reach.

    Args:
        from_crs: CRS of `xy`, as WKT or "EPSG:4326".
        to_crs: the CRS wanted.
        xy: (N, 2); x is east or longitude, y north or latitude, whatever order the CRS itself prefers.

    Raises:
        InputError: nothing leads from one to the other (a local CRS, another planet), or one cannot be parsed.
    """
    from rasterio._err import CPLE_BaseError, CPLE_NotSupportedError
    from rasterio.warp import transform

    if from_crs == to_crs:
        return xy
    try:
        start, end = parse_crs(from_crs), parse_crs(to_crs)
    except ValueError as error:
        raise InputError(f"names a CRS that PROJ does not know: {_short(error)}") from None
    if is_local(start) or is_local(end):
        raise InputError(
            "one image has a local CRS, which nothing relates to the CRS of the other",
            hint="--assume-crs or --moving-assume-crs replaces it; --ignore-georef registers by content alone",
        )
    out = np.full(xy.shape, np.inf)
    waiting = [np.flatnonzero(np.isfinite(xy).all(axis=1))]
    while waiting:
        part = waiting.pop()
        try:
            out[part] = np.column_stack(transform(start, end, *xy[part].T.tolist()))
        except CPLE_NotSupportedError as error:
            raise InputError(f"nothing leads from its CRS to that of the other image: {_short(error)}") from None
        except CPLE_BaseError:
            if len(part) > 1:
                waiting += np.array_split(part, 2)
    out[~np.isfinite(out).all(axis=1)] = np.inf
    return out


def parse_crs(text: str) -> CRS:
    """A CRS from WKT, PROJ's words or "EPSG:32633".

    Raises:
        ValueError: it is none.
    """
    with rasterio.Env():  # outside of one, GDAL prints what it thinks of the text
        return CRS.from_user_input(text)


def is_local(crs: CRS) -> bool:
    """Whether a CRS is a local one (LOCAL_CS, EngineeringCRS): it has a unit, but no place on the Earth."""
    return bool(crs) and _kind(crs.to_dict(projjson=True)) == "EngineeringCRS"


def metres_per_unit(crs_wkt: str) -> float | None:
    """Length of a CRS's unit in metres; None for angles."""
    crs = parse_crs(crs_wkt)
    if crs.is_projected:
        return float(crs.linear_units_factor[1])
    return float(crs.units_factor[1]) if is_local(crs) else None


def _kind(definition: dict[str, Any]) -> str:
    """Kind of a CRS, or of the first part of a compound one."""
    parts = definition.get("components") or [definition.get("source_crs")]
    return _kind(parts[0]) if parts[0] else definition.get("type", "")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
