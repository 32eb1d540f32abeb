"""OME-Zarr: levels, axes, units, channels, and refusals that name the folder."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import zarr
from made_images import noise, ramp
from refusing import refused

from xmatch.errors import UsageError
from xmatch.io import ReadOptions, file_digest, open_source

AXES = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "nanometer"},
]
STACK = noise(40, 24, 2 * 3 * 2).reshape(2, 3, 2, 24, 40)
"""t, c, z, y, x."""


def write_zarr(path, array=STACK, axes=AXES, version="0.5", levels=2, names=("DAPI", "NFH", ""), group="", **more):
    """A multiscale image whose levels halve by means; the finest has 0.5 um rows and 250 nm columns."""
    root = zarr.open_group(path / group, mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level in range(levels):
        if level:
            *outer, rows, columns = array.shape
            array = array.reshape(*outer, rows // 2, 2, columns // 2, 2).mean(axis=(-3, -1)).astype(array.dtype)
        chunks = (*(1,) * (array.ndim - 2), *(min(side, 16) for side in array.shape[-2:]))
        stored = root.create_array(str(level), shape=array.shape, chunks=chunks, dtype=array.dtype)
        stored[:] = array
        scale = [1.0] * (array.ndim - 2) + [0.5 * 2**level, 250.0 * 2**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    said = {"multiscales": [{"axes": axes, "datasets": datasets} | more]}
    said["omero"] = {"channels": [{"label": name} for name in names]}
    root.attrs.update({"ome": {"version": "0.5"} | said} if version == "0.5" else said)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_are_bands_and_units_are_kept(tmp_path, version):
    with open_source(write_zarr(tmp_path / "a.ome.zarr", version=version)) as source:
        assert source.header.bands == ("DAPI", "NFH", "3")
        assert source.header.spacing_um == (0.25, 0.5) and source.header.medical
        assert np.array_equal(source.read().pixels, STACK[0, :, 0])
        assert np.array_equal(source.read((3, 5, 30, 17), bands=(2, 0)).pixels, STACK[0, [2, 0], 0, 5:22, 3:33])
        assert "page 0 of 4 taken (axes tz); --page picks another" in source.header.notes


def test_the_last_axis_counts_pages_fastest(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    for page, (t, z) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        with open_source(path, ReadOptions(page=page, bands=(2,))) as source:
            assert np.array_equal(source.read().pixels, STACK[t, 1:2, z])
    assert "0 to 3" in refused(path, ReadOptions(page=4))
    assert "1 to 3" in refused(path, ReadOptions(bands=(4,)))


def test_levels_are_read_as_overviews(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", levels=3)
    root = zarr.open_group(path, mode="r+")
    root["1"][:] = 7
    with open_source(path) as source:
        assert (source.read(size=(20, 12)).pixels == 7).all()
        assert np.array_equal(source.read().pixels, STACK[0, :, 0])


def test_two_axes_are_an_image(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", ramp(32, 16)[0], AXES[-2:], levels=1, names=())
    with open_source(path) as source:
        assert source.header.bands == ("1",) and np.array_equal(source.read().pixels, ramp(32, 16))


def test_axes_without_units_have_no_spacing(tmp_path):
    axes = [{"name": axis["name"]} for axis in AXES]
    with open_source(write_zarr(tmp_path / "a.zarr", axes=axes)) as source:
        assert source.header.spacing_um is None


def test_versions_before_axes_had_names_are_read(tmp_path):
    with open_source(write_zarr(tmp_path / "a.zarr", version="0.4", axes=None)) as source:
        assert len(source.header.bands) == 3
    with open_source(write_zarr(tmp_path / "b.zarr", version="0.4", axes=list("tczyx"))) as source:
        assert np.array_equal(source.read().pixels, STACK[0, :, 0])


def test_images_in_counted_groups_are_series(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w").attrs["bioformats2raw.layout"] = 3
    for number in range(2):
        write_zarr(tmp_path / "a.zarr", STACK + number, group=str(number))
    for number in range(2):
        with open_source(tmp_path / "a.zarr", ReadOptions(series=number)) as source:
            assert np.array_equal(source.read().pixels, STACK[0, :, 0] + number)
    with open_source(tmp_path / "a.zarr") as source:
        assert "series 0 of 2 taken; --series picks another" in source.header.notes
    assert "0 to 1" in refused(tmp_path / "a.zarr", ReadOptions(series=2))


def test_holes_hold_no_data(tmp_path):
    array = ramp(32, 16, dtype="float32")[0]
    array[3, 4] = np.nan
    with open_source(write_zarr(tmp_path / "a.zarr", array, AXES[-2:], levels=1)) as source:
        assert np.count_nonzero(~source.read().valid) == 1
    with open_source(tmp_path / "a.zarr", ReadOptions(nodata=float(array[0, 0]))) as source:
        assert not source.read().valid[0, 0]


def said(path):
    return json.loads((path / "zarr.json").read_text())


def rewrite(path, change):
    document = said(path)
    change(document["attributes"]["ome"])
    (path / "zarr.json").write_text(json.dumps(document))


BROKEN = {
    "no multiscales": lambda ome: ome.pop("multiscales"),
    "an empty list": lambda ome: ome.update(multiscales=[]),
    "no levels": lambda ome: ome["multiscales"][0].update(datasets=[]),
    "a level that is not there": lambda ome: ome["multiscales"][0]["datasets"][0].update(path="9"),
    "a level outside": lambda ome: ome["multiscales"][0]["datasets"][0].update(path="../../b.zarr/0"),
    "too few axes": lambda ome: ome["multiscales"][0].update(axes=AXES[1:]),
    "axes in another order": lambda ome: ome["multiscales"][0].update(axes=AXES[::-1]),
    "axes that are numbers": lambda ome: ome["multiscales"][0].update(axes=7),
    "a plate": lambda ome: ome.update(plate={}),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.usefixtures("nothing_on_stderr")
def test_what_is_no_ome_zarr_is_refused(tmp_path, what):
    write_zarr(tmp_path / "b.zarr")
    path = write_zarr(tmp_path / "a.zarr")
    rewrite(path, BROKEN[what])
    refused(path)


@pytest.mark.parametrize("text", ["", "{", '{"zarr_format": 3}', '{"zarr_format": 3, "node_type": "soup"}', "[1, 2]"])
@pytest.mark.usefixtures("nothing_on_stderr")
def test_damaged_metadata_is_refused(tmp_path, text):
    path = write_zarr(tmp_path / "a.zarr")
    (path / "zarr.json").write_text(text)
    refused(path)


@pytest.mark.usefixtures("nothing_on_stderr")
def test_a_damaged_chunk_is_named_by_its_block_and_left_out_when_allowed(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    (path / "0/c/0/0/0/1/1").write_bytes(b"no chunk at all")
    assert "block 1 across, 1 down" in refused(path)
    with open_source(path, ReadOptions(allow_damaged=True)) as source:
        valid = source.read().valid
    assert not valid[16:, 16:32].any() and valid[:16].all()


def test_a_single_array_is_refused(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(4, 4), dtype="uint8")
    assert "group of levels" in refused(tmp_path / "a.zarr")


def test_a_missing_package_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch):
    path = write_zarr(tmp_path / "a.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(UsageError) as caught:
        open_source(path)
    assert caught.value.hint == "pip install 'xmatch[zarr]'"


def test_folders_are_told_apart_by_what_they_say_of_themselves(tmp_path):
    one, other = write_zarr(tmp_path / "a.zarr"), write_zarr(tmp_path / "b.zarr", names=("x",))
    assert file_digest(one).startswith("sha256-metadata:") and file_digest(one) != file_digest(other)


def test_one_that_lies_elsewhere_is_refused_also_where_the_network_is_allowed():
    for path in ("https://127.0.0.1:9/plate.zarr/0", "/vsis3/bucket/a.ome.zarr"):
        assert "only local ones are read" in refused(path, ReadOptions(allow_remote=True))
