"""Where pixels lie on the ground, in all the ways that files say it."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from made_images import UTM, noise, ramp, write_geotiff
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import Affine

from xmatch.errors import UsageError
from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters.georef import fit_affine

EIGHT = [
    Affine(10 * a, 10 * b, 500_000, 10 * d, 10 * e, 5_300_000)
    for (a, b), (d, e) in [
        *(((sx, 0), (0, sy)) for sx in (1, -1) for sy in (1, -1)),
        *(((0, sx), (sy, 0)) for sx in (1, -1) for sy in (1, -1)),
    ]
]
"""Every quarter turn and mirroring: south-up, west-up, right to left, ..."""
SHEARED = Affine(8.4, 5.4, 500_000, 5.4, -7.1, 5_300_000)


def placed(affine: Affine, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = tuple(affine)[:6]
    return a * x + b * y + c, d * x + e * y + f


@pytest.mark.parametrize("affine", [*EIGHT, SHEARED])
def test_any_affine_is_kept_as_it_is(tmp_path, affine):
    with open_source(write_geotiff(tmp_path / "a.tif", ramp(9, 7), transform=affine)) as source:
        georef = source.header.georef
    assert georef.affine == pytest.approx(tuple(affine)[:6])
    x, y, _ = georef.matrix @ [4.5, 3.5, 1]
    assert (x, y) == pytest.approx(placed(affine, 4.5, 3.5))


def test_the_crs_is_delivered_as_wkt(tmp_path):
    with open_source(write_geotiff(tmp_path / "a.tif", ramp(9, 7))) as source:
        assert CRS.from_wkt(source.header.georef.crs_wkt) == CRS.from_string(UTM)


def test_a_plain_picture_has_no_georeferencing(tmp_path):
    path = write_geotiff(tmp_path / "a.png", noise(9, 7, dtype="uint8"), driver="PNG", crs=None, transform=None)
    with open_source(path) as source:
        assert source.header.georef is None
        assert source.header.format == "PNG"


def test_a_world_file_places_a_picture_without_naming_a_crs(tmp_path):
    path = write_geotiff(tmp_path / "a.jpg", noise(9, 7, dtype="uint8"), driver="JPEG", crs=None, transform=None)
    (tmp_path / "a.jgw").write_text("2.0\n0.0\n0.0\n-3.0\n101.0\n198.5\n")  # centre of the first pixel
    with open_source(path) as source:
        assert source.header.georef.affine == pytest.approx((2, 0, 100, 0, -3, 200))
        assert source.header.georef.crs_wkt is None
    with open_source(path, ReadOptions(assume_crs="EPSG:32633")) as source:
        assert CRS.from_wkt(source.header.georef.crs_wkt).to_epsg() == 32633
        assert any("assumed" in note for note in source.header.notes)


def test_an_assumed_crs_does_not_override_the_files_own(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", ramp(9, 7))
    with open_source(path, ReadOptions(assume_crs="EPSG:4326")) as source:
        assert CRS.from_wkt(source.header.georef.crs_wkt) == CRS.from_string(UTM)
        assert any("assume-crs" in note for note in source.header.notes)


def test_a_crs_that_is_none_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="no CRS"):
        open_source(write_geotiff(tmp_path / "a.tif", ramp(9, 7)), ReadOptions(assume_crs="EPSG:nonsense"))


def test_georeferencing_can_be_ignored(tmp_path):
    with open_source(write_geotiff(tmp_path / "a.tif", ramp(9, 7)), ReadOptions(ignore_georef=True)) as source:
        assert source.header.georef is None


def test_control_points_are_kept_and_fitted(tmp_path):
    truth = Affine(0.001, 0.0002, 12.0, -0.0003, -0.0009, 47.0)
    at = [(0, 0), (40, 0), (0, 30), (40, 30), (17, 11)]
    points = [GroundControlPoint(y, x, *placed(truth, x, y)) for x, y in at]
    path = write_geotiff(tmp_path / "a.tif", ramp(40, 30), transform=None, crs="EPSG:4326", gcps=points)
    with open_source(path) as source:
        georef, notes = source.header.georef, source.header.notes
        part = source.read(window=(10, 5, 20, 20), size=(10, 10)).georef
    assert georef.affine == pytest.approx(tuple(truth)[:6])
    assert [gcp[:2] for gcp in georef.gcps] == at
    assert CRS.from_wkt(georef.crs_wkt).to_epsg() == 4326
    assert any("control points" in note for note in notes)
    assert part.gcps[4] == pytest.approx((3.5, 3.0, *placed(truth, 17, 11)))


def test_control_points_across_the_antimeridian_stay_together(tmp_path):
    points = [
        GroundControlPoint(row=y, col=x, x=(179.99 + 0.001 * x + 180) % 360 - 180, y=10 - 0.001 * y)
        for x, y in [(0, 0), (40, 0), (0, 30), (40, 30)]
    ]
    path = write_geotiff(tmp_path / "a.tif", ramp(40, 30), transform=None, crs="EPSG:4326", gcps=points)
    with open_source(path) as source:
        assert source.header.georef.affine == pytest.approx((0.001, 0, 179.99, 0, -0.001, 10), abs=1e-9)


def test_the_fit_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (30, 2))
    ground = xy @ [[10, 0.5], [0.2, -10]] + [5e5, 5e6] + rng.normal(0, 3, (30, 2))
    a, b, c, d, e, f = fit_affine(tuple(map(tuple, np.hstack([xy, ground]))))
    residual = ground - (xy @ [[a, d], [b, e]] + [c, f])
    design = np.hstack([xy, np.ones((30, 1))])
    # Normal equations; coordinates of millions leave some 1e-9 relative.
    assert np.abs(design.T @ residual).max() < 1e-3


@pytest.mark.parametrize("points", [[(0, 0), (1, 1)], [(0, 0), (1, 2), (2, 4), (5, 10)], []])
def test_too_few_or_collinear_control_points_place_nothing(points):
    assert fit_affine(tuple((x, y, 10.0 * x, 20.0 * y) for x, y in points)) is None


def test_rational_polynomials_are_mentioned(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", ramp(9, 7), crs=None, transform=None)
    unit = [1.0] + [0.0] * 19
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path, "r+") as file:
        file.rpcs = RPC(
            err_bias=0, err_rand=0, height_off=0, height_scale=1, lat_off=47, lat_scale=1, line_off=3, line_scale=3,
            long_off=12, long_scale=1, samp_off=4, samp_scale=4, line_num_coeff=unit, line_den_coeff=unit,
            samp_num_coeff=unit, samp_den_coeff=unit,
        )  # fmt: skip
    with open_source(path) as source:
        assert source.header.georef is None
        assert any("RPC" in note for note in source.header.notes)
