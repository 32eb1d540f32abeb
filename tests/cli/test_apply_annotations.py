"""`xmatch apply` on what people have drawn: each vertex by the registration's transform."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fakes import SHIFT
from rasterio.transform import Affine

REPORT = "sar.registered.report.json"
VERTICES = [[5.0, 6.0], [25.5, 6.0], [25.5, 20.25], [5.0, 6.0]]


@pytest.fixture
def registered(pair, cli):
    assert cli("register", *pair).code == 0


def drawn(path: str, geometry: dict, **members) -> dict:
    feature = {"type": "Feature", "geometry": geometry, "properties": {"name": "a field"}} | members
    document = {"type": "FeatureCollection", "features": [feature]}
    Path(path).write_text(json.dumps(document))
    return document


def read(path: str) -> dict:
    return json.loads(Path(path).read_text())


def expected(vertices: list) -> np.ndarray:
    return SHIFT(np.array(vertices))


def test_every_vertex_moves_and_all_else_stays(cli, registered):
    before = drawn("fields.geojson", {"type": "Polygon", "coordinates": [VERTICES]}, bbox=[5, 6, 25.5, 20.25])
    result = cli("apply", REPORT, "fields.geojson", "--json")
    assert result.code == 0 and result.json["outputs"] == ["fields.registered.geojson"]
    feature = read("fields.registered.geojson")["features"][0]
    assert np.allclose(feature["geometry"]["coordinates"][0], expected(VERTICES), atol=1e-6)
    assert feature["properties"] == before["features"][0]["properties"] and "bbox" not in feature


def test_geometries_of_all_kinds_and_places_move_and_heights_stay(cli, registered):
    point = {"type": "Point", "coordinates": [10.0, 11.0, 99.0]}
    lines = {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]], [[20, 21], [22, 23]]]}
    nucleus = {"type": "Polygon", "coordinates": [VERTICES]}
    drawn("cells.geojson", {"type": "GeometryCollection", "geometries": [point, lines]}, nucleusGeometry=nucleus)
    assert cli("apply", REPORT, "cells.geojson").code == 0
    feature = read("cells.registered.geojson")["features"][0]
    moved_point, moved_lines = feature["geometry"]["geometries"]
    assert moved_point["coordinates"] == pytest.approx([*expected([[10, 11]])[0], 99.0])
    assert np.allclose(
        np.array(moved_lines["coordinates"]).reshape(-1, 2), expected([[1, 2], [3, 4], [20, 21], [22, 23]])
    )
    assert np.allclose(feature["nucleusGeometry"]["coordinates"][0], expected(VERTICES), atol=1e-6)


def test_there_and_back_is_where_it_was(cli, registered):
    drawn("a.geojson", {"type": "Polygon", "coordinates": [VERTICES]})
    assert cli("apply", REPORT, "a.geojson").code == 0
    assert cli("apply", REPORT, "a.registered.geojson", "--inverse", "-o", "home.geojson").code == 0
    home = read("home.geojson")["features"][0]["geometry"]["coordinates"][0]
    assert np.allclose(home, VERTICES, atol=1e-6)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("names", [("x", "y"), ("X", "Y"), ("moving_x", "moving_y")])
def test_a_table_keeps_its_other_columns(cli, registered, delimiter, names):
    rows = [("id", names[1], "kind", names[0]), ("7", "11", "cell, round", "10"), ("8", "21", "", "20.5")]
    Path("points.csv").write_text("\n".join(delimiter.join(f'"{c}"' for c in row) for row in rows))
    assert cli("apply", REPORT, "points.csv").code == 0
    found = [line.split(delimiter) for line in Path("points.registered.csv").read_text().splitlines()]
    assert found[0] == list(rows[0]) and [row[0] for row in found] == ["id", "7", "8"]
    where = np.array([[row[-1], row[1]] for row in found[1:]], float)
    assert np.allclose(where, expected([[10, 11], [20.5, 21]]), atol=1e-4)


class TestOnTheGround:
    """Fixed has 2 m px in UTM zone 33, moving lies in zone 32."""

    FIXED, MOVING = Affine(2, 0, 500_000, 0, -2, 5_000_000), Affine(2, 0, 970_000, 0, -2, 5_030_000)

    @pytest.fixture
    def placed(self, pair, cli):
        assert cli("register", *pair).code == 0
        report = read(REPORT)
        for side, epsg, affine in (("fixed", 32633, self.FIXED), ("moving", 32632, self.MOVING)):
            wkt = rasterio.crs.CRS.from_epsg(epsg).to_wkt()
            report[side]["georef"] = {"crs_wkt": wkt, "affine": list(affine)[:6], "gcps": []}
        Path(REPORT).write_text(json.dumps(report))

    def on_fixed(self) -> np.ndarray:
        return np.array([self.FIXED @ xy for xy in expected(VERTICES)])

    def test_what_names_no_crs_is_in_that_of_either_image(self, cli, placed):
        ground = [self.MOVING @ tuple(xy) for xy in VERTICES]
        drawn("a.geojson", {"type": "LineString", "coordinates": ground})
        assert cli("apply", REPORT, "a.geojson").code == 0
        document = read("a.registered.geojson")
        assert document["crs"]["properties"]["name"] == "EPSG:32633"
        assert np.allclose(document["features"][0]["geometry"]["coordinates"], self.on_fixed(), atol=1e-4)

    def test_what_names_one_comes_back_in_it(self, cli, placed):
        from xmatch.io.crs import LONGITUDE_LATITUDE, projected

        ground = np.array([self.MOVING @ tuple(xy) for xy in VERTICES])
        degrees = projected(ground, "EPSG:32632", LONGITUDE_LATITUDE)
        lines = ["name,lon,lat", *(f"p,{x:.10f},{y:.10f}" for x, y in degrees)]
        Path("points.csv").write_text("\n".join(lines))
        assert cli("apply", REPORT, "points.csv").code == 0
        rows = [line.split(",")[1:] for line in Path("points.registered.csv").read_text().splitlines()[1:]]
        found = projected(np.array(rows, float), LONGITUDE_LATITUDE, "EPSG:32633")
        assert np.allclose(found, self.on_fixed(), atol=0.02)

    @pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
    def test_layers_come_back_as_geopackage_with_their_fields(self, cli, placed, suffix):
        pyogrio, shapely = pytest.importorskip("pyogrio"), pytest.importorskip("shapely")
        shape = shapely.Polygon([self.MOVING @ tuple(xy) for xy in VERTICES])
        fields = [np.array(["wheat"], object), np.array([3])]
        pyogrio.raw.write(
            f"a{suffix}",
            shapely.to_wkb(np.array([shape])),
            fields,
            np.array(["crop", "year"], object),
            crs="EPSG:32632",
            geometry_type="Polygon",
        )
        assert cli("apply", REPORT, f"a{suffix}").code == 0
        meta, _, wkb, values = pyogrio.raw.read("a.registered.gpkg")
        assert meta["crs"] == "EPSG:32632" and [v[0] for v in values] == ["wheat", 3]
        from xmatch.io.crs import projected

        found = projected(shapely.get_coordinates(shapely.from_wkb(wkb)), "EPSG:32632", "EPSG:32633")
        assert {tuple(xy) for xy in np.round(found, 2)} == {tuple(xy) for xy in np.round(self.on_fixed(), 2)}


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def point(*xy) -> str:
    return json.dumps({"type": "Point", "coordinates": xy})


@pytest.mark.parametrize(
    "name, text, code, said",
    [
        ("a.geojson", "{", 3, "no JSON"),
        ("a.geojson", "[]", 3, "no GeoJSON"),
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', 3, "no geometry"),
        ("a.geojson", point("1", 2), 3, "no position"),
        ("a.geojson", point(1), 3, "no position"),
        ("a.geojson", point(5_000, 5_000), 3, "none of its positions lies on sar.tif"),
        ("a.csv", "a,b\n1,2\n", 3, "no columns of positions"),
        ("a.csv", "x,y\n1,2\n3,north\n", 3, "line 3"),
        ("a.csv", "x,y\n", 3, "no point"),
        ("a.gpkg", "no layer", 3, "cannot be read"),
    ],
)
def test_what_holds_no_annotations_of_the_image_is_refused(cli, registered, name, text, code, said):
    write(name, text)
    result = cli("apply", REPORT, name)
    assert result.code == code and said in result.err
    assert not list(Path().glob("a.registered.*"))


def test_annotations_beside_the_image_are_moved_and_told_of(cli, registered):
    write("a.csv", "x,y\n10,10\n-4,10\n")
    result = cli("apply", REPORT, "a.csv", "--json")
    assert result.code == 0 and any("1 of them lie where" in note for note in result.json["notes"])


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["sar.tif", "--inverse"], "--inverse moves annotations"),
        (["a.csv", "-o", "a.tif"], "does not end in .csv"),
        (["a.csv", "--fixed", "optical.tif"], "two images of a JSON report"),
    ],
)
def test_what_does_not_go_together_is_said(cli, registered, arguments, said):
    write("a.csv", "x,y\n10,10\n")
    result = cli("apply", REPORT, *arguments)
    assert result.code == 2 and said in result.err


def test_a_raster_and_annotations_are_written_together_or_not_at_all(cli, registered):
    write("a.csv", "x,y\n10,10\n")
    Path("vh.tif").write_bytes(Path("sar.tif").read_bytes())
    assert cli("apply", REPORT, "vh.tif", "a.csv").code == 0
    assert Path("vh.registered.tif").exists() and Path("a.registered.csv").exists()
    write("b.csv", "x,y\n10,here\n")
    Path("vv.tif").write_bytes(Path("sar.tif").read_bytes())
    assert cli("apply", REPORT, "vv.tif", "b.csv").code == 3
    assert not Path("vv.registered.tif").exists()
