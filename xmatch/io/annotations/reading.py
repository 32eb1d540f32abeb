"""Which reader a file of annotations gets: its name says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from xmatch.io.annotations.base import Annotations
from xmatch.io.annotations.geojson import GeoJson
from xmatch.io.annotations.layers import LAYERS, WRITTEN, Layer
from xmatch.io.annotations.points_table import PointsTable

_READERS: dict[str, Callable[[str | os.PathLike], Annotations]] = {
    ".geojson": GeoJson.read,
    ".json": GeoJson.read,
    ".csv": PointsTable.read,
    ".tsv": PointsTable.read,
    **dict.fromkeys(LAYERS, Layer.read),
}
SUFFIXES = tuple(_READERS)


def is_annotations(path: str | os.PathLike) -> bool:
    """Whether a file is one of annotations, by its name."""
    return Path(path).suffix.lower() in _READERS


def written_suffix(path: str | os.PathLike) -> str:
    """How such a file's name ends when it is written: a shapefile, which is several files, becomes a GeoPackage."""
    suffix = Path(path).suffix.lower()
    return WRITTEN if suffix in LAYERS else suffix


def read_annotations(path: str | os.PathLike) -> Annotations:
    """The annotations of a GeoJSON, CSV, GeoPackage or shapefile.

    Raises:
        InputError: it cannot be read, or holds none.
        UsageError: a package is missing that reads it.
    """
    return _READERS[Path(path).suffix.lower()](path)
