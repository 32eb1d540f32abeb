"""Levels of a pyramid and the layout of a COG, against what GDAL makes and promises."""

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from memory_source import MemorySource

from xmatch.geometry import translation
from xmatch.io.writing import cog
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.pyramid import Block, write_tiles
from xmatch.raster import Georef, Grid
from xmatch.resampling.registered_file import write_registered

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
UTM = Georef(rasterio.crs.CRS.from_epsg(32632).to_wkt(), (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0))


def scene(width, height, bands=1, dtype="uint16"):
    rng = np.random.default_rng(0)
    hills = [cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 5) * 3000 for _ in range(bands)]
    return (1000 + np.stack(hills)).clip(1, 250 if dtype == "uint8" else 9000).astype(dtype)


def written(path, pixels, valid=None, **options):
    source = MemorySource(pixels, valid, nodata=options.pop("nodata", None))
    height, width = source.pixels.shape[1:]
    write_registered(path, source, translation(0, 0), Grid(width, height, UTM), resampling="bilinear", **options)
    return path


def levels(path):
    """Masked arrays of all overviews."""
    with rasterio.open(path) as file:
        count = len(file.overviews(1))
    found = []
    for level in range(count):
        with rasterio.open(path, overview_level=level) as file:
            found.append(file.read(masked=True))
    return found


@pytest.mark.parametrize("size", [(1301, 1067), (1025, 600), (1028, 1030)])
@pytest.mark.parametrize(("bands", "dtype", "nodata"), [(1, "uint16", None), (3, "uint8", 0.0), (1, "int16", -5.0)])
def test_overviews_are_those_of_gdal_where_sides_are_odd_and_data_has_holes(tmp_path, size, bands, dtype, nodata):
    """Its means lie where readers take them to lie: a side of 1301 px halved is 651 px of 1.998 px."""
    pixels = scene(*size, bands, dtype)
    holes = cv2.GaussianBlur(np.random.default_rng(1).normal(size=size[::-1]), (0, 0), 9) > -0.03
    ours, theirs = levels(written(tmp_path / "a.tif", pixels, holes, nodata=nodata, threads=2)), tmp_path / "b.tif"
    profile = {"driver": "GTiff", "width": size[0], "height": size[1], "count": bands, "dtype": dtype, "nodata": nodata}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(theirs, "w", **profile) as file:
            file.write(np.where(holes, pixels, 0 if nodata is None else nodata).astype(dtype))
            if nodata is None:
                file.write_mask(holes)
        with rasterio.open(theirs, "r+") as file:
            file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    assert len(ours) == 2
    for our, their in zip(ours, levels(theirs), strict=True):
        assert np.array_equal(np.ma.getmaskarray(our), np.ma.getmaskarray(their))
        off = np.abs(our.astype(int) - their.astype(int)).compressed()
        # Halves are rounded to either side where weights are no whole numbers.
        assert off.max() <= 1 and off.mean() < 0.01


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cog_keeps_what_its_structural_metadata_promise(tmp_path, monkeypatch, big, masked):
    if big:
        monkeypatch.setattr(cog, "_LARGEST_TIFF", 1000)
    holes = np.ones((1067, 1301), bool)
    holes[300:700, 200:900] = False
    path = written(tmp_path / "a.tif", scene(1301, 1067), holes, nodata=None if masked else 7.0)
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff == big and len(tiff.pages) == (6 if masked else 3)
        first_tile = min(min(page.dataoffsets) for page in tiff.pages)
        assert all(page.offset < first_tile for page in tiff.pages)
        images = [page for page in tiff.pages if not page.subfiletype & 4]
        # From coarse to fine, and row by row.
        starts = [offset for page in images[::-1] for offset in page.dataoffsets]
        assert starts == sorted(starts)
        for page in tiff.pages:
            for offset, nbytes in zip(page.dataoffsets, page.databytecounts, strict=True):
                end = offset + nbytes
                assert int.from_bytes(data[offset - 4 : offset], "little") == nbytes
                assert data[end : end + 4] == data[end - 4 : end]
        if masked:
            masks = [page for page in tiff.pages if page.subfiletype & 4]
            for image, mask in zip(images, masks, strict=True):
                behind = np.array(image.dataoffsets) + image.databytecounts + 8
                assert np.array_equal(behind, mask.dataoffsets)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert np.array_equal(file.dataset_mask() > 0, holes)
        assert np.array_equal(file.read()[:, holes], scene(1301, 1067)[:, holes])


@pytest.mark.parametrize(
    ("size", "in_tiles", "patches"),
    [((2100, 1100), True, True), ((1028, 1030), True, True), ((2101, 600), True, False), ((2100, 1100), False, False)],
)
def test_patches_do_not_show_in_a_single_byte(tmp_path, monkeypatch, size, in_tiles, patches):
    """A file of tiles is gone through by squares of several, where levels have even sides; others row by row."""
    pixels, files, reads = scene(*size), [], []
    for levels, name in ((0, "rows"), (1, "patches")):
        monkeypatch.setattr("xmatch.resampling.registered_file.PATCH_LEVELS", levels)
        source = MemorySource(pixels, in_tiles=in_tiles)
        write_registered(tmp_path / name, source, translation(0, 0), Grid(*size, UTM), resampling="bilinear")
        files.append((tmp_path / name).read_bytes())
        reads.append(source.reads)
    assert files[0] == files[1]
    assert (reads[0] != reads[1]) == patches


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "complex64"])
def test_threads_and_the_shape_of_blocks_do_not_show_in_a_single_byte(tmp_path, dtype):
    pixels = scene(700, 600, 2).astype(dtype)
    layout = RasterLayout(Grid(700, 600), pixels.dtype, ("1", "2"), averaged=dtype != "complex64")
    found = []
    for threads, side in ((1, 512), (1, 128), (3, 256), (2, 700)):
        blocks = []
        for tile in ((y, x) for y in range(0, 600, 512) for x in range(0, 700, 512)):
            if side > 512:
                continue
            for y in range(tile[0], min(tile[0] + 512, 600), side):
                for x in range(tile[1], min(tile[1] + 512, 700), side):
                    right, bottom = min(x + side, tile[1] + 512, 700), min(y + side, tile[0] + 512, 600)
                    part = pixels[:, y:bottom, x:right]
                    blocks.append(Block(x, y, part, np.ones((1, *part.shape[1:]), bool)))
        if side > 512:
            blocks = [Block(0, 0, pixels, np.ones((1, 600, 700), bool))]
        path = tmp_path / "tiles"
        told = write_tiles(path, layout, blocks, planes=1, masked=True, threads=threads)
        data = path.read_bytes()
        found.append({key: data[at : at + count] for key, (at, count, _) in told.segments.items()})
    assert all(other == found[0] for other in found[1:])
