"""Images with what makes them measurable: validity, georeferencing or spacing, band names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from xmatch.coords import AnyArray, Floats, Image, Mask

Affine6 = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Georef:
    """How pixels lie on the ground."""

    crs_wkt: str | None
    """Coordinate reference system as WKT; None when only the affine is known."""
    affine: Affine6
    """(a, b, c, d, e, f): x_crs = a x + b y + c, y_crs = d x + e y + f for (x, y) in px, corner-counted (GDAL's
    numbers in rasterio's order). Rotated, sheared, south-up and mirrored are all legal."""
    gcps: tuple[tuple[float, float, float, float], ...] = ()
    """(x_px, y_px, x_crs, y_crs) when the file is georeferenced by ground control points only; `affine` is then
    the least-squares fit through them and good for a first guess, no more."""

    @property
    def matrix(self) -> Floats:
        """(3, 3) px -> CRS units."""
        return np.array([self.affine[:3], self.affine[3:], (0.0, 0.0, 1.0)])

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Georef:
        """Inverse of `dataclasses.asdict`, JSON's lists included."""
        return Georef(data["crs_wkt"], tuple(data["affine"]), tuple(map(tuple, data.get("gcps", ()))))


class GridLike(Protocol):
    """The part of a file's `Header` that says which grid it lies on."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def georef(self) -> Georef | None: ...
    @property
    def spacing_um(self) -> tuple[float, float] | None: ...
    @property
    def medical(self) -> bool: ...
    @property
    def resolution(self) -> tuple[float, float, int] | None: ...


@dataclass(frozen=True)
class Grid:
    """The pixels that a result lies on, without any value: how many, and where on the ground or in the specimen."""

    width: int
    height: int
    georef: Georef | None = None
    spacing_um: tuple[float, float] | None = None
    medical: bool = False
    """Taken from a medical image: what lies on it then is written as OME-TIFF, which keeps the spacing."""
    resolution: tuple[float, float, int] | None = None
    """(x, y, unit) as TIFF tags it: px per inch (2), per centimetre (3) or per nothing in particular (1)."""

    @staticmethod
    def of(header: GridLike) -> Grid:
        """The grid of an open file, from its `Header`."""
        return Grid(header.width, header.height, header.georef, header.spacing_um, header.medical, header.resolution)

    def part(self, window: tuple[int, int, int, int]) -> Grid:
        """The pixels of a window (x0, y0, width, height) alone, where they are."""
        x0, y0, width, height = window
        if self.georef is None:
            return replace(self, width=width, height=height)
        a, b, c, d, e, f = self.georef.affine
        gcps = tuple((x - x0, y - y0, east, north) for x, y, east, north in self.georef.gcps)
        moved = (a, b, c + a * x0 + b * y0, d, e, f + d * x0 + e * y0)
        return replace(self, width=width, height=height, georef=replace(self.georef, affine=moved, gcps=gcps))


@dataclass(frozen=True)
class Raster:
    """Pixels in memory. Large files stay on disk behind `xmatch.io.Source`, which reads these."""

    pixels: AnyArray
    """(C, H, W) in the file's own dtype (complex SAR stays complex, palettes are expanded to RGB)."""
    valid: Mask
    """(H, W) bool; False where no band holds data: nodata, alpha 0, masked, NaN or infinite."""
    georef: Georef | None = None
    spacing_um: tuple[float, float] | None = None
    """Pixel size (x, y) in micrometres, for medical images."""
    bands: tuple[str, ...] = ()
    modality: str | None = None
    name: str = ""
    band_valid: Mask | None = None
    """(C, H, W) bool where bands have holes of their own; None where `valid` holds for each of them."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.valid.shape != self.pixels.shape[1:] or self.valid.dtype != bool:
            found = f"{self.pixels.shape}, {self.valid.shape}"
            raise ValueError(f"want pixels (C, H, W) and valid (H, W) bool; got {found}")
        if self.band_valid is not None and self.band_valid.shape != self.pixels.shape:
            raise ValueError(f"want a mask for each band; got {self.band_valid.shape} for {self.pixels.shape}")

    @property
    def masks(self) -> Mask:
        """(C, H, W) or, where all bands share one, (1, H, W) bool."""
        return self.valid[None] if self.band_valid is None else self.band_valid

    @property
    def width(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[1])


def one_mask(masks: Mask) -> Mask:
    """(C, H, W) bool as (1, H, W) when all bands have their holes in the same places, else as they are."""
    return masks[:1] if len(masks) == 1 or (masks[1:] == masks[:1]).all() else masks


@dataclass(frozen=True)
class View:
    """What a matcher sees of a raster: one structure channel at a handy size, and the way back to its pixels."""

    image: Image
    """(h, w) float32 in [0, 1], robustly stretched; 0 where invalid."""
    valid: Mask
    """(h, w) bool."""
    to_pixel: Floats
    """(3, 3) affine, view px -> px of the raster, both corner-counted."""
    collar: float = 0.0
    """Share that was taken for a black collar which the file does not declare."""
    colour: Image | None = None
    """(h, w, 3) in [0, 1], 0 where invalid: red, green and blue, or three times the channel where the raster has no
    colour. Made where a matcher wants it (`Matcher.wants_colour`)."""

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])
