"""DICOM and NIfTI: the pixels, their spacing and what they mean, and refusals that name the file."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pydicom
import pytest
from made_images import ramp
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from refusing import refused

from xmatch.errors import ExitCode, InputError, ResourceError, UsageError
from xmatch.io import ReadOptions, file_digest, open_source

IMAGE = ramp(30, 20)[0]


def write_dicom(path, pixels=IMAGE, **more):
    """A file of one image (H, W) or (H, W, 3), or of several (N, H, W) with NumberOfFrames; further elements by name,
    None leaves one out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    bits = 8 * pixels.dtype.itemsize
    elements = {
        "SOPClassUID": SecondaryCaptureImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "MR", "PatientName": "Nobody", "Rows": rows, "Columns": columns, "BitsAllocated": bits,
        "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "SamplesPerPixel": 3 if colour else 1, "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "PixelSpacing": [0.5, 0.25], "PlanarConfiguration": 0 if colour else None, "PixelData": pixels.tobytes(),
    } | more  # fmt: skip
    for name, value in elements.items():
        if value is not None:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def test_a_dicom_image_is_read_with_its_spacing_and_without_the_patients_name(tmp_path):
    with open_source(write_dicom(tmp_path / "a.dcm")) as source:
        assert np.array_equal(source.read().pixels[0], IMAGE)
        header = source.header
        assert np.array_equal(source.read((5, 3, 10, 8)).pixels[0], IMAGE[3:11, 5:15])
    assert header.spacing_um == (250.0, 500.0) and header.medical and header.format == "DICOM"
    assert "Nobody" not in str(header) and header.tags["Modality"] == "MR"


def test_rescale_leads_to_true_values_from_what_is_stored(tmp_path):
    stored = IMAGE.astype(np.int16) - 50
    path = write_dicom(tmp_path / "a.dcm", stored, RescaleSlope="2", RescaleIntercept="-1000", RescaleType="HU")
    with open_source(path) as source:
        assert np.array_equal(source.read().pixels[0], stored)
        (details,) = source.header.details
    assert (details.scale, details.offset, details.unit) == (2.0, -1000.0, "HU")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_where_0_is_white_it_is_turned_round_and_true_values_stay(tmp_path, dtype):
    stored = (IMAGE % 200).astype(dtype)
    turned = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "3", "RescaleIntercept": "7"}
    with open_source(write_dicom(tmp_path / "a.dcm", stored, **turned)) as source:
        seen = source.read().pixels[0].astype(float)
        (details,) = source.header.details
        assert any("0 is white" in note for note in source.header.notes)
    assert seen[stored == stored.min()].min() == seen.max()
    assert np.array_equal(details.scale * seen + details.offset, 3.0 * stored + 7)


def test_padding_holds_no_data(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", PixelPaddingValue=int(IMAGE[0, 0]), PixelPaddingRangeLimit=int(IMAGE[0, 2]))
    with open_source(path) as source:
        expected = (IMAGE < IMAGE[0, 0]) | (IMAGE > IMAGE[0, 2])
        assert not expected.all() and np.array_equal(source.read().valid, expected)
    with open_source(path, ReadOptions(nodata=float("nan"))) as source:
        assert source.read().valid.all()


def test_colours_are_bands(tmp_path):
    colours = np.stack([IMAGE % 251, IMAGE % 241, IMAGE % 239], -1).astype(np.uint8)
    with open_source(write_dicom(tmp_path / "a.dcm", colours), ReadOptions(bands=(3, 1))) as source:
        assert source.header.bands == ("blue", "red")
        assert np.array_equal(source.read().pixels, np.moveaxis(colours, -1, 0)[[2, 0]])


def test_a_frame_is_a_page(tmp_path):
    frames = np.stack([IMAGE + 100 * k for k in range(3)])
    path = write_dicom(tmp_path / "a.dcm", frames, NumberOfFrames=3)
    for page in range(3):
        with open_source(path, ReadOptions(page=page)) as source:
            assert np.array_equal(source.read().pixels[0], frames[page])
    with open_source(path) as source:
        assert "frame 0 of 3 taken; --page picks another" in source.header.notes
    assert "0 to 2" in refused(path, ReadOptions(page=3))


BROKEN_DICOM = {
    "without an image": {name: None for name in ("Rows", "Columns", "PixelData")},
    "without pixels": {"PixelData": None},
    "of a fourth": {"PixelData": IMAGE.tobytes()[:300]},
    "of 13 bits": {"BitsAllocated": 13, "BitsStored": 13},
    "of a whole slide": {"TotalPixelMatrixColumns": 90_000},
    "of an unknown kind": {"PhotometricInterpretation": "SOUP"},
}


@pytest.mark.parametrize("what", BROKEN_DICOM)
@pytest.mark.usefixtures("nothing_on_stderr")
def test_broken_dicom_is_refused(tmp_path, what):
    path = tmp_path / "a.dcm"
    with pydicom.config.disable_value_validation():
        write_dicom(path, **BROKEN_DICOM[what])
    refused(path)


@pytest.mark.parametrize("cut", [140, 300, -1])
@pytest.mark.usefixtures("nothing_on_stderr")
def test_truncated_dicom_is_refused(tmp_path, cut):
    path = write_dicom(tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:cut])
    refused(path)


