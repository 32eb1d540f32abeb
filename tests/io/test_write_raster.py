"""Registered files, opened again by GDAL and tifffile: pixels, place, and everything said about them."""

import os
from contextlib import nullcontext

import numpy as np
import pytest
import rasterio
import tifffile
from memory_source import MemorySource

from xmatch.coords import pixel_centres
from xmatch.errors import OutputError
from xmatch.geometry import similarity, translation
from xmatch.io.writing import atomic
from xmatch.raster import Georef, Grid
from xmatch.resampling.registered_file import write_registered
from xmatch.resampling.resample import moving_grid

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
UTM = Georef(rasterio.crs.CRS.from_epsg(32632).to_wkt(), (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0))
TURN = similarity(17.0, 1.1, (12.0, -7.0))


def scene(width=80, height=60, bands=1, dtype="uint16"):
    xy = pixel_centres(width, height)
    plane = 3000 + 20 * xy[..., 0] + 30 * xy[..., 1] + 500 * np.sin(xy[..., 0] / 9)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1e9
    return np.stack([(plane / (1 + band)) % top for band in range(bands)]).astype(dtype)


def inside(transform, width, height, moving=(80, 60)):
    xy = transform.inverse(pixel_centres(width, height))
    return ((xy >= 0) & (xy < moving)).all(axis=-1)


@pytest.mark.parametrize(
    ("stored", "is_lossless", "fits"),
    [(0.2, True, True), (0.2, False, False), (1.0, True, False), (3.0, True, False), (None, True, False)],
)
def test_the_space_that_must_be_free_is_what_the_moving_file_takes_twice(
    tmp_path, monkeypatch, stored, is_lossless, fits
):
    """And uncompressed at most, which a file counts as where its size is not known or says nothing. 9,600 bytes of
    pixels."""
    path = tmp_path / "moving.tif"
    if stored is not None:
        path.write_bytes(bytes(int(9600 * stored)))
    usage = type("Usage", (), {"free": 15000})()
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: usage)
    moving = MemorySource(scene(), path=str(path), is_lossless=is_lossless)
    with nullcontext() if fits else pytest.raises(OutputError, match="needed"):
        write_registered(tmp_path / "out.tif", moving, TURN, Grid(80, 60, UTM))


def test_the_result_lies_on_the_fixed_grid_in_the_moving_dtype(tmp_path):
    moving = MemorySource(scene(bands=3, dtype="int16"), bands=("B2", "B3", "B8"), nodata=-9999.0, tags={"SENSOR": "X"})
    facts = write_registered(tmp_path / "out.tif", moving, TURN, Grid(100, 90, UTM))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.crs.to_epsg() == 32632 and tuple(file.transform)[:6] == UTM.affine
        assert file.shape == (90, 100) and set(file.dtypes) == {"int16"} and file.nodata == -9999
        assert file.descriptions == ("B2", "B3", "B8")
        assert file.tags()["SENSOR"] == "X" and file.tags()["XMATCH_MOVING"] == "memory.tif"
        assert np.array_equal(file.dataset_mask() > 0, inside(TURN, 100, 90))
        assert facts["valid_fraction"] == inside(TURN, 100, 90).mean()
    assert os.listdir(tmp_path) == ["out.tif"]


def test_a_point_on_the_ground_keeps_its_value(tmp_path):
    """A bright pixel of moving, followed through the transform and the written georeferencing, is found there."""
    pixels = np.full((60, 80), 100, np.uint16)
    pixels[18:25, 48:55] = 900
    write_registered(tmp_path / "out.tif", MemorySource(pixels), TURN, Grid(100, 90, UTM), resampling="bilinear")
    x, y = TURN(np.array([[51.5, 21.5]]))[0]
    with rasterio.open(tmp_path / "out.tif") as file:
        [[value]] = file.sample([file.transform @ (x, y)])
    assert value == 900


