"""Stacks, pyramids and spacings of TIFFs that tifffile reads."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from made_images import noise, ramp, write_geotiff
from rasterio.transform import Affine

from xmatch.errors import InputError
from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters.planes import PlaneLevel

STACK = noise(60, 40, bands=10).reshape(5, 2, 40, 60)
"""(Z, C, Y, X)"""
METADATA = {
    "axes": "ZCYX",
    "PhysicalSizeX": 0.5,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 250,
    "PhysicalSizeYUnit": "nm",
    "Channel": {"Name": ["DAPI", "FITC"]},
}


def write_pyramid(path, pixels=STACK, metadata=METADATA, **how):
    """OME-TIFF with two coarser levels in SubIFDs; these hold other values, to be told apart."""
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(pixels, subifds=2, metadata=metadata, **how)
        for k, step in enumerate((2, 4), 1):
            file.write(np.full_like(pixels[..., ::step, ::step], k), subfiletype=1, **how)
    return path


@pytest.mark.parametrize("how", [{}, {"tile": (16, 16), "compression": "deflate"}, {"compression": "lzw"}])
def test_an_ome_stack_is_read_page_by_page_with_its_channels(tmp_path, how):
    path = write_pyramid(tmp_path / "a.ome.tif", **how)
    with open_source(path) as source:
        header = source.header
        assert (header.format, header.dtype, header.medical) == ("OME-TIFF", "uint16", True)
        assert header.bands == ("DAPI", "FITC")
        assert header.spacing_um == pytest.approx((0.5, 0.25))
        assert any("page 0 of 5" in note for note in header.notes)
        assert np.array_equal(source.read().pixels, STACK[0])
    with open_source(path, ReadOptions(page=3, bands=(2,))) as source:
        assert not any("page" in note for note in source.header.notes)
        window = source.read(window=(7, 9, 30, 20))
    assert np.array_equal(window.pixels, STACK[3, 1:, 9:29, 7:37])


def test_a_reduced_read_comes_from_the_pyramid_and_scales_the_spacing(tmp_path):
    with open_source(write_pyramid(tmp_path / "a.ome.tif", tile=(16, 16))) as source:
        half, quarter = source.read(size=(30, 20)), source.read(size=(15, 10))
    assert (half.pixels == 1).all() and (quarter.pixels == 2).all()
    assert half.spacing_um == pytest.approx((1.0, 0.5))


def test_only_the_tiles_that_a_window_touches_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(512, 512)[0], tile=(64, 64), compression="deflate", ome=True)
    decoded = []
    segment = PlaneLevel._segment
    monkeypatch.setattr(PlaneLevel, "_segment", lambda self, page, i: decoded.append(i) or segment(self, page, i))
    with open_source(path) as source:
        source.read(window=(70, 130, 60, 50))
    assert sorted(decoded) == [2 * 8 + 1, 2 * 8 + 2]


def test_a_window_of_a_plain_strip_reads_its_rows_only(tmp_path, monkeypatch):
    path = tmp_path / "a.ome.tif"
    pixels = noise(100, 400)
    tifffile.imwrite(path, pixels[0], rowsperstrip=400, ome=True)
    counts = []
    read = PlaneLevel._bytes
    monkeypatch.setattr(PlaneLevel, "_bytes", lambda self, at, n: counts.append(n) or read(self, at, n))
    with open_source(path) as source:
        raster = source.read(window=(10, 300, 50, 20))
    assert np.array_equal(raster.pixels, pixels[:, 300:320, 10:60])
    assert sum(counts) == 20 * 100 * 2


def test_an_imagej_hyperstack_with_one_directory_is_read(tmp_path):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZCYX", "unit": "um"}
    tifffile.imwrite(path, STACK, imagej=True, metadata=metadata, resolution=(2, 4), contiguous=True)
    with open_source(path, ReadOptions(page=4)) as source:
        assert source.header.format == "ImageJ TIFF"
        assert source.header.spacing_um == pytest.approx((0.5, 0.25))
        assert np.array_equal(source.read().pixels, STACK[4])


def test_plain_pages_are_counted_from_0(tmp_path):
    pixels = noise(20, 12, bands=7)
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, photometric="minisblack")
    with open_source(tmp_path / "a.tif") as source:
        assert any("page 0 of 7" in note for note in source.header.notes)
        assert np.array_equal(source.read().pixels, pixels[:1])
    with open_source(tmp_path / "a.tif", ReadOptions(page=6)) as source:
        assert np.array_equal(source.read().pixels, pixels[6:])
    with pytest.raises(InputError, match="0 to 6"):
        open_source(tmp_path / "a.tif", ReadOptions(page=7))


def test_another_series_can_be_taken(tmp_path):
    first, second = noise(20, 12), noise(30, 14, seed=1)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(first[0], metadata={"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0})
        file.write(second[0], metadata={"PhysicalSizeX": 3.0, "PhysicalSizeY": 3.0})
    with open_source(tmp_path / "a.ome.tif") as source:
        assert any("series 0 of 2" in note for note in source.header.notes)
        assert np.array_equal(source.read().pixels, first)
    with open_source(tmp_path / "a.ome.tif", ReadOptions(series=1)) as source:
        assert source.header.spacing_um == pytest.approx((3.0, 3.0))
        assert np.array_equal(source.read().pixels, second)
    with pytest.raises(InputError, match="0 to 1"):
        open_source(tmp_path / "a.ome.tif", ReadOptions(series=2))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_stained_tissue_is_rgb_and_its_alpha_is_validity(tmp_path, planar):
    rgba = noise(32, 48, bands=4, dtype="uint8")
    rgba[3] = 255
    rgba[3, :9, :11] = 0
    pixels = np.moveaxis(rgba, 0, -1) if planar == "contig" else rgba
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, photometric="rgb", planarconfig=planar, extrasamples=["unassalpha"],
        tile=(16, 16), compression="deflate", ome=True,
    )  # fmt: skip
    with open_source(tmp_path / "a.ome.tif") as source:
        raster = source.read()
    assert raster.bands == ("red", "green", "blue")
    assert np.array_equal(raster.pixels, rgba[:3])
    assert np.array_equal(raster.valid, rgba[3] > 0)


def test_jpeg_tiles_of_a_slide_arrive_as_rgb(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8) + np.array([200, 30, 90], np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(pixels, tile=(32, 32), compression="jpeg", photometric="rgb")
    with open_source(tmp_path / "a.ome.tif") as source:
        raster = source.read()
    assert np.abs(raster.pixels.astype(int) - np.moveaxis(pixels, -1, 0)).max() <= 4


@pytest.mark.parametrize("per_unit, unit, want", [(4000, "CENTIMETER", 2.5), (300, "INCH", 25400 / 300)])
def test_resolution_tags_of_a_plain_tiff_give_the_spacing(tmp_path, per_unit, unit, want):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 12)[0], resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    with open_source(path) as source:
        assert source.header.spacing_um == pytest.approx((want, want))
        assert source.header.medical == (want < 20)


@pytest.mark.parametrize("per_unit, unit", [(4000, "NONE"), (1, "INCH"), (0, "CENTIMETER")])
def test_resolution_tags_without_meaning_are_left_alone(tmp_path, per_unit, unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 12)[0], resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    with open_source(path) as source:
        assert source.header.spacing_um is None
        assert not source.header.medical


def test_a_palette_and_bits_in_a_stack_become_colours(tmp_path):
    index = (noise(20, 12, bands=3) % 4).astype(np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, :4] = [[0, 65535, 0, 0], [0, 0, 65535, 0], [0, 0, 0, 65535]]
    tifffile.imwrite(tmp_path / "p.tif", index, photometric="palette", colormap=colours, metadata=None)
    with open_source(tmp_path / "p.tif") as source:
        assert source.header.palette[2] == (0, 255, 0, 255)
        assert np.array_equal(source.read(native=True).pixels, index[:1])
        assert np.array_equal(source.read().pixels, (colours[:, index[0]] >> 8))
    bits = index > 1
    tifffile.imwrite(tmp_path / "b.tif", bits, photometric="minisblack", metadata=None)
    with open_source(tmp_path / "b.tif") as source:
        assert np.array_equal(source.read(native=True).pixels, bits[:1].astype(np.uint8))


def test_big_endian_and_float_planes_are_delivered_in_native_order(tmp_path):
    pixels = ramp(20, 12, bands=4, dtype="float32")
    pixels[0, 3, 3] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=">", photometric="minisblack", metadata=None)
    with open_source(tmp_path / "a.tif") as source:
        raster = source.read()
    assert raster.pixels.dtype.isnative
    assert np.array_equal(raster.pixels, pixels[:1], equal_nan=True)
    assert np.argwhere(~raster.valid).tolist() == [[3, 3]]


def test_a_georeferenced_file_with_many_pages_stays_with_gdal(tmp_path):
    first, second = ramp(20, 12), noise(20, 12)
    path = write_geotiff(tmp_path / "a.tif", first)
    write_geotiff(path, second, transform=Affine(10, 0, 500_050, 0, -10, 5_299_950), APPEND_SUBDATASET="YES")
    with open_source(path) as source:
        assert source.header.format == "GTiff" and source.header.georef is not None
        assert np.array_equal(source.read().pixels, first)
    with open_source(path, ReadOptions(page=1)) as source:
        assert np.array_equal(source.read().pixels, second)
        assert source.header.georef.affine[2] == pytest.approx(500_050)


def test_a_plane_in_another_file_of_the_set_is_refused(tmp_path):
    path = write_pyramid(tmp_path / "a.ome.tif")
    text = path.read_bytes().replace(b'SizeZ="5"', b'SizeZ="9"')
    path.write_bytes(text)
    with pytest.raises(InputError, match="plane"):
        open_source(path, ReadOptions(page=8))


def test_an_ome_xml_that_claims_a_billion_planes_is_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(20, 12)[0], ome=True)
    xml = tifffile.tiffcomment(path).replace('SizeT="1"', 'SizeT="1000000000"')
    tifffile.tiffcomment(path, xml.encode())
    with pytest.raises(InputError, match="planes"):
        open_source(path)


def test_an_aperio_slide_tells_its_spacing_in_its_description(tmp_path):
    pixels = noise(64, 48, bands=3, dtype="uint8")
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        for image in (pixels, pixels[:, ::4, ::4]):
            file.write(np.moveaxis(image, 0, -1), tile=(16, 16), photometric="rgb", metadata=None,
                       description="Aperio Image Library v1\n64x48 |AppMag = 20|MPP = 0.4990")  # fmt: skip
    with open_source(tmp_path / "a.svs") as source:
        assert source.header.spacing_um == pytest.approx((0.499, 0.499))
        assert source.header.medical
        assert np.array_equal(source.read().pixels, pixels)
