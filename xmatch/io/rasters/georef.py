"""Where an open rasterio dataset says that its pixels lie."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.crs import CRS

from xmatch.errors import UsageError
from xmatch.io.crs import is_local, parse_crs
from xmatch.io.rasters.options import ReadOptions
from xmatch.raster import Affine6, Georef


def read_georef(dataset: rasterio.DatasetReader, options: ReadOptions) -> tuple[Georef | None, tuple[str, ...]]:
    """The georeferencing and what the user should hear of it.

    Affines are taken as they are: rotated, sheared, south-up and mirrored are legal. A file with ground control
    points only gets the affine of least squares through them. An identity transform without control points is
    GDAL's way of saying that there is none.

    Raises:
        UsageError: `assume_crs` cannot be parsed.
    """
    assumed = _parse_crs(options.assume_crs)
    if options.ignore_georef:
        return None, ()
    notes = []
    points, points_crs = dataset.gcps
    affine: Affine6 | None = None if dataset.transform.is_identity else tuple(dataset.transform)[:6]
    gcps: tuple[tuple[float, float, float, float], ...] = ()
    crs = dataset.crs
    if affine is None and points:
        crs = points_crs
        gcps = tuple((float(p.col), float(p.row), float(p.x), float(p.y)) for p in points)
        finite = tuple(point for point in gcps if np.isfinite(point).all())
        if len(finite) < len(gcps):
            notes.append(f"{len(gcps) - len(finite)} of its {len(gcps)} ground control points are not finite numbers")
        gcps = finite
        if crs is not None and crs.is_geographic:
            gcps = _unwrapped(gcps)
        affine = fit_affine(gcps)
        if affine is None:
            notes.append(f"its {len(gcps)} ground control points lie on one line and say nothing of the place")
        else:
            notes.append(f"georeferenced by {len(gcps)} ground control points only: a first guess of the place")
    if dataset.tags(ns="RPC"):  # `dataset.rpcs` would parse them, and fail where they are incomplete
        notes.append("its RPCs (rational polynomials) are not used")
    if dataset.tags(ns="GEOLOCATION"):
        notes.append("its geolocation arrays are not used")
    if affine is None:
        if crs is not None or assumed is not None:
            notes.append("has no geotransform, so its CRS alone does not place it")
        return None, tuple(notes)
    if not _places(affine):
        return None, (*notes, "its geotransform is singular and is not used")
    if assumed is not None:
        if crs is None:
            crs = assumed
            notes.append(f"CRS {options.assume_crs} assumed")
        elif is_local(crs.to_wkt()):
            notes.append(f"its local CRS, {crs.to_string()[:60]}, is replaced by {options.assume_crs}")
            crs = assumed
        elif crs != assumed:
            notes.append(f"its own CRS, {crs.to_string()[:60]}, is used; --assume-crs is for files without one")
    return Georef(crs.to_wkt() if crs else None, affine, gcps), tuple(notes)


def fit_affine(gcps: tuple[tuple[float, float, float, float], ...]) -> Affine6 | None:
    """Least-squares affine px -> CRS through (x_px, y_px, x_crs, y_crs); None when fewer than three points or all on
    one line."""
    points = np.asarray(gcps, dtype=np.float64).reshape(-1, 4)
    if len(points) < 3:
        return None
    centre = points.mean(axis=0)
    offsets = points - centre
    scale = np.abs(offsets[:, :2]).max() or 1.0
    solution, _, rank, _ = np.linalg.lstsq(offsets[:, :2] / scale, offsets[:, 2:], rcond=1e-9)
    if rank < 2:
        return None
    (a, d), (b, e) = (solution / scale).tolist()
    c, f = centre[2:] - solution.T @ (centre[:2] / scale)
    return a, b, float(c), d, e, float(f)


def _places(affine: Affine6) -> bool:
    """Whether an affine is one that pixels can have: finite, with an inverse, in numbers that survive arithmetic."""
    sides = np.abs([affine[0] * affine[4] - affine[1] * affine[3], *affine])
    return bool(np.isfinite(sides).all() and 1e-24 < sides[0] and (sides < 1e15).all())


def _unwrapped(gcps: tuple[tuple[float, float, float, float], ...]) -> tuple[tuple[float, float, float, float], ...]:
    """Longitudes made continuous across the antimeridian (western ones then exceed 180)."""
    longitudes = [x for _, _, x, _ in gcps]
    if max(longitudes) - min(longitudes) <= 180:
        return gcps
    return tuple((px, py, x + 360 if x < 0 else x, y) for px, py, x, y in gcps)


def _parse_crs(text: str | None) -> CRS | None:
    if text is None:
        return None
    try:
        return parse_crs(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no CRS: {error}", hint='for example "EPSG:32633"') from None
