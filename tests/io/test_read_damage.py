"""Damaged files: the lost block is named, or left out where the user allows it."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
from made_images import damage, noise, tiles_of, truncate, write_geotiff
from refusing import refused

from xmatch.errors import InputError, ResourceError
from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters import levels as read_levels

DAMAGED = ReadOptions(allow_damaged=True)
pytestmark = pytest.mark.usefixtures("nothing_on_stderr")


def test_every_truncation_of_a_tiff_is_refused(tmp_path):
    whole = write_geotiff(tmp_path / "a.tif", noise(40, 30), compress="deflate").read_bytes()
    for size in [*range(1, 400, 13), *range(400, len(whole), 211)]:
        (tmp_path / "a.tif").write_bytes(whole[:size])
        refused(tmp_path / "a.tif")


@pytest.mark.parametrize("compress", [None, "deflate", "lzw"])
def test_truncated_data_name_the_block_or_are_left_out(tmp_path, compress):
    pixels = noise(64, 64, bands=2)
    path = write_geotiff(tmp_path / "a.tif", pixels, tiled=True, blockxsize=16, blockysize=16, compress=compress)
    offset, count = tiles_of(path)[-1]
    truncate(path, offset + count // 2)
    message = refused(path)
    assert "block 3 across, 3 down" in message and "band" in message and "--allow-damaged" in message
    with open_source(path, DAMAGED) as source:
        raster = source.read()
        assert any("x 48-64, y 48-64" in note for note in source.header.notes)
    want = np.ones((64, 64), bool)
    want[48:, 48:] = False
    assert np.array_equal(raster.valid, want)
    assert np.array_equal(raster.pixels[:, want], pixels[:, want])


def test_flipped_bits_are_noticed_and_only_their_block_is_lost(tmp_path):
    pixels = noise(64, 48)
    path = write_geotiff(tmp_path / "a.tif", pixels, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    offset, count = tiles_of(path)[6]  # row 1, column 2
    damage(path, offset + count // 2, 20)
    assert "block 2 across, 1 down (x 32-48, y 16-32)" in refused(path)
    with open_source(path, DAMAGED) as source:
        valid = source.read().valid
        small = source.read(size=(32, 24))
        assert source.read(window=(0, 0, 32, 16)).valid.all()
    assert not valid[16:32, 32:48].any() and valid.sum() == 64 * 48 - 256
    assert not small.valid[8:16, 16:24].any() and small.valid.sum() == 32 * 24 - 64
    with open_source(path) as source:
        assert np.array_equal(source.read(window=(0, 0, 32, 48)).pixels, pixels[:, :, :32])


@pytest.mark.parametrize("how", [{"compression": "deflate", "tile": (16, 16)}, {"rowsperstrip": 16}])
def test_damage_in_a_stack_is_found_too(tmp_path, how):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(64, 48)[0], ome=True, **how)
    offset, count = tiles_of(path)[-1]
    if "tile" in how:
        damage(path, offset + count // 2, 20)
    else:
        # Move the last strip past the end, as truncation would; the OME-XML lies behind the pixels.
        data = path.read_bytes()
        at = data.rindex(struct.pack("<Q" if data[2] == 43 else "<I", offset))
        path.write_bytes(data[:at] + struct.pack("<I", len(data) - 5) + data[at + 4 :])
    assert "damaged" in refused(path)
    with open_source(path, DAMAGED) as source:
        valid = source.read().valid
        assert any("damaged" in note for note in source.header.notes)
    assert valid.any() and not valid.all()
    assert not valid[-1, -1] and valid[0, 0]


@pytest.mark.parametrize("driver, name", [("PNG", "a.png"), ("JPEG", "a.jpg")])
def test_a_truncated_picture_keeps_the_rows_before_the_break(tmp_path, driver, name):
    pixels = noise(256, 200, dtype="uint8")
    path = write_geotiff(tmp_path / name, pixels, driver=driver, crs=None, transform=None)
    truncate(path, path.stat().st_size // 2)
    assert "damaged" in refused(path)
    with open_source(path, DAMAGED) as source:
        raster = source.read()
        assert any("damaged" in note for note in source.header.notes)
        assert not source.read(window=(0, 190, 256, 10)).valid.any()
    rows = raster.valid.all(axis=1)
    kept = int(rows.sum())
    assert 50 < kept < 150
    assert rows[:kept].all() and not raster.valid[kept:].any()
    if driver == "PNG":
        assert np.array_equal(raster.pixels[:, :kept], pixels[:, :kept])


def test_damage_nearly_everywhere_is_refused_even_where_damage_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(read_levels, "MAX_LOST_BLOCKS", 50)
    pixels = noise(160, 160)
    path = write_geotiff(tmp_path / "a.tif", pixels, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    first = tiles_of(path)[0][0]
    damage(path, first, path.stat().st_size - first)
    assert "more than 50" in refused(path, DAMAGED)


@pytest.mark.timeout(60)
def test_random_damage_never_surfaces_as_anything_else(tmp_path):
    """Anywhere in the file, in both readers: pixels, InputError or ResourceError, and nothing else."""
    made = {"a.tif": {"metadata": None}, "b.ome.tif": {"ome": True, "tile": (16, 16)}}
    rng = np.random.default_rng(0)
    for name, how in made.items():
        path = tmp_path / name
        tifffile.imwrite(path, noise(40, 30)[0], compression="deflate", **how)
        whole = path.read_bytes()
        for _ in range(250):
            data = bytearray(whole)
            for at in rng.integers(0, min(len(data), 700), rng.integers(1, 4)):
                data[at] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                with open_source(path, ReadOptions(max_memory_bytes=2**26)) as source:
                    source.read()
            except (InputError, ResourceError):
                pass
