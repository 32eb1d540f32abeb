"""What GDAL is trusted with besides TIFF: ENVI, NetCDF, VRT by its own name; and the network, for a while only."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio.shutil
from made_images import NORTH_UP, ramp, write_geotiff
from rasterio.env import getenv
from refusing import refused
from scipy.io import netcdf_file

from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters.gdal import NETWORK_LIMITS, gdal

BANDS = ramp(30, 20, 3, "int16")


def write_envi(folder, header="image.hdr"):
    write_geotiff(folder / "image.img", BANDS, driver="ENVI", nodata=-9)
    if header != "image.hdr":
        os.replace(folder / "image.hdr", folder / header)
    return folder / "image.img"


@pytest.mark.parametrize("header", ["image.hdr", "image.img.hdr", "image.HDR"])
def test_envi_is_told_by_the_header_beside_it(tmp_path, header):
    with open_source(write_envi(tmp_path, header)) as source:
        assert np.array_equal(source.read().pixels, BANDS)
        assert source.header.format == "ENVI" and source.header.nodata == -9
        assert source.header.georef.affine == tuple(NORTH_UP)[:6]


def test_the_header_of_envi_is_not_its_image(tmp_path):
    write_envi(tmp_path)
    assert "beside it" in refused(tmp_path / "image.hdr")


@pytest.mark.parametrize("cut", [10, 1000, -1])
@pytest.mark.usefixtures("nothing_on_stderr")
def test_truncated_envi_is_refused(tmp_path, cut):
    path = write_envi(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    refused(path)


@pytest.mark.parametrize("text", ["ENVI\n", "ENVI\nsamples = 3\nlines = -2\nbands = 1\ndata type = 2\n",
    "ENVI\nsamples = 30\nlines = 20\nbands = 1\ndata type = 77\n",
    "ENVI\nsamples = 300000\nlines = 2000000\nbands = 100\ndata type = 5\n"])  # fmt: skip
@pytest.mark.usefixtures("nothing_on_stderr")
def test_a_garbled_header_of_envi_is_refused(tmp_path, text):
    path = write_envi(tmp_path)
    (tmp_path / "image.hdr").write_text(text)
    refused(path)


def test_a_file_beside_another_header_is_no_envi(tmp_path):
    (tmp_path / "a.img").write_bytes(b"what is this?")
    (tmp_path / "a.hdr").write_text("another header")
    assert "known format" in refused(tmp_path / "a.img")


def write_netcdf(path, time_steps=2, fill=-9.0):
    """temp(time, y, x) in kelvin and mask(y, x), px of 10 m."""
    with netcdf_file(path, "w") as file:
        for name, size in (("time", time_steps), ("y", 20), ("x", 30)):
            file.createDimension(name, size)
        for name, values in (("x", np.arange(30) * 10.0 + 5), ("y", 195.0 - np.arange(20) * 10)):
            axis = file.createVariable(name, "d", (name,))
            axis[:], axis.units, axis.standard_name = values, "m", f"projection_{name}_coordinate"
        temperature = file.createVariable("temp", "f", ("time", "y", "x"))
        temperature._FillValue, temperature.units = np.float32(fill), "K"
        temperature[:] = np.stack([BANDS[0] + k for k in range(time_steps)]).astype(np.float32)
        temperature[0, 2, 3] = fill
        file.createVariable("mask", "i", ("y", "x"))[:] = BANDS[1]
    return path


def test_a_variable_of_netcdf_is_a_series_and_its_steps_are_bands(tmp_path):
    path = write_netcdf(tmp_path / "a.nc")
    with open_source(path, ReadOptions(series=1)) as source:
        raster = source.read()
        assert source.header.details[0].unit == "K"
        assert raster.pixels.shape == (2, 20, 30) and raster.pixels[1, 2, 3] == BANDS[0, 2, 3] + 1
        assert not raster.band_valid[0, 2, 3] and raster.band_valid[1, 2, 3]
    with open_source(path) as source:
        assert source.header.notes[0] == "series 0 of 2 taken; --series picks another: 0 mask, 1 temp"
        assert np.array_equal(source.read().pixels[0], BANDS[1])
    assert "0 mask, 1 temp" in refused(path, ReadOptions(series=2))
    assert "no pages" in refused(path, ReadOptions(page=1))


@pytest.mark.parametrize("version", ["NC", "NC2", "NC4", "NC4C"])
def test_all_versions_of_netcdf_keep_georeferencing_and_no_data(tmp_path, version):
    write_geotiff(tmp_path / "a.tif", BANDS[:1], nodata=-9)
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.nc", driver="netCDF", FORMAT=version)
    with open_source(tmp_path / "a.nc") as source:
        assert np.array_equal(source.read().pixels, BANDS[:1])
        assert source.header.georef.affine == pytest.approx(tuple(NORTH_UP)[:6]) and source.header.nodata == -9
        assert "UTM zone 33N" in source.header.georef.crs_wkt


@pytest.mark.parametrize("version", ["NC", "NC4"])
@pytest.mark.parametrize("cut", [10, 200, 0.5, -1])
@pytest.mark.usefixtures("nothing_on_stderr")
def test_truncated_netcdf_is_refused(tmp_path, version, cut):
    write_geotiff(tmp_path / "a.tif", BANDS[:1])
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.nc", driver="netCDF", FORMAT=version)
    data = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "a.nc").write_bytes(data[: int(cut * len(data)) if cut == 0.5 else cut])
    refused(tmp_path / "a.nc")


def test_hdf5_is_opened_by_its_own_name_only(tmp_path):
    write_geotiff(tmp_path / "a.tif", BANDS[:1])
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.nc", driver="netCDF", FORMAT="NC4")
    os.replace(tmp_path / "a.nc", tmp_path / "b.tif")
    assert "other files" in refused(tmp_path / "b.tif")


@pytest.fixture
def safe(tmp_path):
    """Folders of Sentinel-1 (two polarisations) and Sentinel-2 (two resolutions), without their metadata."""
    folder = tmp_path / "S1A_IW_GRDH.SAFE"
    (folder / "measurement").mkdir(parents=True)
    for k, name in enumerate(("s1a-iw-grd-vh", "s1a-iw-grd-vv")):
        write_geotiff(folder / "measurement" / f"{name}.tiff", BANDS[k : k + 1])
    other = tmp_path / "S2A_MSIL2A.SAFE"
    for k, name in enumerate(("R10m/B02_10m", "R20m/B05_20m")):
        path = other / "GRANULE" / "L2A_T33" / "IMG_DATA" / f"{name}.jp2"
        path.parent.mkdir(parents=True)
        write_geotiff(path, BANDS[k : k + 1], driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
    for one in (folder, other):
        (one / "manifest.safe").write_text("<xfdu:XFDU/>")
    return folder, other


@pytest.mark.parametrize("which", [0, 1])
def test_images_of_a_safe_folder_are_series(safe, which):
    for series in (0, 1):
        with open_source(safe[which], ReadOptions(series=series)) as source:
            assert np.array_equal(source.read().pixels, BANDS[series : series + 1])
            assert source.header.georef.affine == tuple(NORTH_UP)[:6]
    with open_source(safe[which]) as source:
        assert source.header.notes[0].startswith("series 0 of 2 taken; --series picks another: 0 ")
    assert "has no series 2" in refused(safe[which], ReadOptions(series=2))


def test_a_safe_folder_leads_nowhere_else(safe, tmp_path):
    secret = write_geotiff(tmp_path / "secret.tif", BANDS[2:])
    path = safe[0] / "measurement" / "a.tiff"
    path.symlink_to(secret)
    assert "link to another place" in refused(safe[0])
    for file in (safe[0] / "measurement").iterdir():
        file.unlink()
    assert "without images" in refused(safe[0])


def vrt(source, relative=1, inside="", kind=""):
    return f"""<VRTDataset rasterXSize="30" rasterYSize="20"><VRTRasterBand dataType="Int16" band="1"{kind}>
        <SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>
        </SimpleSource>{inside}</VRTRasterBand></VRTDataset>"""


@pytest.fixture
def mosaic(tmp_path):
    """A folder with tiles/a.tif; writes a VRT into it."""
    (tmp_path / "mosaic" / "tiles").mkdir(parents=True)
    write_geotiff(tmp_path / "mosaic" / "tiles" / "a.tif", BANDS[:1])
    write_geotiff(tmp_path / "secret.tif", BANDS[1:2])

    def write(text, name="all.vrt"):
        (tmp_path / "mosaic" / name).write_text(text)
        return tmp_path / "mosaic" / name

    return write


def test_a_vrt_of_images_in_its_own_folder_is_opened_by_its_name(mosaic):
    with open_source(mosaic(vrt("tiles/a.tif"))) as source:
        assert np.array_equal(source.read().pixels, BANDS[:1])


def test_a_vrt_that_warps_one_of_them_is_too(mosaic, tmp_path):
    from rasterio.vrt import WarpedVRT

    with rasterio.open(tmp_path / "mosaic/tiles/a.tif") as file, WarpedVRT(file, crs="EPSG:4326") as warped:
        rasterio.shutil.copy(warped, tmp_path / "mosaic/warped.vrt", driver="VRT")
        expected = warped.read()
    with open_source(tmp_path / "mosaic/warped.vrt") as source:
        assert np.array_equal(source.read().pixels, expected)


@pytest.mark.parametrize("source", ["../secret.tif", "{secret}", "/etc/passwd", "https://example.invalid/a.tif",
    "/vsicurl/https://a.invalid/a.tif", "", "tiles/none.tif", "tiles/link.tif", "tiles/text.tif",
    "tiles/all.vrt"])  # fmt: skip
@pytest.mark.usefixtures("nothing_on_stderr")
def test_a_vrt_that_reaches_further_is_refused(mosaic, tmp_path, source):
    (tmp_path / "mosaic/tiles/link.tif").symlink_to(tmp_path / "secret.tif")
    (tmp_path / "mosaic/tiles/text.tif").write_text("ncols 2\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n")
    mosaic(vrt("a.tif"), "tiles/all.vrt")
    secret = source == "{secret}"
    named = source.format(secret=tmp_path / "secret.tif")
    refused(mosaic(vrt(named, relative=0 if secret else 1)))


@pytest.mark.parametrize(
    "text",
    [
        vrt("tiles/a.tif", kind=' subClass="VRTRawRasterBand"'),
        vrt("tiles/a.tif", kind=' subClass="VRTDerivedRasterBand"'),
        vrt("tiles/a.tif", inside="<PixelFunctionLanguage>Python</PixelFunctionLanguage>"),
        vrt("tiles/a.tif", inside='<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">/etc/x.tif</MDI></Metadata>'),
        '<VRTDataset><!DOCTYPE x [<!ENTITY a "b">]></VRTDataset>',
        "<VRTDataset><VRTRasterBand>",
    ],
)
@pytest.mark.usefixtures("nothing_on_stderr")
def test_a_vrt_that_does_more_is_refused(mosaic, text):
    assert "VRT" in refused(mosaic(text))


STALLING = """
import socket, sys, threading, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
def answer(client):
    asked = client.recv(65536)
    if sys.argv[1] == "after the first bytes":
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100000\\r\\nAccept-Ranges: bytes\\r\\n\\r\\n")
        if not asked.startswith(b"HEAD"):
            client.sendall(b"II*\\0")
    time.sleep(600)
while True:
    threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()
"""


@pytest.mark.parametrize("when", ["at once", "after the first bytes"])
@pytest.mark.timeout(60)
def test_a_server_that_stalls_ends_in_an_error(monkeypatch, when):
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    command = [sys.executable, "-c", STALLING, when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        start = time.monotonic()
        refused(f"/vsicurl/http://127.0.0.1:{process.stdout.readline().strip()}/a.tif", ReadOptions(allow_remote=True))
        assert time.monotonic() - start < 30
        process.kill()


def test_the_network_has_limits_unless_the_environment_sets_others(monkeypatch):
    for name in NETWORK_LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "7")
    with gdal(ReadOptions(allow_remote=True)):
        found = getenv()
    assert {name: found.get(name) for name in NETWORK_LIMITS} == NETWORK_LIMITS | {"GDAL_HTTP_TIMEOUT": None}
