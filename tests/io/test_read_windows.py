"""Windows, sizes and overviews: what is delivered, and how little is decoded for it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import rasterio
from made_images import noise, ramp, write_geotiff

from xmatch.errors import ResourceError
from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters.area_means import Cells, tiles


def test_the_whole_image_arrives_as_it_was_written(tmp_path):
    pixels = ramp(70, 50, bands=3)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        raster = source.read()
    assert np.array_equal(raster.pixels, pixels)
    assert raster.pixels.dtype == np.uint16
    assert raster.valid.all()


def test_a_window_is_the_same_as_a_crop(tmp_path):
    pixels = ramp(70, 50, bands=2)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, tiled=True, blockxsize=16, blockysize=16)) as source:
        raster = source.read(window=(11, 17, 40, 21))
    assert np.array_equal(raster.pixels, pixels[:, 17:38, 11:51])


def test_a_window_knows_where_it_lies(tmp_path):
    with open_source(write_geotiff(tmp_path / "a.tif", ramp(70, 50))) as source:
        whole, part = source.header.georef, source.read(window=(10, 20, 40, 20), size=(20, 10)).georef
    assert part.matrix @ [3, 4, 1] == pytest.approx(whole.matrix @ [10 + 6, 20 + 8, 1])


def test_bands_are_delivered_in_the_order_asked_for(tmp_path):
    pixels = ramp(20, 10, bands=4)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels), ReadOptions(bands=(3, 1))) as source:
        assert source.header.bands == ("3", "1")
        assert np.array_equal(source.read().pixels, pixels[[2, 0]])
        assert np.array_equal(source.read(bands=(1,)).pixels, pixels[:1])


def test_halving_takes_the_mean_of_four(tmp_path):
    pixels = noise(32, 20)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        small = source.read(size=(16, 10)).pixels
    want = np.rint(pixels.reshape(1, 10, 2, 16, 2).astype(float).mean(axis=(2, 4)))
    assert np.abs(small - want).max() <= 1  # .5 may round either way


def test_an_area_mean_keeps_a_plane_a_plane_at_any_scale(tmp_path):
    y, x = np.mgrid[:61, :83] + 0.5
    pixels = (2 * x + 3 * y)[None].astype(np.float64)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        small = source.read(size=(13, 9)).pixels[0]
    v, u = np.mgrid[:9, :13] + 0.5
    # 83/13 px and 61/9 px a cell: fractions of pixels at both ends of every cell.
    assert small == pytest.approx(2 * u * 83 / 13 + 3 * v * 61 / 9, abs=0.08)


def test_the_mean_does_not_depend_on_how_the_file_is_cut(tmp_path):
    pixels = noise(90, 77, seed=3)
    strips = write_geotiff(tmp_path / "strips.tif", pixels)
    tiled = write_geotiff(tmp_path / "tiles.tif", pixels, tiled=True, blockxsize=16, blockysize=32)
    few = ReadOptions(max_memory_bytes=60_000)  # tiles of some thousand px
    with open_source(strips) as a, open_source(tiled, few) as b:
        one, other = a.read(size=(23, 31)), b.read(size=(23, 31))
    assert np.array_equal(one.pixels, other.pixels)


def test_only_valid_pixels_are_averaged_and_half_of_them_suffice(tmp_path):
    pixels = np.full((1, 4, 8), 100, np.uint16)
    pixels[0, :2, 0] = 0  # two of the four pixels of the first cell
    pixels[0, :2, 2:4] = 0
    pixels[0, 0, 2] = 100  # one of the four of the second
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, nodata=0)) as source:
        small = source.read(size=(4, 2))
    assert small.valid.tolist() == [[True, False, True, True], [True, True, True, True]]
    assert small.pixels[0].tolist() == [[100] * 4] * 2


def test_each_band_is_averaged_over_its_own_valid_pixels(tmp_path):
    pixels = np.array([[[-1, 4, 8, 8], [6, 8, 8, 8]], [[3, 5, -1, -1], [5, 7, 9, -1]]], np.int16)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, nodata=-1)) as source:
        raster = source.read(size=(2, 1))
    assert raster.pixels[:, 0].tolist() == [[6, 8], [5, 9]]
    assert raster.band_valid[:, 0].tolist() == [[True, True], [True, False]]


def test_nan_islands_do_not_spread_when_reduced(tmp_path):
    pixels = np.ones((1, 40, 40), np.float32)
    pixels[0, 10:13, 10:13] = np.nan
    pixels[0, 30, 30] = np.inf
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        whole, small = source.read(), source.read(size=(10, 10))
    assert (~whole.valid).sum() == 10
    assert np.isfinite(small.pixels[:, small.valid]).all()
    assert small.pixels[0][small.valid] == pytest.approx(1.0)


def test_a_small_view_is_read_from_the_overview(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", ramp(256, 256), tiled=True, blockxsize=64, blockysize=64, overviews=(2, 4))
    with rasterio.open(path, "r+", overview_level=1, IGNORE_COG_LAYOUT_BREAK="YES") as overview:
        assert overview.shape == (64, 64)
        overview.write(np.full((1, 64, 64), 7, np.uint16))  # tells overview from full resolution
    with open_source(path) as source:
        assert (source.read(size=(64, 64)).pixels == 7).all()
        assert (source.read(size=(32, 30)).pixels == 7).all()
        assert not (source.read(size=(60, 60)).pixels == 7).any()  # wants one twice as fine
        assert not (source.read(window=(0, 0, 64, 64), size=(32, 32)).pixels == 7).any()


def test_a_view_through_overviews_lies_where_the_image_does(tmp_path):
    y, x = np.mgrid[:200, :300] + 0.5
    path = write_geotiff(tmp_path / "a.tif", (x + 2 * y)[None].astype(np.float32), overviews=(2, 4))
    with open_source(path) as source:
        small = source.read(window=(40, 20, 200, 120), size=(40, 24)).pixels[0]
    v, u = np.mgrid[:24, :40] + 0.5
    assert np.abs(small - ((40 + 5 * u) + 2 * (20 + 5 * v))).max() < 0.35  # a tenth of a view px


def test_reducing_complex_speckle_keeps_its_amplitude(tmp_path):
    rng = np.random.default_rng(0)
    pixels = (10 * np.exp(2j * np.pi * rng.random((1, 64, 64)))).astype(np.complex64)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        small = source.read(size=(8, 8)).pixels
    assert small.dtype == np.complex64
    assert np.abs(small) == pytest.approx(10, rel=1e-5)  # the plain mean would have about 10 / 8


def test_what_does_not_fit_the_memory_is_refused_before_reading(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", ramp(500, 400), tiled=True, blockxsize=64, blockysize=64)
    with open_source(path, ReadOptions(max_memory_bytes=100_000)) as source:
        with pytest.raises(ResourceError, match="max-memory"):
            source.read()
        assert source.read(size=(50, 40)).pixels.shape == (1, 40, 50)


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 71, 5), (60, 0, 11, 5), (0, 0, 0, 5)])
def test_a_window_outside_the_image_is_a_mistake_of_the_caller(tmp_path, window):
    with open_source(write_geotiff(tmp_path / "a.tif", ramp(70, 50))) as source:
        with pytest.raises(ValueError, match="window"):
            source.read(window=window)


@pytest.mark.parametrize("start, stop, count", [(0, 10, 5), (0.3, 9.7, 4), (2.5, 3.5, 3), (0, 7, 7), (0.2, 9.9, 37)])
@pytest.mark.parametrize("step", [1, 3, 10])
def test_area_weights_share_out_every_cell_whatever_the_tiles(start, stop, count, step):
    cells = Cells(start, stop, count, 10)
    weights = np.zeros((count, 10))
    for left in range(cells.first, cells.last, step):
        right = min(left + step, cells.last)
        part, rows = cells.weights(left, right, np.dtype(float))
        weights[rows, left:right] += part.toarray()
    assert weights.sum(axis=1) == pytest.approx(1)
    cell = (stop - start) / count
    centres = weights @ (np.arange(10) + 0.5)
    # The mean of a piecewise constant ramp is within half a pixel of the cell's centre, and exact for whole pixels.
    assert np.abs(centres - (start + (np.arange(count) + 0.5) * cell)).max() <= 0.5


def test_an_axis_of_a_hundred_million_px_costs_no_more_than_its_tile():
    tracemalloc.start()
    weights, rows = Cells(0, 1e8, 640, 10**8).weights(5 * 10**7, 5 * 10**7 + 1000, np.dtype(float))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 and (rows.start, rows.stop) == (320, 321) and weights.sum() == pytest.approx(1000 / (1e8 / 640))


def test_blocks_that_are_larger_than_the_limit_are_cut():
    seen = np.zeros((300, 400), int)
    for x0, y0, x1, y1 in tiles((3, 5, 400, 300), (400, 300), 1000):
        seen[y0:y1, x0:x1] += 1
        assert (x1 - x0) * (y1 - y0) <= 1000
    assert (seen[5:, 3:] == 1).all() and seen.sum() == 295 * 397


def test_tiles_cover_a_box_once_and_follow_the_blocks():
    seen = np.zeros((50, 70), int)
    for x0, y0, x1, y1 in tiles((3, 5, 70, 50), (16, 8), 600):
        seen[y0:y1, x0:x1] += 1
        assert (x0 == 3 or x0 % 16 == 0) and (y0 == 5 or y0 % 8 == 0)
        assert (x1 - x0) * (y1 - y0) <= 600
    assert (seen[5:50, 3:70] == 1).all() and seen.sum() == 45 * 67