def test_control_points_without_a_crs_are_kept(tmp_path):
    gcps = ((0.0, 0.0, 5.0, 50.0), (100.0, 0.0, 6.0, 50.0), (0.0, 90.0, 5.0, 49.0))
    grid = Grid(100, 90, Georef(None, (0.01, 0, 5.0, 0, -1 / 90, 50.0), gcps))
    write_registered(tmp_path / "out.tif", MemorySource(scene()), TURN, grid)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert [(p.col, p.row, p.x, p.y) for p in file.gcps[0]] == list(gcps)


def test_without_a_nodata_value_an_internal_mask_says_what_is_valid(tmp_path):
    valid = np.ones((60, 80), bool)
    valid[5:20, 30:50] = False
    write_registered(tmp_path / "out.tif", MemorySource(scene(), valid), translation(0, 0), Grid(80, 60, UTM))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata is None and np.array_equal(file.dataset_mask() > 0, valid)
        assert np.array_equal(file.read()[:, valid], scene()[:, valid])
    assert os.listdir(tmp_path) == ["out.tif"]


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("int16", -999.0), ("uint8", 255.0), ("float32", None), ("complex64", None), ("complex64", 0.0)],
)
def test_a_hole_of_one_band_is_that_bands_nodata_and_no_others(tmp_path, dtype, nodata):
    masks = np.ones((2, 60, 80), bool)
    masks[0, 10:30, 20:50] = masks[1, 40:, :30] = False
    moving = MemorySource(scene(bands=2, dtype=dtype), masks, nodata=nodata)
    facts = write_registered(tmp_path / "out.tif", moving, translation(5, -3), Grid(80, 60, UTM), resampling="nearest")
    with rasterio.open(tmp_path / "out.tif") as file:
        found, pixels = file.read_masks() > 0, file.read()
    assert np.array_equal(found[:, :57, 5:], masks[:, 3:, :75])
    assert not found[:, 57:].any() and not found[:, :, :5].any()
    assert np.array_equal(pixels[found], np.roll(moving.pixels, (-3, 5), (1, 2))[found])
    assert facts["notes"] == ()


def test_a_hole_of_one_band_without_any_nodata_value_is_counted(tmp_path):
    masks = np.ones((2, 60, 80), bool)
    masks[0, 10:30, 20:50] = False
    moving = MemorySource(scene(bands=2), masks)
    facts = write_registered(tmp_path / "out.tif", moving, translation(0, 0), Grid(80, 60, UTM))
    assert [note.split()[0] for note in facts["notes"]] == [str(20 * 30)]
    with rasterio.open(tmp_path / "out.tif") as file:
        assert (file.dataset_mask() > 0).all() and (file.read(1)[~masks[0]] == 0).all()


def test_a_nodata_value_beyond_the_dtype_becomes_a_mask(tmp_path):
    write_registered(tmp_path / "out.tif", MemorySource(scene(), nodata=-9999.0), TURN, Grid(80, 60, UTM))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata is None and np.array_equal(file.dataset_mask() > 0, inside(TURN, 80, 60))


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("float32", 7.0)])
def test_a_valid_value_that_equals_nodata_stays_valid(tmp_path, dtype, nodata):
    pixels = np.full((60, 80), nodata, dtype)
    source = MemorySource(pixels, np.ones((60, 80), bool), nodata=float(nodata))
    write_registered(tmp_path / "out.tif", source, translation(4, 0), Grid(80, 60))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert (file.dataset_mask()[:, 4:] > 0).all() and not file.dataset_mask()[:, :4].any()
        assert np.abs(file.read(1)[:, 4:].astype(float) - nodata).max() <= 1


def test_floats_without_nodata_mark_invalid_pixels_as_nan(tmp_path):
    write_registered(tmp_path / "out.tif", MemorySource(scene(dtype="float32")), TURN, Grid(80, 60))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert np.isnan(file.nodata) and np.array_equal(np.isfinite(file.read(1)), inside(TURN, 80, 60))


