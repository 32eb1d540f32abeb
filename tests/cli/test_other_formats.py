"""Files that are no TIFF go the whole way: named, registered, written with their spacing, told apart."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import zarr
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from xmatch.errors import ExitCode
from xmatch.io import open_source

IMAGE = (np.arange(40 * 48).reshape(40, 48) * 7 % 1021 + 1).astype(np.uint16)


def dicom(path):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 40, 48, 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel, data.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    data.PixelSpacing, data.PixelData = [0.5, 0.5], IMAGE.tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def nifti(path):
    image = nibabel.Nifti1Image(IMAGE[::-1, ::-1].T[:, :, None], np.diag([0.5, 0.5, 2.0, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def ome_zarr(path):
    root = zarr.open_group(path, mode="w")
    root.create_array("0", shape=IMAGE.shape, chunks=(16, 16), dtype="uint16")[:] = IMAGE
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [500.0, 500.0]}]}]
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}


@pytest.mark.parametrize(("name", "write"), [("a.dcm", dicom), ("a.nii.gz", nifti), ("a.ome.zarr", ome_zarr)])
def test_medical_files_become_ome_tiff_with_their_spacing(cli, pair, name, write):
    write(name)
    result = cli("register", name, name, "-o", "out/", "--json")
    assert result.code == ExitCode.OK, result.err
    assert result.json["output"] == "out/a.registered.ome.tif" and result.json["fixed"]["sha256"].startswith("sha256")
    with open_source("out/a.registered.ome.tif") as source:
        assert source.header.spacing_um == pytest.approx((500.0, 500.0)) and source.header.format == "OME-TIFF"
    assert tifffile.imread("out/a.registered.ome.tif").dtype == np.uint16
    assert cli("apply", "out/a.registered.report.json", name, "-o", "again.ome.tif").code == ExitCode.OK


@pytest.mark.parametrize(("name", "write"), [("a.dcm", dicom), ("a.nii.gz", nifti), ("a.ome.zarr", ome_zarr)])
def test_a_slice_is_no_image_of_simpleitk(cli, pair, name, write):
    """It would read a volume, or nothing."""
    write(name)
    result = cli("register", "optical.tif", name, "--tfm", "a.tfm")
    assert result.code in (ExitCode.OUTPUT, ExitCode.OK), result.err
