"""`xmatch apply`: a registration's transform for further files."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fakes import SHIFT, write_image
from rasterio.transform import Affine

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


def test_georeferencing_says_where_a_crop_lies():
    from xmatch.cli.apply import onto_footprint
    from xmatch.io.source import Header
    from xmatch.raster import Georef

    def place(origin_x, origin_y, gsd):
        return Georef("EPSG:32633", (gsd, 0.0, origin_x, 0.0, -gsd, origin_y))

    facts = {"width": 100, "height": 80, "georef": vars(place(1000.0, 2000.0, 10.0))}
    crop = Header("crop.tif", "GTiff", 40, 20, ("1",), "uint8", georef=place(1200.0, 1900.0, 5.0))
    # Pixel (0, 0) of the crop is (20, 10) of the registered image, and its pixels are half as large.
    mapped = onto_footprint(SHIFT, facts, crop)(np.array([[0.0, 0.0], [10.0, 4.0]]))
    assert np.allclose(mapped, SHIFT(np.array([[20.0, 10.0], [25.0, 12.0]])))


def test_another_footprint_is_refused(cli, registered):
    write_image(Path("wide.tif"), width=90, height=40)
    assert cli("apply", REPORT, "wide.tif").code == 3


def test_another_grid_can_be_asked_for(cli, registered):
    write_image(Path("other.tif"))
    write_image(Path("large.tif"), width=70, height=60)
    assert cli("apply", REPORT, "other.tif", "--fixed", "large.tif").code == 0
    assert read("other.registered.tif").shape == (60, 70)


def test_the_grid_comes_from_the_report_even_when_fixed_is_gone(cli, pair):
    with rasterio.open("optical.tif") as file:
        pixels, profile = file.read(), file.profile
    profile |= {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open("optical.tif", "w", **profile) as file:
        file.write(pixels)
    assert cli("register", *pair).code == 0
    Path("optical.tif").unlink()
    write_image(Path("other.tif"))
    assert cli("apply", REPORT, "other.tif").code == 0
    with rasterio.open("other.registered.tif") as file:
        assert file.crs.to_epsg() == 32633 and file.transform == profile["transform"]


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
