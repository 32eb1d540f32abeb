"""What a file says besides its pixels, on its way through a registration."""

import io
import struct
import zlib
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from made_images import NORTH_UP, UTM, noise, write_geotiff

from xmatch.geometry import translation
from xmatch.io import ReadOptions, open_source
from xmatch.io.transforms.files import TRANSFORM_WRITERS
from xmatch.raster import Grid
from xmatch.resampling.registered_file import write_registered

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHIFT = translation(3, -2)


@pytest.fixture
def landsat(tmp_path):
    """Reflectance as its level-2 products keep it: integers with scale and offset."""
    path = write_geotiff(tmp_path / "m.tif", noise(60, 50, bands=2))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (2.75e-5, 0.1), (-0.2, 3.0), ("reflectance", "K")
        file.update_tags(2, wavelength_nm="10895", STATISTICS_MEAN="4")
    return path


def jpeg(path, *, dpi=None, orientation=None):
    """A photograph with the tags that cameras and scanners write."""
    data = cv2.imencode(".jpg", noise(60, 50, dtype="uint8")[0])[1].tobytes()
    [length] = struct.unpack(">H", data[4:6])  # of the JFIF segment, which comes first
    parts = [data[:2]]
    if dpi:
        parts.append(struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x102, 1, *dpi, 0, 0))
    if orientation:
        exif = b"Exif\0\0" + struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 274, 3, 1, orientation, 0)
        parts.append(struct.pack(">HH", 0xFFE1, len(exif) + 2) + exif)
    path.write_bytes(b"".join(parts) + data[4 + length :])
    return path


def scan(path, kind, dpi):
    """The same, as a scanner's software saves it."""
    if kind == "JPEG":
        return jpeg(path, dpi=dpi)
    pixels = noise(60, 50, dtype="uint8")[0]
    if kind == "TIFF":
        tifffile.imwrite(path, pixels, resolution=dpi, resolutionunit="INCH")
        return path
    data = cv2.imencode(".png", pixels)[1].tobytes()
    chunk = b"pHYs" + struct.pack(">IIB", *(round(number / 0.0254) for number in dpi), 1)
    path.write_bytes(data[:33] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:])
    return path


def registered(path, fixed, moving):
    with open_source(fixed) as fixed_source, open_source(moving) as moving_source:
        write_registered(path, moving_source, SHIFT, Grid.of(fixed_source.header))
    return path


def written(kind, folder, source):
    """One output of each kind that carries pixels, of the file beside its own grid."""
    path = folder / f"{kind}.{'vrt' if kind == 'vrt' else 'tif'}"
    with open_source(source) as fixed, open_source(source) as moving:
        if kind == "raster":
            write_registered(path, moving, SHIFT, Grid.of(fixed.header))
        else:
            TRANSFORM_WRITERS[kind](path, SHIFT, fixed, moving)
    return path


@pytest.mark.parametrize("kind", ["raster", "gcps", "vrt"])
def test_scale_offset_unit_and_tags_of_bands_are_kept(tmp_path, landsat, kind):
    with rasterio.open(written(kind, tmp_path, landsat)) as file:
        assert (file.scales[:2], file.offsets[:2], file.units[:2]) == (
            (2.75e-5, 0.1),
            (-0.2, 3.0),
            ("reflectance", "K"),
        )
        assert file.tags(2)["wavelength_nm"] == "10895"
        assert ("STATISTICS_MEAN" in file.tags(2)) == (kind == "gcps")  # the others have other pixels


def test_a_chosen_band_brings_its_own_scale(tmp_path, landsat):
    with open_source(landsat, ReadOptions(bands=(2,))) as source:
        write_registered(tmp_path / "r.tif", source, SHIFT, Grid.of(source.header))
    with rasterio.open(tmp_path / "r.tif") as file:
        assert (file.scales, file.offsets, file.units) == ((0.1,), (3.0,), ("K",))


def test_bands_without_a_scale_get_none(tmp_path):
    path = write_geotiff(tmp_path / "m.tif", noise(60, 50))
    with tifffile.TiffFile(written("raster", tmp_path, path)) as tif:
        assert "SCALE" not in (tif.gdal_metadata and str(tif.gdal_metadata) or "")


