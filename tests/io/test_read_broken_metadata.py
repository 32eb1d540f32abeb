"""What is not needed to read the pixels does not keep them from being read: it is left out, with a note."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from made_images import UTM, noise, ramp, write_geotiff
from old_jpeg import old_jpeg
from rasterio.control import GroundControlPoint
from refusing import refused

from xmatch.errors import InputError, ResourceError
from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters.guard import decoding

pytestmark = pytest.mark.usefixtures("nothing_on_stderr")


def replaced(path, old: bytes, new: bytes):
    data = path.read_bytes()
    assert len(old) == len(new) and old in data
    path.write_bytes(data.replace(old, new))
    return path


def retagged(path, tag: int, new_tag: int | None = None, value: int | None = None):
    """Rename a tag of the first directory, or give it another value."""
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<H", tag), struct.unpack_from("<I", data, 4)[0])
    if new_tag is not None:
        struct.pack_into("<H", data, at, new_tag)
    if value is not None:
        struct.pack_into("<H", data, at + 8, value)
    path.write_bytes(data)
    return path


def test_incomplete_rpcs(tmp_path):
    path, told = tmp_path / "a.tif", '<GDALMetadata><Item name="LINE_OFF" domain="RPC">1</Item></GDALMetadata>'
    tifffile.imwrite(path, ramp(20, 10)[0], metadata=None, extratags=[(42112, 2, len(told), told, True)])
    with open_source(path) as source:
        assert any("RPC" in note for note in source.header.notes)
        assert np.array_equal(source.read().pixels, ramp(20, 10))


def test_a_damaged_geokey(tmp_path):
    path = retagged(write_geotiff(tmp_path / "a.tif", ramp(20, 10)), 34737, new_tag=34738)
    with open_source(path) as source:
        assert np.array_equal(source.read().pixels, ramp(20, 10))


def test_control_points_that_are_no_numbers_are_left_out(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", ramp(20, 10), crs=None, transform=None)
    corners = [GroundControlPoint(y, x, 500_000 + 10 * x, 5e6 - 10 * y) for x in (0, 20) for y in (0, 10)]
    with rasterio.open(path, "r+") as file:
        file.gcps = corners, rasterio.crs.CRS.from_string(UTM)
    replaced(path, struct.pack("<d", 5e6 - 100), struct.pack("<d", float("nan")))
    with open_source(path) as source:
        assert source.header.georef is None
        assert any("2 of its 4 ground control points" in note for note in source.header.notes)


def test_a_palette_without_a_table_is_grey(tmp_path):
    path, item = tmp_path / "a.tif", '<Item name="COLORINTERP" sample="0" role="colorinterp">Palette</Item>'
    told = f"<GDALMetadata>{item}</GDALMetadata>"
    tifffile.imwrite(path, noise(20, 10)[0], metadata=None, extratags=[(42112, 2, len(told), told, True)])
    with open_source(path) as source:
        assert np.array_equal(source.read().pixels, noise(20, 10))
        assert source.header.palette is None and any("no colour table" in note for note in source.header.notes)


@pytest.mark.parametrize("size", ["INF", "nan", "-1.", "1e9999", "0.0", "abc"])
def test_a_pixel_size_that_is_none(tmp_path, size):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(20, 10)[0], ome=True, metadata={"PhysicalSizeX": "@" * len(size), "PhysicalSizeY": 1})
    with open_source(replaced(path, b"@" * len(size), size.encode())) as source:
        assert source.header.spacing_um is None
        assert np.array_equal(source.read().pixels, noise(20, 10))


@pytest.mark.timeout(10)
def test_planes_that_an_xml_lists_by_the_million_are_refused_at_once(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(20, 10)[0], ome=True, metadata={"Name": "@" * 20})
    data = path.read_bytes()
    count = b'PlaneCount="1"'
    more = b'PlaneCount="99999999"'
    assert count in data
    # The name gives up the bytes that the count takes.
    data = data.replace(count, more).replace(b"@" * 20, b"@" * (20 - len(more) + len(count)))
    path.write_bytes(data)
    assert "planes" in refused(path)


def test_a_pixel_of_too_many_samples_is_refused(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", ramp(20, 10))
    assert "60000 samples" in refused(retagged(path, 277, value=60_000))


def test_a_wide_image_that_its_file_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=130_000_000, height=16, count=1, dtype="uint8", SPARSE_OK=True,
                       crs=UTM, compress="deflate", tiled=True, blockxsize=2**20, blockysize=16):  # fmt: skip
        pass
    assert "cannot hold" in refused(path, kind=ResourceError)


def test_lossless_jpeg_and_12_bits_in_tiff(tmp_path):
    pixels = ramp(40, 30) % 4096
    for lossless, bits, error in ((True, 16, 0), (False, 12, 12)):
        path = tmp_path / "a.tif"
        stream = imagecodecs.jpeg_encode(pixels[0], lossless=lossless, bitspersample=bits, level=98)
        tags = {256: 40, 257: 30, 258: bits, 259: 7, 262: 1, 273: 8, 277: 1, 278: 30, 279: len(stream)}
        body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags.items())
        stream += bytes(len(stream) % 2)
        path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(stream)) + stream + body + bytes(4))
        with open_source(path) as source:
            found = source.read().pixels
        assert found.dtype == np.uint16 and np.abs(found.astype(int) - pixels).max() <= error


@pytest.mark.parametrize(("photometric", "offset"), [("cielab", 0), ("icclab", 128)])
def test_8_bit_lab_with_alpha_becomes_rgb(tmp_path, photometric, offset):
    # White, middle grey, and the red, green and blue of sRGB, by CIE's formulas under D50.
    lab = np.array([[100, 0, 0], [53.39, 0, 0], [54.29, 80.81, 69.89], [87.82, -79.27, 80.99], [29.57, 68.29, -112.03]])
    want = np.array([[255, 255, 255], [127, 127, 127], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    coded = np.column_stack([lab * (2.55, 1, 1), [255, 255, 255, 255, 0]]) + (0, offset, offset, 0)
    path = tmp_path / "a.tif"
    pixels = np.rint(coded).astype(np.int16).astype(np.uint8)[None]
    how = {"photometric": photometric, "extrasamples": ["unassalpha"], "planarconfig": "contig"}
    tifffile.imwrite(path, pixels, metadata=None, **how)
    with open_source(path) as source:
        assert source.header.bands == ("red", "green", "blue") and any("Lab" in note for note in source.header.notes)
        found = source.read()
        assert np.abs(found.pixels[:, 0].T.astype(int) - want).max() <= 12  # dark channels magnify rounding
        assert found.valid.tolist() == [[True] * 4 + [False]]
        assert np.array_equal(source.read(bands=(2,)).pixels[0], found.pixels[2])


def test_lab_of_no_data_is_empty_and_a_neutral_grey_is_not(tmp_path):
    """a* and b* of a grey are 0, as no-data is."""
    lab = np.zeros((16, 16, 4), np.uint8)
    lab[4:, :, 0], lab[..., 3] = 136, 255
    tifffile.imwrite(tmp_path / "a.tif", lab, photometric="cielab", extrasamples=["unassalpha"], planarconfig="contig")
    with open_source(tmp_path / "a.tif", ReadOptions(nodata=0.0)) as source:
        found = source.read(bands=(1, 2))
        assert found.band_valid is None and not found.valid[:4].any() and found.valid[4:].all()
        assert source.header.nodata is None, "0 is a value of red, green and blue"


@pytest.mark.parametrize("pages", [1, 2])
def test_old_jpeg_in_tiff(tmp_path, pages):
    images = [ramp(40, 30, dtype="uint8")[0] // 2 + 20 * k for k in range(pages)]
    (tmp_path / "a.tif").write_bytes(old_jpeg(images))
    with open_source(tmp_path / "a.tif", ReadOptions(page=pages - 1)) as source:
        assert np.abs(source.read().pixels[0].astype(int) - images[-1]).mean() < 12


def test_an_error_of_a_library_is_the_files_fault_and_one_of_ours_is_a_bug():
    with pytest.raises(InputError, match="a.tif"), decoding("a.tif"):
        struct.unpack("<I", b"12")  # struct.error: what decoders raise, wherever
    with pytest.raises(InputError), decoding("a.tif"):
        np.linalg.solve(np.zeros((2, 2)), np.zeros(2))  # raised in a library
    for error in (AttributeError, TypeError, ValueError, KeyError):
        with pytest.raises(error), decoding("a.tif"):
            _fail(error)


def _fail(error: type[Exception]) -> None:
    """As a line of xmatch would: the test has no name of its own there."""
    exec("raise error", {"__name__": "xmatch.io.some_module", "error": error})