def test_a_palette_keeps_its_table_and_its_indices(tmp_path):
    table = {i: (40 * i, 255 - i, i, 255) for i in range(6)}
    labels = np.random.default_rng(0).choice([1, 5], (700, 600)).astype(np.uint8)
    source = MemorySource(labels, palette=table, bands=("red", "green", "blue"))
    write_registered(tmp_path / "out.tif", source, similarity(10, 1.2), Grid(600, 700, UTM))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.count == 1 and {i: file.colormap(1)[i] for i in table} == table
        assert set(np.unique(file.read(1))) <= {0, 1, 5}
        assert file.overviews(1)
    with rasterio.open(tmp_path / "out.tif", overview_level=0) as file:
        assert set(np.unique(file.read(1))) <= {0, 1, 5}


@pytest.mark.parametrize("dtype", ["int8", "uint32", "int64", "float64", "complex64"])
def test_rare_dtypes_are_kept(tmp_path, dtype):
    source = MemorySource(scene(dtype=dtype))
    write_registered(tmp_path / "out.tif", source, translation(3, 2), Grid(80, 60))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.dtypes == (dtype,)
        assert np.array_equal(file.read()[:, 2:, 3:], source.pixels[:, :-2, :-3])


@pytest.mark.parametrize(
    ("bands", "expected"),
    [(("red", "green", "blue"), ["red", "green", "blue"]), (("blue", "green", "red", "nir"), ["blue", "green", "red"])],
)
def test_colours_are_kept(tmp_path, bands, expected):
    source = MemorySource(scene(bands=len(bands), dtype="uint8"), bands=bands)
    write_registered(tmp_path / "out.tif", source, TURN, Grid(80, 60))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert [colour.name for colour in file.colorinterp[:3]] == expected and file.descriptions == bands


def test_a_fixed_image_without_crs_gives_a_plain_pixel_grid(tmp_path):
    write_registered(tmp_path / "out.tif", MemorySource(scene(), format="PNG"), TURN, Grid(80, 60))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.driver == "GTiff" and file.crs is None and file.transform.is_identity


def test_control_points_of_the_fixed_image_are_passed_on(tmp_path):
    """They are all that places such an image; the affine through them is a guess."""
    gcps = ((0.0, 0.0, 9.0, 50.0), (80.0, 0.0, 9.1, 50.02), (0.0, 60.0, 8.98, 49.9), (80.0, 60.0, 9.09, 49.91))
    lonlat = Georef(rasterio.crs.CRS.from_epsg(4326).to_wkt(), (1e-3, 0, 9.0, 0, -1e-3, 50.0), gcps)
    write_registered(tmp_path / "out.tif", MemorySource(scene()), TURN, Grid(80, 60, lonlat))
    grid, to_grid = moving_grid(MemorySource(scene()).header, TURN, Grid(80, 60, lonlat))
    write_registered(tmp_path / "own.tif", MemorySource(scene()), to_grid, grid)
    for name, transform in (("out.tif", translation(0, 0)), ("own.tif", TURN)):
        with rasterio.open(tmp_path / name) as file:
            points, crs = file.gcps
            assert crs.to_epsg() == 4326 and file.transform.is_identity
            assert np.allclose([(p.x, p.y) for p in points], [gcp[2:] for gcp in gcps])
            assert np.allclose(transform(np.array([(p.col, p.row) for p in points])), [gcp[:2] for gcp in gcps])


@pytest.mark.parametrize("affine", [(8.0, 3.0, 500.0, 2.0, -9.0, 100.0), (10.0, 0.0, 0.0, 0.0, 10.0, 0.0)])
def test_rotated_and_south_up_grids_are_written_as_they_are(tmp_path, affine):
    write_registered(tmp_path / "out.tif", MemorySource(scene()), TURN, Grid(80, 60, Georef(UTM.crs_wkt, affine)))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert tuple(file.transform)[:6] == affine