@pytest.mark.parametrize(
    ("kind", "expected"), [("JPEG", (300, 200, 2)), ("PNG", (118.11, 78.74, 3)), ("TIFF", (300, 200, 2))]
)
def test_the_result_has_the_resolution_of_the_grid_that_it_lies_on(tmp_path, kind, expected):
    fixed, moving = scan(tmp_path / "f", kind, (300, 200)), jpeg(tmp_path / "m", dpi=(72, 72))
    with rasterio.open(registered(tmp_path / "r.tif", fixed, moving)) as file:
        tags = file.tags()
    found = (
        float(tags["TIFFTAG_XRESOLUTION"]),
        float(tags["TIFFTAG_YRESOLUTION"]),
        int(tags["TIFFTAG_RESOLUTIONUNIT"][0]),
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_grid_without_resolution_takes_none_from_moving(tmp_path):
    fixed, moving = write_geotiff(tmp_path / "f.tif", noise(60, 50)), jpeg(tmp_path / "m.jpg", dpi=(300, 300))
    with rasterio.open(registered(tmp_path / "r.tif", fixed, moving)) as file:
        assert not [tag for tag in file.tags() if "RESOLUTION" in tag]


def test_turned_pixels_lose_the_orientation_that_held_for_the_old_ones(tmp_path):
    moving = jpeg(tmp_path / "m.jpg", orientation=6)
    with open_source(moving) as source:
        assert source.header.orientation == 6 and "EXIF orientation 6 is not applied" in source.header.notes[0]
    with rasterio.open(registered(tmp_path / "r.tif", moving, moving)) as file:
        assert "EXIF_Orientation" not in file.tags()


@pytest.mark.parametrize("pages", [1, 3])
def test_a_tiff_with_an_orientation_is_said_to_be_read_as_stored(tmp_path, pages):
    tag = (274, "H", 1, 8, True)
    tifffile.imwrite(tmp_path / "m.tif", noise(60, 50, bands=pages), photometric="minisblack", extratags=[tag])
    with open_source(tmp_path / "m.tif") as source:
        assert source.header.orientation == 8
        assert "TIFF orientation 8 is not applied; pixels are as stored" in source.header.notes


def ome(path, **metadata):
    tifffile.imwrite(
        path,
        noise(60, 50, bands=2),
        metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, **metadata},
    )
    return path


def ome_xml(path):
    with tifffile.TiffFile(path) as tif:
        root = ElementTree.parse(io.StringIO(tif.ome_metadata)).getroot()
    return {element.tag.rpartition("}")[2]: element for element in root.iter()}, root


def test_an_ome_image_keeps_name_description_date_and_channels(tmp_path):
    channels = [{"Name": "DAPI", "Color": -1, "Fluor": "Hoechst"}, {"Name": "FITC", "EmissionWavelength": 520.0}]
    facts = {"Name": "slide 7", "Description": "a < b", "AcquisitionDate": "2024-01-02T03:04:05", "Channel": channels}
    moving = ome(tmp_path / "m.ome.tif", **facts)
    found, root = ome_xml(registered(tmp_path / "r.ome.tif", ome(tmp_path / "f.ome.tif", Name="other"), moving))
    assert found["Image"].get("Name") == "slide 7" and found["Description"].text == "a < b"
    assert found["AcquisitionDate"].text == "2024-01-02T03:04:05"
    told = [element.attrib for element in root.iter() if element.tag.endswith("}Channel")]
    assert (told[0]["Name"], told[0]["Color"], told[0]["Fluor"]) == ("DAPI", "-1", "Hoechst")
    assert (told[1]["Name"], float(told[1]["EmissionWavelength"])) == ("FITC", 520)


def test_what_ome_has_no_place_for_becomes_an_annotation(tmp_path):
    micrograph = tmp_path / "m.tif"
    tifffile.imwrite(
        micrograph, noise(60, 50), resolution=(2e4, 2e4), resolutionunit="CENTIMETER", description="stained \x02 1 & 2"
    )
    with rasterio.open(micrograph, "r+") as file:
        file.scales, file.units = (0.5,), ("K",)
    found, root = ome_xml(registered(tmp_path / "r.ome.tif", micrograph, micrograph))
    kept = {element.get("K"): element.text for element in root.iter() if element.tag.endswith("}M")}
    assert found["Image"].get("Name") == "m.tif"  # an image needs some name
    assert kept["TIFFTAG_IMAGEDESCRIPTION"] == "stained  1 & 2"
    assert (kept["band 1 scale"], kept["band 1 unit"]) == ("0.5", "K")


def test_a_copy_with_control_points_keeps_the_resolution_of_its_pixels(tmp_path):
    tags = {"TIFFTAG_XRESOLUTION": "400", "TIFFTAG_YRESOLUTION": "400", "TIFFTAG_RESOLUTIONUNIT": "2"}
    path = tmp_path / "m.tif"
    kept = {"driver": "GTiff", "width": 60, "height": 50, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=UTM, transform=NORTH_UP, **kept) as file:
        file.write(np.ones((1, 50, 60), np.uint8))
        file.update_tags(**tags)
    with rasterio.open(written("gcps", tmp_path, path)) as file:
        assert float(file.tags()["TIFFTAG_XRESOLUTION"]) == 400
