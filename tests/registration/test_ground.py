"""Pixels on the ground: their size and shape, whatever the CRS counts in."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.crs import CRS

from xmatch.io.rasters.source import Header
from xmatch.raster import Georef
from xmatch.registration.ground import GroundSize, ground_matrix, ground_size, pixel_shape

LOCAL = 'LOCAL_CS["a site",UNIT["foot",0.3048],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'


def header(crs: str, affine: tuple[float, ...]) -> Header:
    return Header("a.tif", "GTiff", 20, 20, ("1",), "uint8", Georef(CRS.from_string(crs).to_wkt(), affine))


@pytest.mark.parametrize(
    ("crs", "affine", "ground"),
    [
        ("EPSG:32632", (10.0, 0.0, 6e5, 0.0, -10.0, 5.2e6), 10.0),
        ("EPSG:32632", (3.0, 4.0, 6e5, 4.0, -3.0, 5.2e6), 5.0),
        ("EPSG:2263", (100.0, 0.0, 9.8e5, 0.0, -100.0, 2e5), 30.48),  # US survey feet
        ("EPSG:4326", (1e-4, 0.0, 10.0, 0.0, -1e-4, 60.0), np.sqrt(5.58 * 11.141)),
        ("EPSG:3857", (10.0, 0.0, 1e6, 0.0, -10.0, 8.4e6), 5.0),  # at 60 N a metre of Web Mercator is half a metre
        (LOCAL, (2.0, 0.0, 0.0, 0.0, -2.0, 0.0), 0.6096),
    ],
)
def test_a_px_has_its_size_on_the_ground_in_metres(crs, affine, ground):
    assert ground_size(header(crs, affine)) == GroundSize(pytest.approx(ground, rel=2e-3), "m")


def test_a_px_of_a_medical_image_has_its_size_in_micrometres():
    found = Header("a.tif", "OME-TIFF", 20, 20, ("1",), "uint8", spacing_um=(0.5, 2.0))
    assert ground_size(found) == GroundSize(1.0, "um")
    assert ground_size(Header("a.tif", "TIFF", 20, 20, ("1",), "uint8")) == GroundSize(None, None)


def test_a_grid_of_degrees_has_narrow_px_away_from_the_equator():
    at = {latitude: header("EPSG:4326", (1e-3, 0.0, 10.0, 0.0, -1e-3, float(latitude))) for latitude in (0, 60)}
    across, down = pixel_shape(at[60], (10, 10))
    assert across / down == pytest.approx(0.5, rel=0.01)
    assert pixel_shape(at[0], (10, 10)) == (1.0, 1.0)


def test_px_of_a_turned_grid_point_where_it_says():
    east_north = ground_matrix(header("EPSG:32632", (3.0, 4.0, 5e5, 4.0, -3.0, 5.2e6)), (10, 10))
    np.testing.assert_allclose(east_north, [[3, 4], [4, -3]], atol=0.02)


def test_px_without_a_place_on_the_earth_have_none_there():
    off_the_disc = header("+proj=geos +h=35786023 +lon_0=-75 +sweep=x", (1e3, 0.0, 9e6, 0.0, -1e3, 9e6))
    for head in (header(LOCAL, (2.0, 0.0, 0.0, 0.0, -2.0, 0.0)), off_the_disc):
        assert ground_matrix(head, (10, 10)) is None
        assert pixel_shape(head, (10, 10)) == (1.0, 1.0)
