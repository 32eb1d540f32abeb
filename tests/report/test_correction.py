"""How a registration tells what was wrong with a georeferencing, against displacements made on the ground."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform
from report_cases import registration

from xmatch.cli.summary import summarise
from xmatch.geometry import affine as affine_map
from xmatch.geometry import compose, similarity, translation
from xmatch.raster import Georef
from xmatch.report import registration_document, render_html, to_json
from xmatch.report.correction import correction

IDENTITY = translation(0, 0)
SITE_PLAN = 'ENGCRS["x",EDATUM["d"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
PLACES = {  # CRS, centre of the image in it, size of a pixel in it
    "utm": ("EPSG:32633", (500_000.0, 5_300_000.0), 10.0),
    "degrees": ("EPSG:4326", (15.0, 65.0), 1e-4),
    "mercator": ("EPSG:3857", (1_670_000.0, 9_500_000.0), 20.0),
    "polar": ("EPSG:3413", (700_000.0, -900_000.0), 30.0),
    "antimeridian": ("EPSG:4326", (-179.9995, 0.0), 1e-4),
}


def georef(place, shift=(0.0, 0.0)):
    crs, (x, y), px = PLACES[place]
    affine = (px, 0.0, x - 40 * px + shift[0], 0.0, -px, y + 30 * px + shift[1])
    return Georef(CRS.from_user_input(crs).to_wkt(), affine)


def told(fixed, moving, found=IDENTITY, **moving_facts):
    made = registration(found)
    facts = {"georef": None if moving is None else asdict(moving), **moving_facts}
    return correction(replace(made, fixed={**made.fixed, "georef": asdict(fixed)}, moving={**made.moving, **facts}))


def moved(place, east_m, north_m):
    """The georeferencing of a file that claims to lie so far from where it does, by ellipsoidal geodesy."""
    crs, (x, y), _ = PLACES[place]
    [longitude], [latitude] = transform(crs, "EPSG:4326", [x], [y])
    plane = f"+proj=ortho +lat_0={latitude} +lon_0={longitude} +ellps=WGS84"
    [to_x], [to_y] = transform(CRS.from_proj4(plane), crs, [east_m], [north_m])
    return georef(place, (to_x - x, to_y - y))


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_place_is_told_in_metres_east_and_north(place):
    found = told(georef(place), moved(place, 40.0, -25.0))  # it lies 40 m further west and 25 m further north
    assert (found["east_m"], found["north_m"]) == pytest.approx((-40.0, 25.0), abs=0.1)
    assert found["distance_m"] == pytest.approx(np.hypot(40, 25), abs=0.1)
    assert (found["rotation_deg"], found["scale"]) == pytest.approx((0.0, 1.0), abs=2e-3)
    assert abs(found["crs_shift"][0]) < 180 or PLACES[place][0] != "EPSG:4326"


@pytest.mark.parametrize("place", ["utm", "mercator", "polar"])
def test_turn_and_scale_are_those_on_top_of_the_given_ones(place):
    about_middle = compose(translation(-40, -30), similarity(3.5, 1.02), translation(40, 30))
    found = told(georef(place), georef(place), about_middle)
    # Rows run down and north is up: what turns clockwise in the image does so on the map.
    assert found["rotation_deg"] == pytest.approx(3.5, abs=1e-2) and found["scale"] == pytest.approx(1.02, abs=1e-3)


def test_degrees_that_are_not_square_on_the_ground_turn_truly():
    """At 65 N a degree of longitude is 0.42 of one of latitude."""
    squeeze = np.cos(np.radians(65.0))
    turned = similarity(8.0).matrix[:2, :2]
    on_ground = np.diag([1 / squeeze, 1.0]) @ turned @ np.diag([squeeze, 1.0])
    found = told(georef("degrees"), georef("degrees"), affine_map(np.column_stack([on_ground, (0, 0)])))
    assert found["rotation_deg"] == pytest.approx(8.0, abs=0.05) and found["scale"] == pytest.approx(1.0, abs=2e-3)


def test_the_shift_in_the_crs_mends_a_geotransform():
    found = told(georef("utm"), georef("utm", (70.0, 30.0)))
    assert found["crs_shift"] == pytest.approx([-70.0, -30.0])


def test_a_small_image_within_a_large_one_has_a_correction_too():
    fixed = Georef(georef("utm").crs_wkt, (0.01, 0.0, 499_990.0, 0.0, -0.01, 5_300_010.0))
    found = told(fixed, georef("utm", (5.0, 0.0)), compose(similarity(0, 1000), translation(-38_500, -28_500)))
    assert found["scale"] == pytest.approx(1.0, abs=1e-3)


def test_what_was_ignored_is_told_as_such():
    found = told(georef("utm"), None, georef_ignored=asdict(georef("utm", (500.0, 0.0))))
    assert found["ignored"] and found["east_m"] == pytest.approx(-500, abs=1)


@pytest.mark.parametrize(
    "moving",
    [
        None,
        Georef(None, georef("utm").affine),
        Georef(SITE_PLAN, (1, 0, 0, 0, -1, 0)),
    ],
    ids=["no georeferencing", "no CRS", "no place on the Earth"],
)
def test_without_a_place_on_the_ground_there_is_none(moving):
    assert told(georef("utm"), moving) is None
    assert told(moving or georef("utm"), None) is None


def test_text_json_and_page_tell_it_first():
    made = registration(IDENTITY)
    fixed, moving = asdict(georef("utm")), asdict(georef("utm", (-18.2, 17.5)))
    made = replace(made, fixed={**made.fixed, "georef": fixed}, moving={**made.moving, "georef": moving})
    document = json.loads(to_json(registration_document(made, output=None)))
    words = "18.2 m east and 17.5 m south of where its georeferencing puts it, turn 0.00 degrees"
    assert words in summarise(document, [])[1]
    assert document["correction"]["east_m"] == pytest.approx(18.2, abs=0.02)
    page = render_html(document)
    assert page.index(words) < page.index(document["verdict"]["reason"])