def test_a_medical_result_is_a_pyramid_with_micrometres_and_channels(tmp_path):
    moving = MemorySource(scene(700, 600, bands=2), bands=("DAPI", "GFP"), medical=True, spacing_um=(3.1, 3.1))
    path = tmp_path / "out.ome.tif"
    facts = write_registered(path, moving, translation(2, 1), Grid(1100, 700, None, (0.5, 0.25)), threads=2)
    assert facts["format"] == "OME-TIFF"
    with tifffile.TiffFile(path) as tiff:
        [series] = tiff.series
        assert tiff.is_ome and series.axes == "CYX" and tiff.pages[0].is_tiled
        assert [level.shape for level in series.levels] == [(2, 700, 1100), (2, 350, 550), (2, 175, 275)]
        assert np.array_equal(series.asarray()[:, 1:601, 2:702], moving.pixels)
        means = series.asarray()[:, 2:600, 2:702].reshape(2, 299, 2, 350, 2).mean(axis=(2, 4))
        assert np.abs(series.levels[1].asarray()[:, 1:300, 1:351] - means).max() <= 1
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"], pixels["PhysicalSizeXUnit"]) == (0.5, 0.25, "µm")
        assert [channel["Name"] for channel in pixels["Channel"]] == ["DAPI", "GFP"]
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(1e4 / 0.5)
    assert os.listdir(tmp_path) == ["out.ome.tif"]


def test_a_medical_fixed_image_is_enough_for_ome_tiff(tmp_path):
    grid = Grid(80, 60, None, (500.0, 500.0), medical=True)
    assert write_registered(tmp_path / "out.tif", MemorySource(scene()), TURN, grid)["format"] == "OME-TIFF"
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert 'PhysicalSizeX="500.0"' in tiff.ome_metadata


def test_a_stained_slide_stays_one_rgb_image(tmp_path):
    moving = MemorySource(
        scene(700, 600, bands=3, dtype="uint8"), bands=("red", "green", "blue"), medical=True, spacing_um=(2.0, 2.0)
    )
    write_registered(tmp_path / "out.tif", moving, translation(0, 0), Grid(700, 600, None, (2.0, 2.0)))
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.pages[0].photometric.name == "RGB" and len(tiff.series[0].levels) == 2
        assert np.array_equal(np.moveaxis(tiff.series[0].asarray(), -1, 0), moving.pixels)


@pytest.mark.parametrize("medical", [False, True])
@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_a_byte_that_no_longer_reads_as_written_is_noticed(tmp_path, monkeypatch, medical, where):
    """As on a full disk, of which nobody says anything: part of a tile of some level is gone."""

    def lost(name):
        if name == "verify":
            [path] = (path for path in tmp_path.iterdir() if path.name.endswith(".tmp.tif"))
            data = bytearray(path.read_bytes())
            data[int(len(data) * where)] ^= 1
            path.write_bytes(data)

    monkeypatch.setattr(atomic, "step", lost)
    grid = Grid(700, 600, medical=medical)
    with pytest.raises(OutputError, match="read back|reads back"):
        write_registered(tmp_path / "out.tif", MemorySource(scene(700, 600)), translation(0, 0), grid)
    assert os.listdir(tmp_path) == []


def test_the_moving_file_is_never_the_output(tmp_path):
    (tmp_path / "sar.tif").write_bytes(b"pixels")
    moving = MemorySource(scene(), path=str(tmp_path / "sar.tif"))
    with pytest.raises(OutputError, match="input"):
        write_registered(tmp_path / "sar.tif", moving, TURN, Grid(80, 60), overwrite=True)
    assert (tmp_path / "sar.tif").read_bytes() == b"pixels"


def test_progress_runs_to_the_end(tmp_path):
    told = []
    grid = Grid(1500, 1200)
    write_registered(tmp_path / "o.tif", MemorySource(scene()), TURN, grid, progress=lambda *args: told.append(args))
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 1
