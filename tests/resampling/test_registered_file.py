"""What is asked of the disk before a registered file is written."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from xmatch.geometry import translation
from xmatch.io import open_source
from xmatch.raster import Grid
from xmatch.resampling import registered_file

SIDE = 256


class Asked(Exception):
    pass


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """asked(path): bytes that must be free for an image of one grey value, laid onto itself."""

    def check(path, overwrite, inputs, need_bytes):
        raise Asked(need_bytes)

    monkeypatch.setattr(registered_file, "check_target", check)

    def need(path):
        with open_source(path) as moving, pytest.raises(Asked) as found:
            registered_file.write_registered(
                tmp_path / "out.tif", moving, translation(0, 0), Grid.of(moving.header), resampling="nearest"
            )
        return found.value.args[0]

    return need


def written(path, **profile):
    place = rasterio.Affine(1, 0, 0, 0, -1, SIDE)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", **profile}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=place, **profile) as file:
        file.write(np.full((1, SIDE, SIDE), 7, np.uint8))
    return path


def test_as_much_must_be_free_as_a_file_without_loss_takes(tmp_path, asked):
    assert asked(written(tmp_path / "a.tif", compress="deflate")) < 2 * SIDE**2 / 10


@pytest.mark.parametrize(
    ("name", "profile"),
    [("a.tif", {"compress": "jpeg"}), ("a.jp2", {"driver": "JP2OpenJPEG"})],
)
def test_a_file_with_loss_does_not_tell_what_its_values_take(tmp_path, asked, name, profile):
    path = tmp_path / name
    rasterio.shutil.copy(written(tmp_path / "plain.tif"), path, **{"driver": "GTiff", **profile})
    assert asked(path) >= 2 * SIDE**2


def test_a_mosaic_is_as_large_as_what_it_names(tmp_path, asked):
    rasterio.shutil.copy(written(tmp_path / "a.tif"), tmp_path / "a.vrt", driver="VRT")
    assert asked(tmp_path / "a.vrt") >= 2 * SIDE**2
