"""Pixel size in micrometres, from the several places where TIFFs keep it."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

Spacing = tuple[float, float]

MAX_TAGGED_UM = 1000.0
"""Resolution tags that claim coarser pixels than this are a leftover of some drawing program."""
_MEDICAL_UM = 20.0
"""Plain files with pixels this fine come from a microscope; scanners end at about 1200 dpi, 21 um."""
_UM = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "pm": 1e-6,
    "Å": 1e-4,
    "inch": 25400.0,
    "in": 25400.0,
}


def is_medical(spacing_um: Spacing | None) -> bool:
    """Whether a plain TIFF with this spacing is taken for microscopy."""
    return spacing_um is not None and max(spacing_um) <= _MEDICAL_UM


def tagged_spacing(resolution: tuple[float, float, int] | None) -> Spacing | None:
    """From (XResolution, YResolution, ResolutionUnit); only inch (2) and centimetre (3) say anything."""
    if resolution is None or resolution[2] not in (2, 3):
        return None
    return _plausible(resolution[0], resolution[1], {2: 25400.0, 3: 1e4}[resolution[2]])


def imagej_spacing(resolution: tuple[float, float, int] | None, unit: str | None) -> Spacing | None:
    """ImageJ counts px per its own `unit`, whatever ResolutionUnit says."""
    scale = _UM.get((unit or "").replace("\\u00B5", "µ").strip())
    if resolution is None or scale is None:
        return None
    return _plausible(resolution[0], resolution[1], scale, limit=1e12)


def aperio_spacing(description: str) -> Spacing | None:
    """From "MPP = 0.499" in the description of an Aperio slide."""
    found = re.search(r"\bMPP\s*=\s*([0-9.]+)", description)
    um = _number(found[1]) if found else None
    return (um, um) if um is not None and um <= MAX_TAGGED_UM else None


def ome_pixels(xml: str, series: int) -> tuple[Spacing | None, tuple[str, ...]]:
    """Spacing and channel names of the n-th Image of an OME-XML.

    Raises:
        xml.etree.ElementTree.ParseError: no XML.
    """
    images = [e for e in ElementTree.fromstring(xml).iter() if _local(e) == "Pixels"]
    if not images:
        return None, ()
    pixels = images[series] if series < len(images) else images[0]
    size = []
    for axis in "XY":
        value = _number(pixels.get(f"PhysicalSize{axis}", ""))
        scale = _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        size.append(value * scale if value and scale else 0.0)
    names = tuple(e.get("Name") or "" for e in pixels if _local(e) == "Channel")
    return ((size[0], size[1]) if min(size) > 0 else None), names


OME_CHANNEL = (
    "AcquisitionMode", "Color", "ContrastMethod", "EmissionWavelength", "EmissionWavelengthUnit",
    "ExcitationWavelength", "ExcitationWavelengthUnit", "Fluor", "IlluminationType", "NDFilter", "PinholeSize",
    "PinholeSizeUnit", "PockelCellSetting",
)  # fmt: skip
"""What an OME channel says besides its name, under OME's own names."""


def ome_facts(xml: str, series: int) -> dict[str, Any]:
    """Name, Description and AcquisitionDate of the n-th Image of an OME-XML, where it has them, and Channel: a dict for
    each of its channels.

    Raises:
        xml.etree.ElementTree.ParseError: no XML.
    """
    images = [e for e in ElementTree.fromstring(xml).iter() if _local(e) == "Image"]
    if not images:
        return {}
    image = images[series] if series < len(images) else images[0]
    facts: dict[str, Any] = {"Name": image.get("Name")}
    facts |= {_local(e): (e.text or "").strip() for e in image if _local(e) in ("Description", "AcquisitionDate")}
    channels = [e for e in image.iter() if _local(e) == "Channel"]
    told = [{name: channel.get(name) for name in OME_CHANNEL if channel.get(name)} for channel in channels]
    return {**{name: text for name, text in facts.items() if text}, "Channel": told}


def ome_planes(xml: str) -> int:
    """The largest number of planes that an OME-XML claims for one image, by its sizes or by what it lists.

    Raises:
        xml.etree.ElementTree.ParseError: no XML.
    """
    most = 0
    for element in ElementTree.fromstring(xml).iter():
        if _local(element) == "Pixels":
            sizes = [_count(element.get(f"Size{axis}", "1")) for axis in "ZCT"]
            # tifffile walks through every plane that a TiffData claims.
            listed = sum(_count(e.get("PlaneCount", "1")) for e in element.iter() if _local(e) == "TiffData")
            most = max(most, sizes[0] * sizes[1] * sizes[2], listed)
    return most


def _count(text: str) -> int:
    """A whole number; what is none counts as one, as it does for tifffile or ends its reading."""
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text, re.ASCII) else 1


def _number(text: str) -> float | None:
    """A finite number above 0, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _plausible(x: float, y: float, unit_um: float, limit: float = MAX_TAGGED_UM) -> Spacing | None:
    if not (0 < x < math.inf and 0 < y < math.inf):
        return None
    spacing = unit_um / x, unit_um / y
    return spacing if 0 < min(spacing) and max(spacing) <= limit else None


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
