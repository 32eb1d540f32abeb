"""Positions from one CRS into another: what lies beyond a projection is infinite, and takes nothing else with it."""

import numpy as np
import pytest

from xmatch.errors import InputError
from xmatch.io.crs import full_turn, is_local, is_reachable, metres_per_unit, projected

GEOSTATIONARY = "+proj=geos +h=35785831 +lon_0=-75 +sweep=y +datum=WGS84"
LOCAL = 'LOCAL_CS["Lambert of the mine",UNIT["foot",0.3048],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
MARS = 'GEOGCS["Mars",DATUM["Mars",SPHEROID["Mars",3396190,169.894447]],PRIMEM["Airy",0],UNIT["Degree",0.0174532925]]'


def test_the_corners_of_a_full_disk_are_infinite_and_its_middle_is_where_it_was():
    side = np.linspace(-5.5e6, 5.5e6, 11)
    disk = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    found = projected(disk, GEOSTATIONARY, "EPSG:4326")
    seen = np.isfinite(found).all(axis=1)
    assert seen[60] and np.allclose(found[60], (-75, 0)) and not seen[[0, 10, 110, 120]].any()
    assert np.isinf(found[~seen]).all() and 50 < seen.sum() < 100
    alone = projected(disk[seen], GEOSTATIONARY, "EPSG:4326")
    assert np.array_equal(alone, found[seen])


def test_latitudes_that_do_not_exist_are_infinite():
    found = projected(np.array([[154.0, 6_250_000.0], [154.0, -33.0], [np.nan, 0]]), "EPSG:4326", "EPSG:32756")
    assert np.isinf(found[[0, 2]]).all() and np.isfinite(found[1]).all()


@pytest.mark.parametrize("crs", [LOCAL, MARS, "no such thing"])
def test_where_nothing_leads_from_one_to_the_other_is_an_input_error(crs):
    with pytest.raises(InputError):
        projected(np.array([[1.0, 2.0]]), crs, "EPSG:4326")
    with pytest.raises(InputError):
        projected(np.array([[1.0, 2.0]]), "EPSG:4326", crs)
    assert not is_reachable(crs) and is_reachable(GEOSTATIONARY)


def test_a_local_crs_has_a_unit_and_no_place():
    within = f'COMPD_CS["mine and height",{LOCAL},VERT_CS["depth",VERT_DATUM["sea",2005],UNIT["metre",1]]]'
    assert is_local(LOCAL) and is_local(within)
    assert not any(is_local(crs) for crs in ("EPSG:32633", "EPSG:4326+5773"))


def test_units_are_metres_or_parts_of_a_full_turn():
    units = {LOCAL: 0.3048, "EPSG:2263": 1200 / 3937, "EPSG:32633+5773": 1.0, "EPSG:4326": None}
    assert {crs: metres_per_unit(crs) for crs in units} == {
        crs: metres and pytest.approx(metres) for crs, metres in units.items()
    }
    turns = {"EPSG:4326": 360.0, "EPSG:4807": 400.0, "EPSG:4326+5773": 360.0, "EPSG:3857": None, LOCAL: None}
    assert {crs: full_turn(crs) for crs in turns} == {crs: turn and pytest.approx(turn) for crs, turn in turns.items()}
