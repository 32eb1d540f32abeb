"""Areas of an image out of files: GeoJSON polygons, as positions in its px."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.errors import InputError
from xmatch.geometry.windows import Window, window_around
from xmatch.io.rasters.source import Header
from xmatch.io.text_files import read_json

SUFFIXES = (".geojson", ".json")


@dataclass(frozen=True, eq=False)
class Polygons:
    """Polygons in px of one image."""

    geometries: tuple[dict[str, Any], ...]
    """GeoJSON's Polygon and MultiPolygon, coordinates in px."""

    def inside(self, window: Window, size: tuple[int, int]) -> Mask:
        """(H, W) bool at `size` = (width, height): px of a window whose centre lies in a polygon."""
        from rasterio import Affine
        from rasterio.features import geometry_mask

        x0, y0, width, height = window
        to_pixel = Affine(width / size[0], 0, x0, 0, height / size[1], y0)
        found: Mask = geometry_mask(self.geometries, (size[1], size[0]), to_pixel, invert=True)
        return found

    def window(self, width: int, height: int) -> Window:
        """The least window of an image that holds them."""
        xy = np.vstack([ring for geometry in self.geometries for ring in _rings(geometry)])
        return window_around(xy, width, height)


def read_polygons(path: str | os.PathLike, header: Header) -> Polygons:
    """The polygons of a GeoJSON file in px of an image.

    Coordinates are in the CRS that the file names (its member "crs", which QGIS and GDAL write); where it names none,
    in that of the image, and in px, y down, of one that has none. Other geometries than polygons are left out.

    Raises:
        InputError: the file cannot be read, or holds no polygon that meets the image.
    """
    document = read_json(path)
    # A file whose georeferencing is not to be believed is still drawn upon where it says.
    georef = header.georef_ignored or header.georef
    try:
        crs = document.get("crs") and document["crs"]["properties"]["name"]
        polygons = [_as_floats(geometry) for geometry in _polygons(document)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"is no GeoJSON: {error or type(error).__name__}", path=path) from None
    if not polygons:
        raise InputError("holds no polygon", path=path)
    if georef is not None:
        polygons = [_mapped(geometry, lambda xy: _to_px(xy, crs, georef, path)) for geometry in polygons]
    found = Polygons(tuple(polygons))
    rings = np.vstack([ring for geometry in polygons for ring in _rings(geometry)])
    meets = np.isfinite(rings).all() and (rings.max(axis=0) > 0).all()
    if not (meets and (rings.min(axis=0) < (header.width, header.height)).all()):
        where = "the CRS of the image" if georef is not None else "px of the image"
        named = f"the CRS that it names ({crs})" if crs and georef is not None else where
        raise InputError(f"its polygons, read in {named}, lie beside {header.path}", path=path)
    return found


def _polygons(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match node["type"]:
        case "FeatureCollection":
            for feature in node["features"]:
                yield from _polygons(feature)
        case "Feature":
            if node["geometry"] is not None:
                yield from _polygons(node["geometry"])
        case "GeometryCollection":
            for geometry in node["geometries"]:
                yield from _polygons(geometry)
        case "Polygon" | "MultiPolygon":
            yield node


def _as_floats(geometry: dict[str, Any]) -> dict[str, Any]:
    """A geometry of positions (N, 2); heights are left out."""

    def plain(xy: Floats) -> Floats:
        if xy.ndim != 2 or xy.shape[1] < 2 or len(xy) < 4:
            raise ValueError("a ring of a polygon is four or more positions")
        return xy[:, :2]

    return _mapped(geometry, plain)


def _mapped(geometry: dict[str, Any], onto: Callable[[Floats], Floats]) -> dict[str, Any]:
    """The geometry with `onto` applied to each ring (N, 2)."""

    def ring(positions: Any) -> list[list[float]]:
        moved: list[list[float]] = onto(np.asarray(positions, np.float64)).tolist()
        return moved

    rings: Any = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        return {"type": "Polygon", "coordinates": [ring(positions) for positions in rings]}
    return {"type": "MultiPolygon", "coordinates": [[ring(positions) for positions in part] for part in rings]}


def _rings(geometry: dict[str, Any]) -> Iterator[Floats]:
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    for part in parts:
        for ring in part:
            yield np.asarray(ring, np.float64)


def _to_px(xy: Floats, crs: str | None, georef: Any, path: str | os.PathLike) -> Floats:
    if crs and georef.crs_wkt:
        from xmatch.io.crs import projected

        try:
            xy = projected(xy, crs, georef.crs_wkt)
        except InputError as error:
            error.path = str(path)
            raise
    inverse = np.linalg.inv(georef.matrix)
    return np.asarray(xy @ inverse[:2, :2].T + inverse[:2, 2], np.float64)
