"""Where SimpleITK takes the pixels of a file to lie: asked of SimpleITK itself, which has rules of its own.

It knows the resolution tags of TIFF and JPEG (in millimetres), and neither OME-XML nor ImageJ's unit nor any
georeferencing; where it finds nothing, pixels are 1 apart.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from xmatch.coords import from_centre_xy, to_centre_xy
from xmatch.errors import OutputError, UsageError
from xmatch.io.rasters.source import Header

_TURNED = {2, 3, 4, 6, 7, 8}
_NOT_TURNED = ("JPEG", "PNG", "JPEG 2000")
"""Orientation tags by which SimpleITK gets the rows of a TIFF mirrored or turned; ours are as stored. Of other formats
it takes no notice of them either."""


@dataclass(frozen=True)
class PhysicalSpace:
    """Pixels and the points that ITK counts in."""

    spacing: tuple[float, float] = (1.0, 1.0)
    """Distance of pixels in x and y."""
    origin: tuple[float, float] = (0.0, 0.0)
    """Of the centre of the first pixel."""

    def points(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) px, corner-counted -> points."""
        return to_centre_xy(np.asarray(xy)) * self.spacing + self.origin

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Inverse of `points`."""
        return from_centre_xy((np.asarray(points) - self.origin) / self.spacing)

    def as_dict(self) -> dict[str, Any]:
        return {name: list(value) for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> PhysicalSpace:
        """Inverse of `as_dict`.

        Raises:
            KeyError, TypeError, OverflowError: one is missing, or no list of numbers.
            ValueError: not two finite numbers each, or a spacing that is not positive.
        """
        spacing, origin = (tuple(float(number) for number in data[name]) for name in ("spacing", "origin"))
        match spacing, origin:
            case (sx, sy), (ox, oy) if min(sx, sy) > 0 and all(map(math.isfinite, (sx, sy, ox, oy))):
                return PhysicalSpace((sx, sy), (ox, oy))
        raise ValueError(f"spacing {spacing} and origin {origin} are not those of an image")


def simpleitk() -> ModuleType:
    """The package, an extra: nothing else here needs it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module("SimpleITK")
    except ImportError as error:
        raise UsageError(
            f"ITK transforms (.tfm) need the package SimpleITK, which cannot be imported ({error})",
            hint="pip install 'xmatch[itk]'",
        ) from None


def space_of(header: Header) -> PhysicalSpace:
    """The space of the file that `header` describes, as SimpleITK reads it; of a volume, that of its slices.

    Raises:
        OutputError: SimpleITK does not open the file, opens another page of it, or turns it.
    """
    sitk = simpleitk()
    path = header.path
    if header.orientation in _TURNED and header.format not in _NOT_TURNED:
        raise OutputError(
            f"SimpleITK applies the TIFF orientation {header.orientation} of {path}, and xmatch does not",
            hint="turn its pixels and remove the tag first, or take --displacement",
        )
    if header.format == "NIfTI":
        raise OutputError(
            f"SimpleITK reads {path} as a volume, of which xmatch turns one slice",
            hint="save the slice as a file of its own, or take --displacement",
        )
    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(path)
        reader.ReadImageInformation()
    except (RuntimeError, TypeError, ValueError) as error:
        raise OutputError(
            f"SimpleITK does not open {path}: nothing says in which units a .tfm would count ({last_line(error)})",
            hint="--displacement says it in px",
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)
    if reader.GetSize()[:2] != (header.width, header.height):
        size = " x ".join(map(str, reader.GetSize()[:2]))
        raise OutputError(
            f"SimpleITK opens another page of {path}, of {size} px; no .tfm can speak of this one",
            hint="save the page as a file of its own, or take --displacement",
        )
    if not np.allclose(reader.GetDirection(), np.eye(reader.GetDimension()).ravel()):
        raise OutputError(
            f"SimpleITK lays the rows of {path} obliquely in space; a .tfm of the plane cannot speak of it",
            hint="--displacement says it in px",
        )
    return PhysicalSpace(tuple(reader.GetSpacing()[:2]), tuple(reader.GetOrigin()[:2]))


def last_line(error: Exception) -> str:
    """SimpleITK puts its reason last, after source positions."""
    return (str(error).strip().splitlines() or ["unknown"])[-1]
