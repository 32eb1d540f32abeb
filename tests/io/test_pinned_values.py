"""Numbers that nobody would miss until a result is wrong by them: units, levels of pyramids, what is on the disk."""

from __future__ import annotations

import os

import numpy as np
import pytest
import rasterio
import tifffile
from memory_source import MemorySource

from xmatch.geometry import translation
from xmatch.io import open_source
from xmatch.io.writing.atomic import atomic_writes
from xmatch.raster import Georef, Grid
from xmatch.resampling.registered_file import write_registered

UTM = Georef(rasterio.crs.CRS.from_epsg(32632).to_wkt(), (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0))
STILL = translation(0, 0)
STRIPES = np.tile(np.array([[0, 1000], [2000, 4000]], np.uint16), (520, 530))
"""(1040, 1060): every second row and column alike, so that the mean of each 2 x 2 px is 1750 and no px is."""


@pytest.mark.parametrize(
    ("unit", "value", "um"),
    [("mm", 0.25, 250.0), ("µm", 0.25, 0.25), ("nm", 250, 0.25), ("cm", 0.001, 10.0), ("inch", 0.01, 254.0)],
)
def test_pixel_sizes_of_ome_are_read_in_micrometres_whatever_they_are_written_in(tmp_path, unit, value, um):
    facts = {f"PhysicalSize{axis}{what}": said for axis in "XY" for what, said in (("", value), ("Unit", unit))}
    tifffile.imwrite(tmp_path / "a.ome.tif", STRIPES[:40, :60], metadata={"axes": "YX", **facts})
    with open_source(tmp_path / "a.ome.tif") as source:
        assert source.header.spacing_um == pytest.approx((um, um))


@pytest.mark.parametrize(("unit", "per_unit", "um"), [("INCH", 25400, 1.0), ("CENTIMETER", 20000, 0.5)])
def test_pixels_per_inch_and_per_centimetre_are_micrometres(tmp_path, unit, per_unit, um):
    tifffile.imwrite(tmp_path / "a.tif", STRIPES[:40, :60], resolution=(per_unit, per_unit / 2), resolutionunit=unit)
    with open_source(tmp_path / "a.tif") as source:
        assert source.header.spacing_um == pytest.approx((um, 2 * um))


def test_overviews_of_a_cog_are_means(tmp_path):
    write_registered(tmp_path / "a.tif", MemorySource(STRIPES), STILL, Grid(1060, 1040, UTM), resampling="cubic")
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as half:
        assert (half.read()[0, 8:-8, 8:-8] == 1750).all()


@pytest.fixture
def pyramid(tmp_path):
    slide = MemorySource(STRIPES, spacing_um=(0.5, 0.25), medical=True)
    grid = Grid(1060, 1040, spacing_um=(0.5, 0.25), medical=True)
    write_registered(tmp_path / "a.ome.tif", slide, STILL, grid, resampling="cubic")
    return tmp_path / "a.ome.tif"


def test_levels_of_an_ome_pyramid_are_means(pyramid):
    with tifffile.TiffFile(pyramid) as file:
        half = file.series[0].levels[1].asarray()
    assert half.shape[-2:] == (520, 530) and (half[..., 8:-8, 8:-8] == 1750).all()


def test_every_level_of_an_ome_pyramid_states_its_own_pixel_size(pyramid):
    with tifffile.TiffFile(pyramid) as file:
        pages = [level.keyframe for level in file.series[0].levels]
        assert len(pages) > 1
        for number, page in enumerate(pages):
            per_cm = [n / d for n, d in (page.tags["XResolution"].value, page.tags["YResolution"].value)]
            assert per_cm == pytest.approx([20000 / 2**number, 40000 / 2**number])


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    told = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (told.append(os.fstat(file).st_ino), flush(file))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (told.append("renamed"), rename(a, b))[1])
    names = [tmp_path / "a", tmp_path / "b"]
    with atomic_writes(names) as temporary:
        for path in temporary.values():
            path.write_text("whole")
        inodes = [path.stat().st_ino for path in temporary.values()]
    assert told[:4] == [*inodes, "renamed", "renamed"]
    assert tmp_path.stat().st_ino in told[4:]  # the names are on the disk as well
