"""Palettes of 8 and 16 bits, and grey images whose 0 is white: read, and kept by what is written."""

import numpy as np
import pytest
import rasterio
import tifffile
from made_images import write_geotiff

from xmatch.geometry import translation
from xmatch.io import open_source
from xmatch.raster import Grid
from xmatch.resampling.registered_file import write_registered

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def indices(top: int, pages: int = 1) -> np.ndarray:
    """(pages, 30, 40) from 0 to `top`."""
    ramp = np.linspace(0, top, pages * 30 * 40).astype(np.uint8 if top < 256 else np.uint16)
    return ramp.reshape(pages, 30, 40)


def colours(bits: int) -> np.ndarray:
    """(3, 2 ** bits) uint16, another colour for each index."""
    index = np.arange(2**bits)
    return (np.stack([index % 256, index * 7 % 256, index // 256]) * 257).astype(np.uint16)


def moved(source, path, **grid):
    """What is written of a source moved by (3, 2) px, on a grid of its size."""
    header = source.header
    return write_registered(path, source, translation(3, 2), Grid(header.width, header.height, **grid))


def looks(path, page: int = 0) -> np.ndarray:
    """(3, h, w) uint8 as any program that knows TIFF shows it."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[page]
        return np.take(page.colormap >> 8, page.asarray(), axis=1)


@pytest.mark.parametrize("medical", [False, True], ids=["COG", "OME"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_any_size_keeps_indices_and_colours(tmp_path, bits, medical):
    index, table = indices(2**bits - 1), colours(bits)
    unit = {"resolution": (2000, 2000), "resolutionunit": "CENTIMETER"} if medical else {}
    tifffile.imwrite(tmp_path / "in.tif", index[0], photometric="palette", colormap=table, metadata=None, **unit)
    with open_source(tmp_path / "in.tif") as source:
        assert np.array_equal(source.read(native=True).pixels, index)
        assert np.array_equal(source.read().pixels, looks(tmp_path / "in.tif"))
        facts = moved(source, tmp_path / "out.tif", spacing_um=source.header.spacing_um, medical=medical)
    assert facts["format"] == ("OME-TIFF" if medical else "COG") and facts["dtype"] == f"uint{bits}"
    with open_source(tmp_path / "out.tif") as result:
        assert np.array_equal(result.read(native=True).pixels[:, 2:, 3:], index[:, :-2, :-3])
        assert result.header.palette == source.header.palette
    assert np.array_equal(looks(tmp_path / "out.tif")[:, 2:, 3:], looks(tmp_path / "in.tif")[:, :-2, :-3])


@pytest.mark.parametrize(
    ("bits", "pages"), [(1, 1), (8, 1), (10, 1), (12, 1), (15, 1), (16, 1), (1, 2), (8, 2), (16, 2)]
)
def test_white_stays_white_and_no_stored_value_changes(tmp_path, bits, pages):
    index = indices(2**bits - 1, pages)
    if pages == 1:
        options = {"nbits": bits} if bits not in (8, 16) else {}
        write_geotiff(tmp_path / "in.tif", index, photometric="miniswhite", crs=None, transform=None, **options)
    else:
        stored = index.astype(bool) if bits == 1 else index
        tifffile.imwrite(tmp_path / "in.tif", stored, photometric="miniswhite", metadata=None)
    with open_source(tmp_path / "in.tif") as source:
        shown = source.read().pixels
        assert np.array_equal(source.read(native=True).pixels, index[:1])
        assert np.argmax(shown[0]) == 0 and (np.diff(shown[0].astype(int).ravel()) <= 0).all()
        moved(source, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert np.array_equal(file.read(1)[2:, 3:], index[0, :-2, :-3])
        assert file.colormap(1)[0] == (255, 255, 255, 255) and file.colormap(1)[2**bits - 1] == (0, 0, 0, 255)


def test_faint_greys_of_16_bits_are_told_apart_where_0_is_white(tmp_path):
    write_geotiff(tmp_path / "in.tif", indices(200).astype(np.uint16), photometric="miniswhite")
    with open_source(tmp_path / "in.tif") as source:
        assert len(np.unique(source.read().pixels)) == 201 and source.header.bands == ("1",)


def test_what_no_palette_can_say_is_told(tmp_path):
    stack = indices(255, 2)
    write_geotiff(tmp_path / "bands.tif", stack, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "floats.tif", stack.astype(np.float32), photometric="miniswhite", metadata=None)
    for name, pixels in (("bands", stack), ("floats", stack[:1])):
        with open_source(tmp_path / f"{name}.tif") as source:
            assert np.array_equal(source.read().pixels, pixels)
            assert any("0 is white" in note for note in source.header.notes)


def test_transparent_colours_are_empty_in_the_result(tmp_path):
    table = {0: (9, 9, 9, 255), 1: (200, 0, 0, 0), 2: (0, 0, 250, 0), 3: (0, 250, 0, 255)}
    index = (np.arange(1200).reshape(1, 30, 40) % 4).astype(np.uint8)
    write_geotiff(tmp_path / "in.png", index, driver="PNG", colormap=table, crs=None, transform=None)
    with open_source(tmp_path / "in.png") as source:
        moved(source, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        seen = file.dataset_mask()[2:, 3:] > 0
    assert np.array_equal(seen, np.isin(index[0, :-2, :-3], (0, 3)))
