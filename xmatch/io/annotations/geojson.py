"""GeoJSON (RFC 7946, and the older form that names a CRS), QuPath's objects among it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import Floats
from xmatch.errors import InputError
from xmatch.io.text_files import read_json

DECIMALS = 9
"""Of a written coordinate: a tenth of a mm in degrees."""


class GeoJson:
    """Every geometry of a document, wherever it lies in it: QuPath keeps the nucleus of a cell beside its outline."""

    def __init__(self, document: Any, path: str | os.PathLike) -> None:
        self._document = document
        try:
            self.crs: str | None = (document.get("crs") and document["crs"]["properties"]["name"]) or None
            rows = [position[:2] for position in _positions(document)]
            self.xy: Floats = np.asarray(rows, np.float64).reshape(-1, 2)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"is no GeoJSON: {error or type(error).__name__}", path=path) from None
        if not rows:
            raise InputError("holds no geometry", path=path)

    @staticmethod
    def read(path: str | os.PathLike) -> GeoJson:
        """
        Raises:
            InputError: it cannot be read, or is no GeoJSON with a geometry.
        """
        return GeoJson(read_json(path), path)

    def write(self, path: str | os.PathLike, xy: Floats, crs: str | None) -> None:
        """See `Annotations`. Heights and all else stay; bounding boxes, which are others now, are left out."""
        document = copy.deepcopy(self._document)
        for position, place in zip(_positions(document), np.round(xy, DECIMALS).tolist(), strict=True):
            position[:2] = place
        _drop_boxes(document)
        document.pop("crs", None)
        if crs is not None:
            document["crs"] = {"type": "name", "properties": {"name": crs}}
        Path(path).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _positions(node: Any) -> Iterator[list[Any]]:
    """Every position of every geometry, as it lies in the document."""
    if isinstance(node, dict):
        if "coordinates" in node and isinstance(node.get("type"), str):
            yield from _leaves(node["coordinates"])
        for name, value in node.items():
            if name != "coordinates":
                yield from _positions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _positions(value)


def _leaves(coordinates: Any) -> Iterator[list[Any]]:
    if not isinstance(coordinates, list):
        raise TypeError("coordinates are no list")
    if coordinates and isinstance(coordinates[0], list):
        for part in coordinates:
            yield from _leaves(part)
    elif coordinates:
        if len(coordinates) < 2 or not all(isinstance(c, int | float) for c in coordinates[:2]):
            raise ValueError(f"{coordinates} is no position")
        yield coordinates


def _drop_boxes(node: Any) -> None:
    if isinstance(node, dict):
        node.pop("bbox", None)
    children: Callable[[], Any] = node.values if isinstance(node, dict) else lambda: node
    for value in children() if isinstance(node, dict | list) else ():
        _drop_boxes(value)
