"""Pixel types, colours and validity of files that rasterio reads."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import tifffile
from made_images import noise, ramp, write_geotiff
from rasterio.enums import ColorInterp

from xmatch.errors import InputError
from xmatch.io import ReadOptions, open_source

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*TYPES, "complex64", "complex128"])
def test_every_pixel_type_arrives_unchanged(tmp_path, dtype):
    pixels = (ramp(20, 12) % 120).astype(dtype)
    if pixels.dtype.kind == "c":
        pixels = pixels * (1 - 2j)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        assert source.header.dtype == dtype
        raster, small = source.read(), source.read(size=(10, 6))
    assert raster.pixels.dtype == dtype == small.pixels.dtype
    assert np.array_equal(raster.pixels, pixels)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint64"])
def test_the_largest_values_survive_being_averaged(tmp_path, dtype):
    top = np.iinfo(dtype).max
    with open_source(write_geotiff(tmp_path / "a.tif", np.full((1, 8, 8), top, dtype))) as source:
        small = source.read(size=(4, 4)).pixels
    assert small.astype(float) == pytest.approx(float(top))


def test_complex_integers_are_delivered_as_complex_floats(tmp_path):
    pixels = (ramp(20, 12, dtype="float32") - 3j * ramp(20, 12, dtype="float32")).astype(np.complex64)
    path = write_geotiff(tmp_path / "slc.tif", pixels, dtype="complex_int16")
    with open_source(path) as source:
        assert source.header.dtype == "complex64"
        assert np.array_equal(source.read().pixels, pixels)


def test_12_bit_pixels_are_unpacked(tmp_path):
    pixels = noise(33, 20) % 4096
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, nbits=12)) as source:
        assert np.array_equal(source.read().pixels, pixels)


def test_half_precision_is_read(tmp_path):
    pixels = ramp(20, 12).astype(np.float16)
    tifffile.imwrite(tmp_path / "a.tif", pixels[0])
    with open_source(tmp_path / "a.tif") as source:
        assert np.array_equal(source.read().pixels, pixels.astype(np.float32))


def test_one_bit_is_read_as_black_and_white_with_a_note(tmp_path):
    bits = (ramp(24, 10) // 20 % 2).astype(np.uint8)
    with open_source(write_geotiff(tmp_path / "a.tif", bits, nbits=1)) as source:
        assert any("1-bit" in note for note in source.header.notes)
        assert np.array_equal(source.read(native=True).pixels, bits)
        assert np.array_equal(source.read().pixels, np.repeat(bits * 255, 3, axis=0))


PALETTE = {0: (10, 20, 30, 255), 1: (200, 100, 0, 255), 2: (0, 0, 250, 255), 3: (9, 9, 9, 0)}


def test_a_palette_becomes_colours_and_its_transparent_entries_invalid(tmp_path):
    index = (ramp(24, 10) // 7 % 4).astype(np.uint8)
    with open_source(write_geotiff(tmp_path / "a.tif", index, colormap=PALETTE)) as source:
        header, raster = source.header, source.read()
    assert header.bands == ("red", "green", "blue")
    assert {i: header.palette[i] for i in (0, 1, 2)} == {i: PALETTE[i] for i in (0, 1, 2)}
    for i in (0, 1, 2):
        assert (raster.pixels[:, index[0] == i].T == PALETTE[i][:3]).all()


def test_native_palette_indices_are_picked_and_never_mixed(tmp_path):
    index = np.where(ramp(40, 40) > 120, 200, 3).astype(np.uint8)
    with open_source(write_geotiff(tmp_path / "a.tif", index, colormap={3: (1, 2, 3, 255)})) as source:
        assert np.array_equal(source.read(native=True).pixels, index)
        small = source.read(size=(10, 10), native=True).pixels
    assert np.array_equal(small, index[:, 2::4, 2::4])


def test_png_transparency_is_validity(tmp_path):
    rgba = noise(16, 12, bands=4, dtype="uint8")
    rgba[3] = 255
    rgba[3, :5, :7] = 0
    path = write_geotiff(tmp_path / "a.png", rgba, driver="PNG", crs=None, transform=None)
    with open_source(path) as source:
        assert source.header.bands == ("red", "green", "blue")
        raster = source.read()
    assert np.array_equal(raster.pixels, rgba[:3])
    assert np.array_equal(raster.valid, rgba[3] > 0)


def test_alpha_mask_and_nodata_are_merged(tmp_path):
    pixels = noise(20, 16, bands=2, dtype="uint8")
    pixels[1] = 255
    pixels[1, :4] = 0  # alpha
    pixels[0, :, :3] = 77  # nodata
    path = write_geotiff(tmp_path / "a.tif", pixels, alpha="yes", nodata=77)
    with open_source(path) as source:
        assert source.header.bands == ("1",)
        valid = source.read().valid
    want = (pixels[1] > 0) & (pixels[0] != 77)
    assert np.array_equal(valid, want)


@pytest.mark.parametrize("inside", [True, False])
def test_an_internal_mask_and_a_msk_file_count_with_nodata(tmp_path, inside):
    pixels = noise(20, 16, bands=3)
    pixels[:, 3:6, 3:6] = 50_000
    mask = np.full((16, 20), 255, np.uint8)
    mask[10:, 12:] = 0
    path = write_geotiff(tmp_path / "a.tif", pixels, nodata=50_000, mask=mask if inside else None)
    if not inside:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(mask)
        assert (tmp_path / "a.tif.msk").exists()
    want = mask > 0
    want[3:6, 3:6] = False
    with open_source(path) as source:
        assert np.array_equal(source.read().valid, want)


def test_a_mask_goes_along_when_an_overview_is_read(tmp_path):
    mask = np.full((128, 128), 255, np.uint8)
    mask[:, 64:] = 0
    path = write_geotiff(tmp_path / "a.tif", noise(128, 128), mask=mask, overviews=(2, 4))
    with open_source(path) as source:
        valid = source.read(size=(32, 32)).valid
    assert valid[:, :16].all() and not valid[:, 16:].any()


def test_black_is_no_data_only_where_all_colours_are(tmp_path):
    pixels = noise(10, 10, bands=3, dtype="uint8")
    pixels[:2, 0] = 0  # pure blue
    pixels[:, 5] = 0
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, nodata=0)) as source:
        valid = source.read().valid
    assert valid[0].all() and not valid[5].any()


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("int16", -999), ("uint16", 65535), ("float32", -9999.0), ("float64", np.nan), ("complex64", 2)],
)
def test_each_band_has_its_own_holes(tmp_path, dtype, nodata):
    pixels = np.full((3, 10, 10), 7, dtype)
    holes = np.zeros(pixels.shape, bool)
    holes[0, 2, 3] = holes[2, 4:6, 4] = holes[:, 9] = True
    pixels[holes] = nodata
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, nodata=nodata)) as source:
        raster, second, last = source.read(), source.read(bands=[1]), source.read((4, 4, 4, 4), bands=[2, 0])
    assert np.array_equal(raster.band_valid, ~holes)
    assert np.array_equal(raster.valid, ~holes.all(axis=0))
    assert second.band_valid is None and np.array_equal(second.valid, ~holes[1])
    assert np.array_equal(last.band_valid, ~holes[[2, 0], 4:8, 4:8])


def test_bands_may_declare_different_nodata_values(tmp_path):
    pixels = np.full((2, 10, 10), 7, np.int16)
    pixels[0, 0], pixels[1, 1] = -1, -2
    for band, value in enumerate((-1, -2)):
        write_geotiff(tmp_path / f"{band}.tif", pixels[[band]], nodata=value)
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{band + 1}"><NoDataValue>{value}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{band}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for band, value in enumerate((-1, -2))
    )
    path = tmp_path / "a.vrt"
    path.write_text(f'<VRTDataset rasterXSize="10" rasterYSize="10">{bands}</VRTDataset>')
    with open_source(path, ReadOptions(allow_remote=True)) as source:
        assert np.array_equal(source.read().band_valid, np.stack([pixels[0] != -1, pixels[1] != -2]))
        assert source.header.nodata == -1
        assert any("different nodata values (-1, -2)" in note for note in source.header.notes)
    with open_source(path, ReadOptions(allow_remote=True, bands=(2,))) as source:
        assert source.header.nodata == -2 and np.array_equal(source.read().valid, pixels[1] != -2)


def test_masks_of_single_bands_are_kept_apart(tmp_path):
    mask = np.full((2, 10, 10), 255, np.uint8)
    mask[0, 0], mask[1, :, 1] = 0, 0
    path = write_geotiff(tmp_path / "a.tif", noise(10, 10, bands=2, dtype="uint8"))
    write_geotiff(tmp_path / "a.msk.tif", mask, crs=None, transform=None)
    with rasterio.open(tmp_path / "a.msk.tif", "r+") as file:
        file.update_tags(INTERNAL_MASK_FLAGS_1="0", INTERNAL_MASK_FLAGS_2="0")
    (tmp_path / "a.msk.tif").rename(tmp_path / "a.tif.msk")
    with open_source(path) as source:
        assert np.array_equal(source.read().band_valid, mask > 0)


def test_transparency_holds_for_every_band_beside_holes_of_their_own(tmp_path):
    pixels = np.full((3, 10, 10), 255, np.uint8)
    pixels[0, 0], pixels[1, 1], pixels[2, 2] = 0, 0, 0
    path = write_geotiff(tmp_path / "a.tif", pixels, nodata=0, photometric="minisblack")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    with open_source(path) as source:
        assert np.array_equal(source.read().band_valid, (pixels[:2] > 0) & (pixels[2] > 0))


@pytest.mark.parametrize(("dtype", "text"), [("int64", -(2**63)), ("uint64", 2**64 - 1), ("int64", 2**53 + 1)])
def test_a_nodata_value_of_64_bits_is_compared_exactly(tmp_path, dtype, text):
    pixels = np.full((10, 10), text, dtype)
    pixels[3:] = np.array(text, dtype) + np.array(1, dtype) if text < 0 else np.array(text - 1, dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, str(text), True)])
    with open_source(tmp_path / "a.tif") as source:
        valid = source.read().valid
    assert valid[3:].all() and not valid[:3].any()


def test_nodata_that_cannot_occur_masks_nothing_and_is_told(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", noise(10, 10, dtype="uint8"))
    with open_source(path, ReadOptions(nodata=-9999)) as source:
        assert any("-9999" in note for note in source.header.notes)
        assert source.read().valid.all()
        assert source.read(size=(5, 5)).valid.all()


def test_the_users_nodata_replaces_the_files(tmp_path):
    pixels = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    path = write_geotiff(tmp_path / "a.tif", pixels, nodata=0)
    with open_source(path) as source:
        assert any("nodata is 0" in note for note in source.header.notes)
    with open_source(path, ReadOptions(nodata=42)) as source:
        assert np.argwhere(~source.read().valid).tolist() == [[4, 2]]
    with open_source(path, ReadOptions(nodata=float("nan"))) as source:
        assert source.read().valid.all()


def test_an_image_without_data_is_read_as_entirely_invalid(tmp_path):
    pixels = np.full((1, 10, 10), np.nan, np.float32)
    with open_source(write_geotiff(tmp_path / "a.tif", pixels)) as source:
        assert not source.read().valid.any()
        assert not source.read(size=(3, 3)).valid.any()


def test_cmyk_is_converted_and_its_black_is_not_taken_for_alpha(tmp_path):
    inks = np.zeros((12, 16, 4), np.uint8)
    inks[:, :8] = (0, 255, 255, 0)  # red
    inks[:, 8:] = (0, 0, 0, 255)  # black
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    with open_source(tmp_path / "a.tif") as source:
        raster = source.read()
    assert raster.bands == ("red", "green", "blue") and raster.valid.all()
    assert raster.pixels[:, 3, 3].tolist() == [255, 0, 0]
    assert raster.pixels[:, 3, 12].tolist() == [0, 0, 0]


@pytest.mark.parametrize("photometric, bands", [("separated", 4), ("cielab", 3)])
def test_colours_that_cannot_be_converted_are_refused(tmp_path, photometric, bands):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((12, 16, bands), np.uint16), photometric=photometric)
    with pytest.raises(InputError, match="convert it to RGB"):
        open_source(tmp_path / "a.tif")


def test_ycbcr_jpeg_arrives_as_rgb(tmp_path):
    pixels = np.zeros((3, 32, 32), np.uint8)
    pixels[0] = 220
    path = write_geotiff(tmp_path / "a.tif", pixels, compress="jpeg", photometric="ycbcr", tiled=True,
                         blockxsize=16, blockysize=16)  # fmt: skip
    with open_source(path) as source:
        raster = source.read()
    assert np.abs(raster.pixels.astype(int) - pixels).max() <= 3


def test_bands_carry_their_descriptions(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", noise(10, 10, bands=3))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("B04", None, "B08")
    with open_source(path) as source:
        assert source.header.bands == ("B04", "2", "B08")
        assert source.header.colours == ("gray", "undefined", "undefined")


def test_two_hundred_bands_can_be_picked_from(tmp_path):
    pixels = noise(8, 8, bands=200, dtype="uint8")
    with open_source(write_geotiff(tmp_path / "a.tif", pixels, photometric="minisblack")) as source:
        assert len(source.header.bands) == 200
        assert np.array_equal(source.read(bands=(150,)).pixels, pixels[150:151])


@pytest.mark.parametrize(("prefix", "told"), [("", " --nodata nan"), ("moving-", " --moving-nodata nan")])
def test_notes_name_the_option_of_the_file_that_they_are_about(tmp_path, prefix, told):
    path = write_geotiff(tmp_path / "zero.tif", np.ones((1, 8, 8), np.uint8), nodata=0)
    with open_source(path, ReadOptions(option_prefix=prefix)) as source:
        assert any(told in note for note in source.header.notes)


@pytest.mark.parametrize(("prefix", "told"), [("", "--band"), ("moving-", "--moving-band")])
def test_hints_name_the_option_of_the_file_that_they_are_about(tmp_path, prefix, told):
    path = write_geotiff(tmp_path / "one.tif", np.ones((1, 8, 8), np.uint8))
    with pytest.raises(InputError) as refused:
        open_source(path, ReadOptions(bands=(7,), option_prefix=prefix))
    assert refused.value.hint == told
