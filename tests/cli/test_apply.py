"""`xmatch apply`: a registration's transform for further files."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fakes import SHIFT, write_image
from rasterio.transform import Affine, array_bounds
from rasterio.warp import Resampling, calculate_default_transform, reproject

REPORT = "sar.registered.report.json"


@pytest.fixture
def registered(pair, cli):
    assert cli("register", *pair).code == 0


def read(path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1, masked=True)


def test_the_same_file_moves_as_it_did_in_register(cli, registered):
    Path("vh.tif").write_bytes(Path("sar.tif").read_bytes())
    assert cli("apply", REPORT, "vh.tif").code == 0
    first, again = read("sar.registered.tif"), read("vh.registered.tif")
    assert np.array_equal(first.mask, again.mask) and np.array_equal(first, again)


def test_several_files_move_at_once(cli, registered):
    for name in ("a.tif", "b.tif"):
        write_image(Path(name))
    result = cli("apply", REPORT, "a.tif", "b.tif", "--json")
    assert result.json["outputs"] == ["a.registered.tif", "b.registered.tif"]
    assert Path("a.registered.tif").exists() and Path("b.registered.tif").exists()


def test_scale_and_resolution_come_through_the_report(cli, pair):
    """Scale is that of the file that moves, resolution that of the grid, which only the report knows here."""
    with rasterio.open("optical.tif", "r+") as file:
        file.update_tags(TIFFTAG_XRESOLUTION="300", TIFFTAG_YRESOLUTION="300", TIFFTAG_RESOLUTIONUNIT="2")
    assert cli("register", *pair).code == 0
    Path("optical.tif").unlink()
    write_image(Path("a.tif"))
    with rasterio.open("a.tif", "r+") as file:
        file.scales, file.offsets = (0.5,), (-3.0,)
    assert cli("apply", REPORT, "a.tif").code == 0
    with rasterio.open("a.registered.tif") as file:
        assert (file.scales, file.offsets) == ((0.5,), (-3.0,))
        assert float(file.tags()["TIFFTAG_XRESOLUTION"]) == 300


def test_when_one_of_several_fails_none_is_written(cli, registered):
    write_image(Path("a.tif"))
    assert cli("apply", REPORT, "a.tif", "none.tif").code == 3
    assert not Path("a.registered.tif").exists()


def bright_spot(path: str, scale: int, x: float, y: float) -> None:
    """An image of 48 x 40 px times `scale`, dark but for a spot around (x, y) of the unscaled one."""
    centres = (np.mgrid[: 40 * scale, : 48 * scale] + 0.5) / scale
    image = 60_000 * np.exp(-((centres[1] - x) ** 2 + (centres[0] - y) ** 2) / 8)
    with rasterio.open(path, "w", driver="GTiff", width=48 * scale, height=40 * scale, count=1, dtype="uint16") as file:
        file.write(image.astype(np.uint16), 1)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_another_pixel_size_of_the_same_footprint_lands_on_the_same_place(cli, registered, scale):
    bright_spot("fine.tif", scale, 25.0, 16.0)
    assert cli("apply", REPORT, "fine.tif").code == 0
    image = read("fine.registered.tif").filled(0).astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    centre = [(image * x).sum() / image.sum(), (image * y).sum() / image.sum()]
    assert np.allclose(centre, SHIFT(np.array([[25.0, 16.0]]))[0], atol=0.1)


def test_another_footprint_is_refused(cli, registered):
    write_image(Path("wide.tif"), width=90, height=40)
    assert cli("apply", REPORT, "wide.tif").code == 3


def test_another_grid_can_be_asked_for(cli, registered):
    write_image(Path("other.tif"))
    write_image(Path("large.tif"), width=70, height=60)
    assert cli("apply", REPORT, "other.tif", "--fixed", "large.tif").code == 0
    assert read("other.registered.tif").shape == (60, 70)


UTM, STEP = "EPSG:32633", 10.0
PLACE = Affine(STEP, 0, 500_000, 0, -STEP, 5_000_000)


def place(
    path: str, crs: str | None = UTM, transform: Affine = PLACE, pixels: np.ndarray | None = None, **more
) -> None:
    """Give a file a place on the ground, or write `pixels` there."""
    if pixels is None:
        with rasterio.open(path) as file:
            pixels = file.read()
    height, width = pixels.shape[1:]
    profile = {"width": width, "height": height, "count": len(pixels), "dtype": pixels.dtype.name, **more}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **profile) as file:
        file.write(pixels)


@pytest.fixture
def on_the_ground(cli, pair):
    """A registration of two files in UTM."""
    place("optical.tif")
    place("sar.tif")
    assert cli("register", *pair).code == 0


@pytest.mark.parametrize("crs", ["EPSG:32633+5773", "EPSG:3857", "EPSG:4326"], ids=["compound", "mercator", "degrees"])
def test_a_file_in_another_crs_lands_where_the_first_one_did(cli, on_the_ground, crs):
    with rasterio.open("sar.tif") as file:
        first = file.read(1).astype(np.float32)
    horizontal = UTM if "+" in crs else crs
    transform, width, height = calculate_default_transform(UTM, horizontal, 48, 40, *array_bounds(40, 48, PLACE))
    pixels = np.full((1, height, width), np.nan, np.float32)
    reproject(
        first[None],
        pixels,
        src_transform=PLACE,
        src_crs=UTM,
        dst_transform=transform,
        dst_crs=horizontal,
        resampling=Resampling.cubic,
        init_dest_nodata=True,
        dst_nodata=np.nan,
    )
    place("other.tif", crs, transform, pixels, nodata=np.nan)
    assert cli("apply", REPORT, "other.tif").code == 0
    found, wanted = read("other.registered.tif"), read("sar.registered.tif")
    both = ~found.mask & ~wanted.mask
    assert both.sum() > 1000
    # The image rises by 9 a px in x, 4 in y, and its noise has been resampled twice.
    assert abs((found - wanted)[both].mean()) < 1 and np.corrcoef(found[both], wanted[both])[0, 1] > 0.99


def test_a_file_of_another_place_is_refused_and_nothing_is_written(cli, on_the_ground):
    write_image(Path("other.tif"))
    place("other.tif", transform=Affine.translation(50_000, 0) @ PLACE)
    place("sar.tif", "EPSG:32719")
    for other in ("other.tif", "sar.tif"):
        result = cli("apply", REPORT, other, "--overwrite")
        assert result.code == 3 and "does not overlap" in result.err
    assert not Path("other.registered.tif").exists()


def test_a_file_without_data_on_the_grid_is_refused(cli, on_the_ground):
    place("empty.tif", pixels=np.full((1, 40, 48), 7, np.uint16), nodata=7)
    result = cli("apply", REPORT, "empty.tif")
    assert result.code == 3 and "holds data" in result.err and not Path("empty.registered.tif").exists()


def test_a_file_without_crs_needs_a_word_where_moving_had_one(cli, on_the_ground):
    write_image(Path("plain.tif"), seed=1)
    result = cli("apply", REPORT, "plain.tif")
    assert result.code == 3 and "--assume-same-footprint" in result.err
    assert cli("apply", REPORT, "plain.tif", "--assume-same-footprint").code == 0
    assert np.array_equal(read("plain.registered.tif"), read("sar.registered.tif"))


def test_a_file_with_a_crs_needs_a_word_where_moving_had_none(cli, registered):
    Path("placed.tif").write_bytes(Path("sar.tif").read_bytes())
    place("placed.tif")
    result = cli("apply", REPORT, "placed.tif")
    assert result.code == 3 and "--assume-same-footprint" in result.err
    for option in ("--assume-same-footprint", "--ignore-georef"):
        assert cli("apply", REPORT, "placed.tif", option, "--overwrite").code == 0
        assert np.array_equal(read("placed.registered.tif"), read("sar.registered.tif"))


def test_georeferencing_ignored_by_the_registration_is_ignored_again(cli, pair):
    place("sar.tif")
    assert cli("register", *pair, "--ignore-georef").code == 0
    Path("vh.tif").write_bytes(Path("sar.tif").read_bytes())
    assert cli("apply", REPORT, "vh.tif").code == 0
    assert np.array_equal(read("vh.registered.tif"), read("sar.registered.tif"))


def test_a_crs_assumed_by_the_registration_is_assumed_again(cli, pair):
    place("optical.tif")
    place("sar.tif", crs=None)
    assert cli("register", *pair, "--moving-assume-crs", UTM).code == 0
    Path("vh.tif").write_bytes(Path("sar.tif").read_bytes())
    assert cli("apply", REPORT, "vh.tif").code == 0
    assert np.array_equal(read("vh.registered.tif"), read("sar.registered.tif"))


def test_another_grid_on_the_ground_keeps_every_place(cli, on_the_ground):
    """Four px west, two px north of FIXED's grid, in another CRS or not, the same things are at the same places."""
    Path("vh.tif").write_bytes(Path("sar.tif").read_bytes())
    place("grid.tif", transform=PLACE @ Affine.translation(-4, -2), pixels=np.zeros((1, 50, 60), np.uint8))
    assert cli("apply", REPORT, "vh.tif", "--fixed", "grid.tif").code == 0
    found, wanted = read("vh.registered.tif")[2:42, 4:52], read("sar.registered.tif")
    assert np.array_equal(found.mask, wanted.mask) and np.array_equal(found, wanted)
    place("far.tif", transform=Affine.translation(50_000, 0) @ PLACE, pixels=np.zeros((1, 50, 60), np.uint8))
    write_image(Path("plain.tif"))
    for grid in ("far.tif", "plain.tif"):
        assert cli("apply", REPORT, "vh.tif", "--fixed", grid, "--overwrite").code == 3


