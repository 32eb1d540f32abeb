"""What cannot be read is refused in one line that names the file: at once, in bounded memory, silent on stderr."""

from __future__ import annotations

import os
import socket
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import rasterio
import tifffile
from made_images import NORTH_UP, UTM, noise, ramp, write_geotiff
from rasterio.windows import Window
from refusing import refused

from xmatch.errors import InputError, ResourceError, UsageError
from xmatch.io import ReadOptions, open_source

pytestmark = pytest.mark.usefixtures("nothing_on_stderr")


def test_a_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "a.tif")


def test_a_directory(tmp_path):
    assert "directory" in refused(tmp_path)


@pytest.mark.timeout(10)
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    assert "pipe" in refused(tmp_path / "a.tif")


def test_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket names must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.tif")
        assert "socket" in refused("a.tif")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.tif").touch()
    assert "empty" in refused(tmp_path / "a.tif")


def test_a_text_with_the_name_of_a_tiff(tmp_path):
    (tmp_path / "a.tif").write_text("hello world, I am no image")
    message = refused(tmp_path / "a.tif")
    assert "not a TIFF" in message and "hello" in message


def test_a_name_that_is_too_long_or_holds_a_null(tmp_path):
    refused(tmp_path / ("x" * 300))
    refused("a\0b.tif")


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory at byte 8."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + tail


def grey(width: int, height: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Tags of a deflated 8-bit image in one strip."""
    tags = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 8), 262: (3, 1, 1), 273: (4, 1, 200),
        277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, 30),
    }  # fmt: skip
    tags |= {tag: tuple(rest) for tag, *rest in more}
    return [(tag, *rest) for tag, rest in tags.items()]


def bounded(call, megabytes: int = 60):
    """The call's result, if it never held more than so much memory through Python."""
    tracemalloc.start()
    try:
        return call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < megabytes * 2**20


@pytest.mark.timeout(20)
def test_a_header_bomb_is_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(grey(200_000, 200_000), tail=bytes(1000)))
    message = bounded(lambda: refused(path, kind=ResourceError))
    assert "37.3 GiB" in message and "2.0 GiB" in message and "200000 x 200000" in message


@pytest.mark.timeout(20)
def test_a_png_bomb_is_refused_before_anything_is_allocated(tmp_path):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 1))  # interlaced
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")
    )
    assert "GiB" in bounded(lambda: refused(tmp_path / "a.png", kind=ResourceError))


def test_a_block_larger_than_the_memory_is_refused(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", noise(400, 400), compress="deflate", blockysize=400)
    assert "400 x 400" in refused(path, ReadOptions(max_memory_bytes=200_000), ResourceError)


@pytest.mark.timeout(20)
def test_a_large_sparse_raster_is_no_bomb(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"width": 20_000, "height": 20_000, "count": 1, "dtype": "uint16", "tiled": True, "crs": UTM}
    with rasterio.open(path, "w", driver="GTiff", transform=NORTH_UP, SPARSE_OK=True, **profile) as file:
        file.write(ramp(16, 16), window=Window(9000, 9000, 16, 16))
    assert path.stat().st_size < 2**20
    with open_source(path) as source:
        assert source.header.width == 20_000
        raster = source.read(window=(9000, 9000, 16, 16))
    assert np.array_equal(raster.pixels, ramp(16, 16))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("following", [8, 9])
def test_directories_in_a_cycle_are_refused(tmp_path, following):
    path = tmp_path / "a.tif"
    if following == 8:
        path.write_bytes(tiff(grey(4, 4), following=8))
    else:  # two directories that point to each other
        first = tiff(grey(4, 4), following=300, tail=bytes(300))[:300]
        path.write_bytes(first + tiff(grey(4, 4), following=8)[8:] + bytes(100))
    assert "cycle" in refused(path)


@pytest.mark.timeout(30)
def test_a_hundred_thousand_directories_are_refused_within_seconds(tmp_path):
    tags = b"".join(struct.pack("<HHII", *entry) for entry in grey(4, 4))
    size = 2 + len(tags) + 4
    chain = b"".join(struct.pack("<H", 9) + tags + struct.pack("<I", 8 + (k + 1) * size) for k in range(100_000))
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + chain + bytes(16))
    assert "65535" in refused(tmp_path / "a.tif")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("tag", [270, 273, 330, 65000])
