"""How QGIS's Georeferencer counts.

`mapX`, `mapY` are ground coordinates of the fixed image; `sourceX`, `sourceY` (`pixelX`, `pixelY` before QGIS 3.26)
are those of the moving image, each in its own CRS. An image without georeferencing is shown with its px as
coordinates and y pointing UP, so that its y are negative. Corners count from (0, 0), as in xmatch.
"""

from __future__ import annotations

import numpy as np

from xmatch.raster import Georef

QGIS_COLUMNS = ("mapX", "mapY", "sourceX", "sourceY", "enable", "dX", "dY", "residual")


def to_layer(xy: np.ndarray, georef: Georef | None) -> np.ndarray:
    """(N, 2) px as QGIS shows them on its canvas. Ground control points alone do not place a layer."""
    if georef is None or georef.gcps:
        return xy * (1, -1)
    return xy @ georef.matrix[:2, :2].T + georef.matrix[:2, 2]


def from_layer(xy: np.ndarray, georef: Georef | None) -> np.ndarray:
    """Inverse of `to_layer`."""
    if georef is None or georef.gcps:
        return xy * (1, -1)
    return (xy - georef.matrix[:2, 2]) @ np.linalg.inv(georef.matrix[:2, :2]).T
