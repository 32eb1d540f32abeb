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
from xmatch.io.transforms.itk_space import space_of

IMAGE = (np.arange(40 * 48).reshape(40, 48) * 7 % 1021 + 1).astype(np.uint16)


def dicom(path, orientation=None):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 40, 48, 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel, data.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    data.PixelSpacing, data.PixelData = [0.5, 0.5], IMAGE.tobytes()
    if orientation is not None:
        data.ImageOrientationPatient, data.ImagePositionPatient = orientation, [0, 0, 0]
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def sagittal(path):
    dicom(path, [0, 1, 0, 0, 0, -1])


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


@pytest.mark.parametrize(("name", "write"), [("a.nii.gz", nifti), ("a.ome.zarr", ome_zarr), ("a.dcm", sagittal)])
def test_what_simpleitk_reads_otherwise_gets_no_tfm(cli, pair, name, write):
    write(name)
    assert cli("register", "optical.tif", name, "--tfm", "a.tfm").code == ExitCode.OUTPUT


def test_a_tfm_of_dicom_counts_in_its_millimetres(cli, pair):
    dicom("a.dcm")
    assert cli("register", "a.dcm", "a.dcm", "--tfm", "a.tfm").code == ExitCode.OK
    with open_source("a.dcm") as source:
        assert space_of(source.header).spacing == (0.5, 0.5)
