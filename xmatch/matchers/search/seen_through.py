"""A view seen through a map of any kind: on the grid of the other one."""

from __future__ import annotations

import numpy as np

from xmatch.coords import Floats, Image, Mask, pixel_centres, to_centre_matrix, to_centre_xy
from xmatch.geometry import DisplacementGrid, Linear, Transform, compose
from xmatch.geometry.masked import projected_masked, remapped_masked
from xmatch.geometry.matrices import local_scale
from xmatch.matchers.search.fourier import resized
from xmatch.raster import View

STEP_PX = 8
"""A map that bends is followed exactly at every so many px of the grid, and bilinearly in between."""


def seen_through(view: View, to_grid: Transform, size: tuple[int, int], cover: float = 0.5) -> tuple[Image, Mask]:
    """(image, valid) of a view on a grid of `size` (width, height) px; shrunk by means over areas.

    Args:
        to_grid: view px -> grid px, corner-counted.
        cover: share of a px that must come from valid ones.
    """
    return Reduced(view, local_scale(to_grid, (view.width / 2, view.height / 2))).through(to_grid, size, cover)


class Reduced:
    """A view, made smaller once to be looked at through several maps of about the same scale."""

    def __init__(self, view: View, factor: float) -> None:
        factor = min(1.0, factor) if np.isfinite(factor) else 1.0
        # An enlargement is left to the map: it would only cost time.
        if factor < 1.0:
            (self._image, self._valid), factors = resized(view, factor)
        else:
            self._image, self._valid, factors = view.image, view.valid, (1.0, 1.0)
        self._enlarge: Floats = np.diag([1 / factors[0], 1 / factors[1], 1.0])

    def through(self, to_grid: Transform, size: tuple[int, int], cover: float = 0.5) -> tuple[Image, Mask]:
        """As `seen_through`."""
        if isinstance(to_grid, Linear):
            onto = to_centre_matrix(to_grid.matrix @ self._enlarge)
            image, share = projected_masked(self._image, self._valid, onto, size)
        else:
            back = compose(to_grid.inverse, Linear(np.linalg.inv(self._enlarge), "affine"))
            at = DisplacementGrid.sampled(back, *size, STEP_PX)(pixel_centres(*size))
            image, share = remapped_masked(self._image, self._valid, to_centre_xy(at))
        valid = share > cover
        return np.where(valid, image, np.float32(0)), valid