def test_a_tag_that_claims_gigabytes_is_refused(tmp_path, tag):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(grey(4, 4, (tag, 4, 2**30 - 1, 150)), tail=bytes(400)))
    assert f"tag {tag}" in bounded(lambda: refused(path))


def test_an_image_without_pixels_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(grey(0, 7), tail=bytes(400)))
    assert "0 x 7" in refused(tmp_path / "a.tif")


def test_one_pixel_is_an_image(tmp_path):
    with open_source(write_geotiff(tmp_path / "a.tif", np.full((1, 1, 1), 9, np.uint8))) as source:
        assert source.read().pixels.tolist() == [[[9]]]


def test_a_vrt_is_refused_whatever_it_is_called(tmp_path):
    secret = write_geotiff(tmp_path / "secret.tif", ramp(20, 10))
    vrt = f"""<VRTDataset rasterXSize="20" rasterYSize="10"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
        <SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
    (tmp_path / "a.tif").write_text(vrt)
    assert "VRT" in refused(tmp_path / "a.tif")
    with open_source(tmp_path / "a.tif", ReadOptions(allow_remote=True)) as source:
        assert np.array_equal(source.read().pixels, ramp(20, 10))


@pytest.mark.parametrize(
    "path", ["https://example.invalid/a.tif", "/vsicurl/https://example.invalid/a.tif", "s3://b/a"]
)
def test_remote_places_are_refused_unless_allowed(path):
    assert "--allow-remote" in refused(path)


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_file_that_changes_after_opening_is_refused(tmp_path, replace, name):
    path = tmp_path / name
    tifffile.imwrite(path, noise(20, 10)[0])
    with open_source(path) as source:
        if replace:
            tifffile.imwrite(tmp_path / "b.tif", noise(20, 10)[0])
            os.replace(tmp_path / "b.tif", path)
        else:
            path.unlink()
        with pytest.raises(InputError, match="changed or removed"):
            source.read()


NAMES = ["a b.tif", "new\nline.tif", "-dash.tif", "a:b.tif", "zip!x.tif", "é漢🛰.tif", "x" * 251 + ".tif", "q?a=1#f.tif",
         "GTIFF_DIR:1:z.tif", os.fsdecode(b"\xff\xfe.tif")]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("plain.tif", noise(20, 10)[0], metadata=None)
    os.replace("plain.tif", name)
    with open_source(name) as source:
        assert source.header.path == name
        assert np.array_equal(source.read().pixels, noise(20, 10))


def test_what_the_file_does_not_have_is_refused_with_what_it_has(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", noise(20, 10, bands=3))
    assert "1 to 3" in refused(path, ReadOptions(bands=(4,)))
    assert "0 to 0" in refused(path, ReadOptions(page=1))
    refused(path, ReadOptions(series=1))


def test_bands_and_pages_that_no_file_has_are_wrong_usage(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", noise(20, 10))
    for options in (ReadOptions(bands=(0,)), ReadOptions(page=-1), ReadOptions(series=-2), ReadOptions(bands=())):
        with pytest.raises(UsageError):
            open_source(path, options)


def test_metadata_that_are_no_text_do_not_print_tracebacks(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", noise(20, 10))
    with rasterio.open(path, "r+") as file:
        file.update_tags(SATELLITE="one")
    path.write_bytes(path.read_bytes().replace(b"<Item name", b"<\xff\xfe<<& name"))
    with open_source(path) as source:
        assert np.array_equal(source.read().pixels, noise(20, 10))