def test_a_dicom_that_claims_more_than_the_memory_is_refused_before_it_is_decoded(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", Rows=60_000, Columns=60_000)
    refused(path, kind=ResourceError)


VOLUME = (np.arange(8 * 6 * 5).reshape(8, 6, 5) * 7 % 239).astype(np.int16)
"""Voxels along i, j and k."""


def write_nifti(path, volume=VOLUME, axes="RAS", sides=(2.0, 3.0, 4.0), unit="mm", slope=None):
    """A volume whose axes i, j, k run to where `axes` says."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for place, letter in enumerate(axes):
        body = next(k for k, both in enumerate(("RL", "AP", "SI")) if letter in both)
        affine[body, place] = sides[place] * (1 if letter in "RAS" else -1)
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units(unit)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path


def body_plane(volume, axes, series, number):
    """The same slice by way of nibabel's own turning into R, A, S: rows from the top of the picture."""
    image = nibabel.Nifti1Image(volume, np.eye(4))
    codes = nibabel.orientations.axcodes2ornt(tuple(axes))
    ras = nibabel.orientations.apply_orientation(np.asarray(image.dataobj), codes)
    lps = ras[::-1, ::-1, ::-1]
    return np.take(lps, number, 2 - series).T


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SRA", "AIL"])
@pytest.mark.parametrize("series", [0, 1, 2])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_slice_lies_as_viewers_show_it_however_the_file_is_turned(tmp_path, axes, series, suffix):
    path = write_nifti(tmp_path / f"a{suffix}", axes=axes)
    through = next(k for k, letter in enumerate(axes) if letter in ("SI", "AP", "RL")[series])
    in_lps = VOLUME.shape[through] - 1 - 1 if axes[through] in "RAS" else 1
    with open_source(path, ReadOptions(series=series, page=1)) as source:
        seen = source.read().pixels[0]
        spacing = source.header.spacing_um
    assert np.array_equal(seen, body_plane(VOLUME, axes, series, in_lps))
    sides = {
        body: 1000 * side
        for body, side in zip((next(b for b in ("RL", "AP", "SI") if a in b) for a in axes), (2, 3, 4), strict=True)
    }
    assert spacing == [(sides["RL"], sides["AP"]), (sides["RL"], sides["SI"]), (sides["AP"], sides["SI"])][series]


def test_the_middle_slice_is_taken_and_said(tmp_path):
    with open_source(write_nifti(tmp_path / "a.nii.gz")) as source:
        assert np.array_equal(source.read().pixels[0], body_plane(VOLUME, "RAS", 0, 2))
        assert source.header.notes[0] == "axial slice 2 of 5 taken; --page picks another, --series another plane"


def test_pages_go_on_in_the_next_volume(tmp_path):
    series = np.stack([VOLUME, VOLUME + 300], -1)
    with open_source(write_nifti(tmp_path / "a.nii", series), ReadOptions(page=6)) as source:
        assert np.array_equal(source.read().pixels[0], body_plane(VOLUME + 300, "RAS", 0, 3))
    assert "0 to 9" in refused(tmp_path / "a.nii", ReadOptions(page=10))
    assert "coronal" in refused(tmp_path / "a.nii", ReadOptions(series=3))


def test_scaled_values_are_true_values(tmp_path):
    volume = VOLUME.astype(np.int16)
    with open_source(write_nifti(tmp_path / "a.nii", volume, slope=(0.5, 10.0)), ReadOptions(page=0)) as source:
        expected = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)[::-1, ::-1, 0].T
        assert source.header.dtype == "float32"
        assert np.allclose(source.read().pixels[0], expected)


@pytest.mark.parametrize(("unit", "um"), [("mm", 2000.0), ("micron", 2.0), ("meter", 2e6), ("unknown", 2000.0)])
def test_units_of_length_are_kept(tmp_path, unit, um):
    with open_source(write_nifti(tmp_path / "a.nii", unit=unit)) as source:
        assert source.header.spacing_um[0] == um
        assert any("assumed" in note for note in source.header.notes) == (unit == "unknown")


def test_holes_of_floating_point_hold_no_data(tmp_path):
    volume = VOLUME.astype(np.float32)
    volume[2, 3] = np.nan
    with open_source(write_nifti(tmp_path / "a.nii", volume)) as source:
        assert np.count_nonzero(~source.read().valid) == 1


def test_a_flat_file_is_one_slice(tmp_path):
    with open_source(write_nifti(tmp_path / "a.nii", VOLUME[:, :, 0])) as source:
        assert np.array_equal(source.read().pixels[0], VOLUME[::-1, ::-1, 0].T)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("cut", [100, 353, -100])
@pytest.mark.usefixtures("nothing_on_stderr")
def test_truncated_nifti_is_refused(tmp_path, suffix, cut):
    path = write_nifti(
        tmp_path / f"a{suffix}", np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    )
    path.write_bytes(path.read_bytes()[:cut])
    refused(path, ReadOptions(page=19))


@pytest.mark.parametrize(("at", "value"), [(40, b"\xff\xff"), (42, b"\xff\x7f" * 6), (70, b"\x99\x99")])
@pytest.mark.usefixtures("nothing_on_stderr")
def test_nifti_with_a_garbled_header_is_refused(tmp_path, at, value):
    path = write_nifti(tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    refused(path, kind=(InputError, ResourceError))


def test_a_gzip_of_anything_else_is_no_image(tmp_path):
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(b"no volume at all")
    assert "known format" in refused(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    ("name", "package", "write"), [("a.dcm", "pydicom", write_dicom), ("a.nii", "nibabel", write_nifti)]
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch, name, package, write):
    path = write(tmp_path / name)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(UsageError) as caught:
        open_source(path)
    assert package in caught.value.message and caught.value.hint == "pip install 'xmatch[medical]'"
    assert caught.value.exit_code == ExitCode.USAGE


def test_files_are_told_apart_by_their_bytes(tmp_path):
    assert file_digest(write_dicom(tmp_path / "a.dcm")).startswith("sha256:")
