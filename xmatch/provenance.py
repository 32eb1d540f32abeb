"""Where a result comes from: versions, files, options and time; enough to run it again.

Importing this module costs nothing: versions are read from package metadata, not by importing the packages.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmatch.io.rasters.source import Source
    from xmatch.raster import Georef

PACKAGES = ("numpy", "scipy", "opencv-python", "rasterio", "tifffile", "SimpleITK", "kornia", "torch")
"""Distributions whose version can change a result."""


def versions() -> dict[str, str | None]:
    """Name -> version of xmatch, Python, the platform and each of `PACKAGES`; None for what is not installed."""
    found: dict[str, str | None] = {"xmatch": xmatch_version(), "python": platform.python_version()}
    found["platform"] = platform.platform()
    return found | {package: _installed(package) for package in PACKAGES}


@cache
def _installed(package: str) -> str | None:
    """The version of a distribution, looked up once: each takes reading its metadata."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def linked_versions() -> dict[str, str | None]:
    """GDAL's and PROJ's versions as rasterio brings them. Imports rasterio."""
    try:
        import rasterio

        return {"GDAL": rasterio.__gdal_version__, "PROJ": rasterio.__proj_version__}
    except ImportError:
        return {"GDAL": None, "PROJ": None}


@cache
def commit() -> str | None:
    """The commit of a source checkout, "-dirty" when files differ from it; None for an installed package."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    git = ["git", "-C", os.fspath(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def xmatch_version() -> str:
    import xmatch

    return xmatch.__version__


def describe(source: Source) -> dict[str, Any]:
    """What a result records of an input file: identity, size, kind and ground sampling distance.

    `georef` and `spacing_um` are complete, so that a result's pixel grid can be rebuilt without the file.
    """
    from xmatch.io import file_digest

    header = source.header
    return {
        "path": header.path,
        "sha256": file_digest(header.path),
        "bytes": _size(header.path),
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "bands": list(header.bands),
        "dtype": header.dtype,
        "nodata": header.nodata,
        "medical": header.medical,
        "crs": None if header.georef is None else crs_name(header.georef.crs_wkt),
        "gsd": None if header.georef is None else _gsd(header.georef),
        "spacing_um": header.spacing_um,
        "resolution": header.resolution,
        "georef": None if header.georef is None else asdict(header.georef),
        "georef_ignored": None if header.georef_ignored is None else asdict(header.georef_ignored),
    }


def record(*, options: dict[str, Any], command: list[str] | None = None) -> dict[str, Any]:
    """The `provenance` of a result, apart from its files, which `describe` covers.

    Args:
        options: JSON-ready values of every option that shapes the result, the seed among them.
        command: the command line; default the process's own.
    """
    return {
        "command": list(sys.argv if command is None else command),
        "options": options,
        "versions": versions(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def crs_name(wkt: str | None) -> str | None:
    """ "EPSG:32633" where the authority is known, else the WKT."""
    if wkt is None:
        return None
    from rasterio.crs import CRS

    name: str = CRS.from_user_input(wkt).to_string()
    return name


def _gsd(georef: Georef) -> dict[str, Any]:
    """Pixel size along x and y, in the CRS's own unit."""
    a, b, _, d, e, _ = georef.affine
    unit = None
    if georef.crs_wkt is not None:
        from rasterio.crs import CRS

        crs = CRS.from_user_input(georef.crs_wkt)
        unit = "degree" if crs.is_geographic else crs.linear_units
    return {"x": (a * a + d * d) ** 0.5, "y": (b * b + e * e) ** 0.5, "unit": unit}


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:  # a URL
        return None
