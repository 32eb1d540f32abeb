"""Points come back from every kind of file as they went in, and bad rows are named."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform as reproject

from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.geometry import similarity
from xmatch.io.points.reading import read_points, read_tie_points
from xmatch.io.points.writing import POINTS_ENCODERS, write_points
from xmatch.raster import Georef
from xmatch.result import Registration, Verdict

TURN = similarity(17.0, 1.1, (12.0, -7.0))
UTM = Georef(CRS.from_epsg(32632).to_wkt(), (10.0, 2.0, 500000.0, 1.0, -10.0, 4000000.0))
LONLAT = Georef(CRS.from_epsg(4326).to_wkt(), (1e-4, 0.0, 9.0, 0.0, -1e-4, 36.1))


def registration(fixed=None, moving=None, n=7):
    rng = np.random.default_rng(0)
    moving_xy = rng.uniform(0, 80, (n, 2)).round(5)
    residual = np.linspace(0, 3, n)
    residual[-1:] = np.nan
    found = Correspondences((TURN(moving_xy) + 0.25).round(5), moving_xy, np.linspace(0.5, 1, n).round(5))
    facts = [{"georef": georef and vars(georef)} for georef in (fixed, moving)]
    return Registration(*facts, TURN, found, np.arange(n) % 3 > 0, residual, Verdict(True, 0.9, "fits"))


@pytest.mark.parametrize("n", [7, 0])
@pytest.mark.parametrize("kind", ["csv", "json", "npz"])
def test_what_is_written_is_read(tmp_path, kind, n):
    told = registration(n=n)
    write_points(tmp_path / f"p.{kind}", kind, told)
    read = read_points(tmp_path / f"p.{kind}")
    for field in ("fixed_xy", "moving_xy", "certainty"):
        got, want = getattr(read.correspondences, field), getattr(told.correspondences, field)
        assert got.shape == want.shape and np.allclose(got, want, atol=1e-6)
    assert np.array_equal(read.inliers, told.inliers)
    assert np.allclose(read.residual_px, told.residual_px, atol=1e-6, equal_nan=True)


def test_every_pixel_file_says_how_it_counts(tmp_path):
    header, first = POINTS_ENCODERS["csv"](registration()).decode().splitlines()[:2]
    assert header == "fixed_x,fixed_y,moving_x,moving_y,certainty,inlier,residual_px,first_centre"
    assert first.endswith(",0.5")
    document = json.loads(POINTS_ENCODERS["json"](registration()))
    assert document["pixel_origin"] == "corner" and document["count"] == 7
    assert document["points"][-1]["residual_px"] is None


@pytest.mark.parametrize(("fixed", "moving"), [(UTM, None), (UTM, LONLAT), (None, None)])
def test_qgis_points_come_back_through_the_georeferencing(tmp_path, fixed, moving):
    told = registration(fixed, moving)
    write_points(tmp_path / "p.points", "points", told)
    read = read_points(tmp_path / "p.points", fixed, moving)
    assert np.allclose(read.correspondences.fixed_xy, told.correspondences.fixed_xy, atol=1e-6)
    assert np.allclose(read.correspondences.moving_xy, told.correspondences.moving_xy, atol=1e-6)
    assert np.array_equal(read.inliers, told.inliers)


def test_qgis_sees_ground_coordinates_and_rows_that_run_upwards():
    lines = POINTS_ENCODERS["points"](registration(UTM)).decode().splitlines()
    assert CRS.from_user_input(lines[0].removeprefix("#CRS: ")).to_epsg() == 32632
    assert lines[1] == "mapX,mapY,sourceX,sourceY,enable,dX,dY,residual"
    map_x, map_y, source_x, source_y, enable, dx, dy, residual = map(float, lines[2].split(","))
    [[x, y]], [fixed_xy] = registration().correspondences.moving_xy[:1], registration().correspondences.fixed_xy[:1]
    assert (source_x, source_y, enable) == (x, -y, 0)
    assert np.allclose((map_x, map_y), (UTM.matrix @ [*fixed_xy, 1])[:2])
    # dX, dY lead from the point that was set to where the transform puts it, in the layer's own upward y.
    assert np.allclose([[source_x + dx, -(source_y + dy)]], TURN.inverse(fixed_xy[None]), atol=1e-6)
    assert residual == pytest.approx(math.hypot(dx, dy))


def test_qgis_sees_a_georeferencing_that_xmatch_ignored():
    told = registration(UTM)
    told = replace(told, moving={"georef": None, "georef_ignored": vars(LONLAT)})
    source = [float(text) for text in POINTS_ENCODERS["points"](told).decode().splitlines()[2].split(",")[2:4]]
    assert np.allclose(source, (LONLAT.matrix @ [*told.correspondences.moving_xy[0], 1])[:2])


def test_map_coordinates_in_pixels_claim_no_crs():
    by_points = replace(UTM, gcps=((0, 0, 5e5, 4e6),))
    assert POINTS_ENCODERS["points"](registration(by_points)).startswith(b"mapX")


def test_the_older_qgis_dialect_is_read(tmp_path):
    path = tmp_path / "old.points"
    path.write_text("mapX,mapY,pixelX,pixelY,enable\n500100,3999900,12.5,-7.25,1\n500200,3999800,40,-50,0\n")
    read = read_points(path, UTM)
    assert read.correspondences.moving_xy.tolist() == [[12.5, 7.25], [40, 50]] and read.inliers.tolist() == [
        True,
        False,
    ]
    back = read.correspondences.fixed_xy @ UTM.matrix[:2, :2].T + UTM.matrix[:2, 2]
    assert np.allclose(back, [[500100, 3999900], [500200, 3999800]])


def test_qgis_points_in_another_crs_are_brought_to_the_fixed_one(tmp_path):
    [x], [y] = reproject(CRS.from_epsg(32632), CRS.from_epsg(4326), [500100], [3999900])
    path = tmp_path / "p.points"
    path.write_text(f"#CRS: EPSG:4326\nmapX,mapY,sourceX,sourceY,enable\n{x!r},{y!r},1,-2,1\n")
    assert np.allclose(UTM.matrix @ [*read_points(path, UTM).correspondences.fixed_xy[0], 1], [500100, 3999900, 1])


@pytest.mark.parametrize(
    "text",
    [
        "fixed_x,fixed_y,moving_x,moving_y\n1.5,2,3,4\n5,6,7,8.25\n",
        "\ufefffixed_x;fixed_y;moving_x;moving_y\r\n1,5;2;3;4\r\n5;6;7;8,25\r\n",
        "name\tmoving_x\tmoving_y\tfixed_x\tfixed_y\na\t3\t4\t1.5\t2\n\nb\t7\t8.25\t5\t6\n",
        "# set by hand\n1.5, 2, 3, 4\n5, 6, 7, 8.25\n",
        "fixed_x,fixed_y,moving_x,moving_y,first_centre\n1,1.5,2.5,3.5,0\n4.5,5.5,6.5,7.75,0\n",
    ],
    ids=["plain", "excel", "tabs", "no header", "centre"],
)
def test_what_people_type_is_understood(tmp_path, text):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    read = read_tie_points(tmp_path / "p.csv", (10, 10), (10, 10))
    assert read.correspondences.fixed_xy.tolist() == [[1.5, 2], [5, 6]]
    assert read.correspondences.moving_xy.tolist() == [[3, 4], [7, 8.25]]
    assert read.inliers.all() and (read.correspondences.certainty == 1).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2,3,4\n5,6,7,11.5\n", r"row 3: \(7, 11.5\) lies outside the moving"),
        ("1,2,3,4\n-1,6,7,8\n", "row 3: .* outside the fixed"),
        ("1,2,3,4\n5,6,7,8\n\n1,2,5,5\n", "rows 2 and 5 have the same fixed"),
        ("1,2,3,4\n5,6,3,4\n", "rows 2 and 3 have the same moving"),
        ("1,2,3,4\n5,six,7,8\n", "row 3: fixed_y is 'six'"),
        ("1,2,3,4\n5,,7,8\n", "row 3: fixed_y is ''"),
        ("1,2,3,4\n5,6,7\n", "row 3 has 3 columns"),
        ("1,2,3,4\n5,nan,7,8\n", "row 3: .*finite"),
    ],
)
def test_a_bad_row_is_named(tmp_path, rows, message):
    path = tmp_path / "p.csv"
    path.write_text("fixed_x,fixed_y,moving_x,moving_y\n" + rows)
    with pytest.raises(InputError, match=message) as caught:
        read_tie_points(path, (10, 10), (10, 10))
    assert caught.value.exit_code == 3 and caught.value.path == str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", b"a,b\nc,d\n"),
        ("p.csv", b"\xff\xfe\x00\x01"),
        ("p.json", b"[1, 2"),
        ("p.json", b'{"points": [{"fixed_x": 1}]}'),
        ("p.json", b'{"points": 3}'),
        ("p.json", b"[]"),
        ("p.npz", b"PK\x03\x04 not a zip"),
        ("p.npz", b""),
        ("p.points", b"x,y\n1,2\n"),
        ("p.csv", b"fixed_x,fixed_y,moving_x,moving_y,first_centre\n1,2,3,4,0.25\n"),
    ],
)
def test_a_file_without_points_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_points(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)
    with pytest.raises(InputError, match="No such file"):
        read_points(tmp_path / ("no" + name))


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.savez(tmp_path / "p.npz", fixed_xy=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(InputError):
        read_points(tmp_path / "p.npz")
