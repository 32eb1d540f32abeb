"""Which tiles of a large image to look at, where all are too many: spread over it, and in each part where most is to be
seen."""

from __future__ import annotations

import cv2
import numpy as np

from xmatch.coords import Floats, Image, as_image
from xmatch.geometry import Linear, Transform
from xmatch.geometry.outlines import cell_centres
from xmatch.geometry.windows import Window
from xmatch.raster import View

LEAST_VALID = 0.5
"""Share of a tile that must hold data in the view. Not tuned."""


def tile_centres(
    look: View, region: Window, side: float, most: int, transform: Transform, moving_size: tuple[int, int]
) -> Floats:
    """(N, 2) centres of tiles of fixed that moving reaches, px of the file, N <= `most`; row by row.

    A lattice of tiles beside each other where these are few enough. Otherwise the region is divided into as many parts
    as there may be tiles, of about equal sides, and in each the tile of that lattice is taken over which brightness
    changes most in the view: the middle of a lake or of a cloud says nothing.

    Args:
        look: fixed as it was seen first.
        side: of a tile, px of the file.
        moving_size: (width, height) px of the moving file.
    """
    x0, y0, width, height = region
    across, down = (max(1, int(length / side)) for length in (width, height))
    everywhere = cell_centres(width, height, across, down) + (x0, y0)
    back = transform.inverse(everywhere)
    reached = (np.isfinite(back) & (back >= 0) & (back <= moving_size)).all(axis=1)
    centres: Floats = np.asarray(everywhere[reached], np.float64)
    if len(centres) <= most:
        return centres
    # Parts that moving does not reach give theirs to the others.
    share = len(centres) / (across * down)
    columns = min(across, max(1, int(np.sqrt(most / share * width / height))))
    rows = min(down, max(1, int(most / share / columns)))
    part = ((centres - (x0, y0)) / (width, height) * (columns, rows)).astype(int) @ (1, columns)
    # Within a part the most textured comes first; np.unique then takes the first of each.
    order = np.argsort(-_texture(look, centres, side), kind="stable")
    _, first = np.unique(part[order], return_index=True)
    chosen = order[first]
    if len(chosen) > most:
        chosen = chosen[np.argsort(first, kind="stable")[:most]]
    return np.asarray(centres[np.sort(chosen)], np.float64)


def _texture(look: View, centres: Floats, side: float) -> Floats:
    """(N,) mean slope of brightness in the view under each tile; -1 where it shows no data or does not reach."""
    to_view = Linear(np.linalg.inv(look.to_pixel), "affine")
    valid = look.valid.astype(np.float32)
    slope = np.hypot(*(cv2.Sobel(look.image, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))) * _inner(valid)
    px = max(3, round(side * np.sqrt(abs(np.linalg.det(np.linalg.inv(look.to_pixel)[:2, :2])))))
    mean, cover = (
        cv2.boxFilter(plane, cv2.CV_32F, (px, px), borderType=cv2.BORDER_CONSTANT) for plane in (slope, valid)
    )
    column, row = np.floor(to_view(centres)).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < look.width) & (row < look.height)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    return np.where(inside & (cover[row, column] >= LEAST_VALID), mean[row, column], -1.0)


def _inner(valid: Image) -> Image:
    """Where a slope is one of content: not at the edge of what holds data."""
    return as_image(cv2.erode(valid, np.ones((3, 3), np.uint8)))
