"""Where a map, a view or a projection ends: what lies beyond is nothing, and not something wrong."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.crs import CRS

from xmatch.geometry import DisplacementGrid
from xmatch.io.rasters.source import Header
from xmatch.raster import Georef, View
from xmatch.registration.georef_prior import ThroughCrs
from xmatch.registration.views import warped_view


def header(crs: str, affine: tuple[float, ...], size: tuple[int, int]) -> Header:
    return Header("a.tif", "GTiff", *size, ("1",), "uint8", Georef(CRS.from_string(crs).to_wkt(), affine))


def test_where_a_projection_answers_wrongly_there_is_no_answer():
    """The Swiss oblique Mercator gives numbers for Antarctica too, and other ones for the way back."""
    world = header("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0), (360, 180))
    swiss = header("EPSG:2056", (1000.0, 0.0, 2.4e6, 0.0, -1000.0, 1.3e6), (500, 300))
    bern, far = (187.44, 43.05), (30.0, 158.0)
    landed = ThroughCrs(world, swiss)(np.array([bern, far]))
    np.testing.assert_allclose(landed[0], (200, 100), atol=2)
    assert np.isnan(landed[1]).all()


@pytest.mark.parametrize(("shift", "first_valid"), [(0.4, 10), (0.6, 11)])
def test_a_px_that_was_laid_down_is_valid_where_half_of_it_is(shift, first_valid):
    valid = np.tile(np.arange(40) >= 10, (30, 1))
    view = View(np.where(valid, 0.5, 0).astype(np.float32), valid, np.eye(3))
    laid = warped_view(view, np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), (40, 30))
    assert (laid.valid[5:-5] == (np.arange(40) >= first_valid)).all()
    np.testing.assert_allclose(laid.image[laid.valid], 0.5, atol=1e-3)  # the edge is not darkened by what is not valid


def test_a_map_that_bends_hard_is_read_backwards_everywhere():
    """Its slope runs from a tenth to twice the mean one: steps by the mean one arrive in some places only."""
    grid = DisplacementGrid.sampled(lambda xy: np.column_stack([xy[:, 0] ** 2 / 100, xy[:, 1]]), 100, 60, 2.5)
    xy = np.random.default_rng(0).uniform((5, 0), (100, 60), (500, 2))
    np.testing.assert_allclose(grid.inverse(grid(xy)), xy, atol=0.02)
