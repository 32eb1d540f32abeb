"""GeoPackage and shapefiles, by pyogrio and shapely (the extra "vectors")."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmatch.coords import Floats
from xmatch.errors import InputError, OutputError, UsageError

LAYERS = (".gpkg", ".shp")
WRITTEN = ".gpkg"


@dataclass(frozen=True, eq=False)
class Layer:
    """The one layer of a file."""

    geometries: Any
    """(M,) shapely geometries; None where a feature has none."""
    fields: tuple[str, ...]
    values: list[Any]
    """Of each field, (M,)."""
    geometry_type: str
    name: str
    xy: Floats
    crs: str | None

    @staticmethod
    def read(path: str | os.PathLike) -> Layer:
        """
        Raises:
            UsageError: pyogrio or shapely is missing.
            InputError: it cannot be read, holds no geometry, or several layers.
        """
        pyogrio, shapely = _packages()
        try:
            names = [str(name) for name, _ in pyogrio.list_layers(path)]
            if len(names) != 1:
                found = ", ".join(names)
                raise InputError(f"holds {len(names)} layers: {found}", hint="give a file of one layer", path=path)
            meta, _, wkb, values = pyogrio.raw.read(path, return_fids=False)
        except pyogrio.errors.DataSourceError as error:
            raise InputError(f"cannot be read: {error}", path=path) from None
        geometries = shapely.from_wkb(wkb)
        xy = shapely.get_coordinates(geometries)
        if not len(xy):
            raise InputError("holds no geometry", path=path)
        return Layer(geometries, tuple(meta["fields"]), values, meta["geometry_type"], names[0], xy, meta["crs"])

    def write(self, path: str | os.PathLike, xy: Floats, crs: str | None) -> None:
        """See `Annotations`. A GeoPackage, whatever was read."""
        pyogrio, shapely = _packages()
        moved = shapely.set_coordinates(self.geometries.copy(), xy)
        try:
            pyogrio.raw.write(
                path,
                shapely.to_wkb(moved),
                self.values,
                np.array(self.fields, dtype=object),
                crs=crs,
                driver="GPKG",
                layer=self.name,
                geometry_type=self.geometry_type,
            )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise OutputError(f"cannot be written: {error}", path=path) from None


def _packages() -> tuple[Any, Any]:
    try:
        import pyogrio
        import pyogrio.raw
        import shapely
    except ImportError:
        raise UsageError(
            "GeoPackage and shapefiles need pyogrio and shapely", hint="pip install 'xmatch[vectors]', or GeoJSON"
        ) from None
    return pyogrio, shapely
