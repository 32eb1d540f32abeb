"""Where an image that was never matched lies: by georeferencing, else by showing the same footprint."""

import numpy as np
import pytest
import rasterio.warp

from xmatch.errors import InputError
from xmatch.geometry import Linear, similarity
from xmatch.io.rasters.source import Header
from xmatch.raster import Georef
from xmatch.registration.footprint import described, moving_onto_fixed, placing_notes

SHIFT = similarity(angle_deg=10.0, scale=1.0, shift_px=(3.0, -2.0))
UTM, TWIN, DEGREES = (rasterio.crs.CRS.from_epsg(code).to_wkt() for code in (32633, 25833, 4326))


def header(width=100, height=80, origin=(500_000.0, 5_000_000.0), gsd=10.0, crs=UTM, **more) -> Header:
    georef = None if origin is None else Georef(crs, (gsd, 0.0, origin[0], 0.0, -gsd, origin[1]), **more)
    return Header("other.tif", "GTiff", width, height, ("1",), "uint8", georef)


@pytest.mark.parametrize("crs", [UTM, TWIN, None], ids=["one CRS", "two CRS", "no CRS"])
def test_georeferencing_says_where_a_crop_lies(crs):
    """Pixel (0, 0) of the crop is (20, 10) of the registered image, and its pixels are half as large."""
    crop = header(40, 20, (500_200.0, 4_999_900.0), 5.0, crs)
    moving = header(crs=UTM if crs else None)
    mapped = moving_onto_fixed(SHIFT, moving, crop)(np.array([[0.0, 0.0], [10.0, 4.0]]))
    assert np.allclose(mapped, SHIFT(np.array([[20.0, 10.0], [25.0, 12.0]])), atol=1e-4)


def test_a_map_that_bends_between_two_crs_is_followed():
    """40 degrees of longitude and 20 of latitude against UTM 33N."""
    wide = Header("w.tif", "GTiff", 400, 200, ("1",), "uint8", Georef(DEGREES, (0.1, 0.0, 0.0, 0.0, -0.1, 60.0)))
    moving = header(800, 600, (-800_000.0, 7_000_000.0), 5_000.0)
    to_moving = moving_onto_fixed(Linear(np.eye(3), "translation"), moving, wide)
    xy = np.array([[60.0, 30.0], [150.5, 100.25], [333.0, 171.0]])
    x, y = rasterio.warp.transform(DEGREES, UTM, 0.1 * xy[:, 0], 60 - 0.1 * xy[:, 1])
    wanted = np.column_stack([(np.array(x) + 800_000) / 5_000, (7_000_000 - np.array(y)) / 5_000])
    assert np.abs(to_moving(xy) - wanted).max() < 0.1


def test_the_same_control_points_are_the_same_pixels():
    gcps = (
        (0.0, 0.0, 500_000.0, 5_000_000.0),
        (100.0, 0.0, 501_007.0, 5_000_001.0),
        (0.0, 80.0, 499_990.0, 4_999_200.0),
    )
    found = moving_onto_fixed(SHIFT, header(gcps=gcps), header(gcps=gcps))
    assert np.array_equal(found.matrix, SHIFT.matrix)


def test_other_control_points_are_told():
    gcps = (
        (0.0, 0.0, 500_000.0, 5_000_000.0),
        (100.0, 0.0, 501_000.0, 5_000_000.0),
        (0.0, 80.0, 500_000.0, 4_999_200.0),
    )
    assert placing_notes(header(gcps=gcps), header()) and not placing_notes(header(gcps=gcps), header(gcps=gcps))
    assert not placing_notes(header(), header()) and not placing_notes(header(origin=None), header(origin=None))


@pytest.mark.parametrize("origin", [(600_000.0, 5_000_000.0), (500_000.0, 5_000_800.0)], ids=["far", "adjacent"])
@pytest.mark.parametrize("crs", [UTM, TWIN])
def test_what_does_not_overlap_is_refused(origin, crs):
    with pytest.raises(InputError, match="does not overlap"):
        moving_onto_fixed(SHIFT, header(), header(origin=origin, crs=crs))


@pytest.mark.parametrize(("moving", "other"), [(header(), header(crs=None)), (header(origin=None), header())])
def test_a_crs_on_one_side_only_needs_a_word(moving, other):
    with pytest.raises(InputError, match="--assume-same-footprint"):
        moving_onto_fixed(SHIFT, moving, other)
    assert np.array_equal(moving_onto_fixed(SHIFT, moving, other, same_footprint=True).matrix, SHIFT.matrix)


def test_without_any_place_the_whole_images_show_the_same():
    found = moving_onto_fixed(SHIFT, header(origin=None), header(200, 160, None))
    assert np.allclose(found(np.array([[50.0, 30.0]])), SHIFT(np.array([[25.0, 15.0]])))
    with pytest.raises(InputError, match="90 x 80 px against 100 x 80 px"):
        moving_onto_fixed(SHIFT, header(origin=None), header(90, 80, None))


def test_a_report_describes_enough_of_an_image():
    moving = header(gcps=((0.0, 0.0, 1.0, 2.0),))
    facts = {"path": moving.path, "width": 100, "height": 80, "georef": vars(moving.georef)}
    assert described(facts).georef == moving.georef


def test_pixels_that_no_map_leads_between_are_refused():
    for crs in (UTM, TWIN):
        with pytest.raises(InputError, match="beyond all measure"):
            moving_onto_fixed(SHIFT, header(gsd=1e7), header(gsd=1e-3, crs=crs))