def test_the_grid_comes_from_the_report_even_when_fixed_is_gone(cli, on_the_ground):
    Path("optical.tif").unlink()
    write_image(Path("other.tif"))
    place("other.tif")
    assert cli("apply", REPORT, "other.tif").code == 0
    with rasterio.open("other.registered.tif") as file:
        assert file.crs.to_epsg() == 32633 and file.transform == PLACE


def test_an_untrusted_registration_is_applied_only_on_request(cli, pair, behave):
    behave("untrusted")
    assert cli("register", *pair).code == 4
    write_image(Path("other.tif"))
    assert cli("apply", REPORT, "other.tif", "--json").code == 4
    assert not list(Path().glob("other.registered*"))
    assert cli("apply", REPORT, "other.tif", "--keep-unreliable").code == 4
    assert [path.name for path in Path().glob("other.registered*")] == ["other.registered.unreliable.tif"]


def test_a_registration_that_found_nothing_cannot_be_applied(cli, pair, behave):
    behave("lost")
    cli("register", *pair)
    write_image(Path("other.tif"))
    assert cli("apply", REPORT, "other.tif", "--keep-unreliable").code == 3


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"schema": "xmatch.registration/99"}), "\0"])
def test_a_file_that_is_no_registration_is_refused(cli, pair, text):
    Path("odd.json").write_text(text)
    assert cli("apply", "odd.json", "sar.tif").code == 3


def test_nothing_is_overwritten_unless_asked(cli, registered):
    write_image(Path("other.tif"))
    Path("other.registered.tif").write_text("mine")
    assert cli("apply", REPORT, "other.tif").code == 5
    assert Path("other.registered.tif").read_text() == "mine"
    assert cli("apply", REPORT, "other.tif", "--overwrite").code == 0


def test_one_output_name_is_not_enough_for_two_files(cli, registered):
    assert cli("apply", REPORT, "sar.tif", "optical.tif", "-o", "x.tif").code == 2
