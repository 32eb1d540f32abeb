"""The door between files and arrays: a header at once, pixels only when and as large as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from xmatch.geometry.windows import Window
from xmatch.raster import Georef, Raster

Resolution = tuple[float, float, int]
"""(x, y, unit) as TIFF tags it: px per unit, where 2 is an inch, 3 a centimetre and 1 none in particular."""


@dataclass(frozen=True)
class BandDetails:
    """What a file says of one band besides its name."""

    index: int
    """Its number in the file, from 1."""
    scale: float = 1.0
    """True values are scale * pixel + offset, in `unit`."""
    offset: float = 0.0
    unit: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Header:
    """What a file says about itself before any pixel is read."""

    path: str
    format: str
    """"GTiff", "COG", "OME-TIFF", "TIFF", "PNG", "JPEG", ..."""
    width: int
    height: int
    bands: tuple[str, ...]
    """Names of the bands that `read` delivers by default, alpha left out; "1", "2", ... when the file has none."""
    dtype: str
    """numpy name of the delivered pixels."""
    georef: Georef | None = None
    spacing_um: tuple[float, float] | None = None
    nodata: float | None = None
    palette: dict[int, tuple[int, int, int, int]] | None = None
    """Colour table, when the pixels on disk are indices into one."""
    index_dtype: str = "uint8"
    """numpy name of such indices, as `read(native=True)` delivers them."""
    colours: tuple[str, ...] = ()
    """What each band shows, in GDAL's words ("red", "gray", "undefined", ...); empty when the file does not say."""
    medical: bool = False
    """True for images that keep their micrometre spacing (OME-TIFF): outputs then are OME-TIFF, not COG."""
    details: tuple[BandDetails, ...] = ()
    """One for each band as stored (one in all for a palette); empty when the format keeps none."""
    resolution: Resolution | None = None
    """As tagged, whatever it may mean; where it is believed, it is in `spacing_um` too."""
    orientation: int = 1
    """The tag of that name (EXIF or TIFF), which is not applied: pixels are as stored."""
    georef_ignored: Georef | None = None
    """The file's own georeferencing when it was to be ignored: other programs do not ignore it."""
    in_tiles: bool = False
    """A part of the file can be read without all that lies beside it."""
    is_lossless: bool = False
    """The file itself holds the values as they are, compressed or not, so that a lossless copy takes as many bytes; not
    known of all formats."""
    ome: dict[str, Any] = field(default_factory=dict)
    """Name, Description, AcquisitionDate and Channel (a dict for each band) of an OME image, under OME's own names."""
    tags: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Choices made while opening that the user should hear of ("page 0 of 7 taken; --page picks another")."""


class Source(Protocol):
    """An open image file. Close it, or use it in a `with` block."""

    header: Header

    def read(
        self,
        window: Window | None = None,
        size: tuple[int, int] | None = None,
        bands: Sequence[int] | None = None,
        native: bool = False,
    ) -> Raster:
        """Pixels of a window (default: all), resampled to `size` = (width, height) by area averaging through the
        file's overviews (nearest for palettes read natively).

        Args:
            window: px of the full image, inside it.
            size: delivered size; default the window's own.
            bands: indices into `header.bands`, from 0; default all of them.
            native: deliver palette indices instead of RGB, as a writer needs them.

        Raises:
            InputError: the data are damaged.
            ResourceError: the delivered array would not fit the memory budget.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Source: ...

    def __exit__(self, *exc: object) -> None: ...
