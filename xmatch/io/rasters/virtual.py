"""VRT files: texts that name the files to read. Which of them may be opened without `--allow-remote`.

A VRT can name any file on the disk, have a text or the memory of a device read as raw pixels, and ask the network. One
that comes from somewhere else could so carry a secret into a result. It is opened by its own name (*.vrt) when it is a
plain mosaic or warp of images that lie in its own folder or below.
"""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree

from xmatch.errors import InputError
from xmatch.io.rasters.guard import Fingerprint, decoding, sniff

MOST_BYTES = 16 * 2**20
"""Of a VRT: a mosaic of some 30,000 files."""
_SOURCES = {"SourceFilename", "SourceDataset"}
_KINDS = {"", "VRTSourcedRasterBand", "VRTWarpedRasterBand", "VRTWarpedDataset"}
"""Subclasses that only put together what their sources say."""
_PLAIN = set(
    """
    VRTDataset VRTRasterBand SRS GeoTransform Metadata MDI Description ColorInterp NoDataValue HideNoDataValue Scale
    Offset UnitType ColorTable Entry SimpleSource ComplexSource AveragedSource KernelFilteredSource Kernel Size
    Coefs SourceFilename SourceBand SourceProperties SrcRect DstRect ScaleOffset ScaleRatio NODATA UseMaskBand LUT
    Exponent SrcMin SrcMax DstMin DstMax ColorTableComponent MaskBand OverviewList Overview GCPList GCP BlockXSize
    BlockYSize CategoryNames Category Histograms HistItem HistMin HistMax BucketCount IncludeOutOfRange Approximate
    HistCounts GDALWarpOptions WarpMemoryLimit ResampleAlg WorkingDataType Option Options SourceDataset Transformer
    ApproxTransformer MaxError BaseTransformer GenImgProjTransformer SrcGeoTransform SrcInvGeoTransform
    DstGeoTransform DstInvGeoTransform ReprojectTransformer ReprojectionTransformer SourceSRS TargetSRS
    SrcGCPTransformer SrcTPSTransformer TPSTransformer GCPTransformer Order Reversed BandList BandMapping
    SrcNoDataReal SrcNoDataImag DstNoDataReal DstNoDataImag SrcAlphaBand DstAlphaBand
    """.split()
)
"""Elements that name no file but in `_SOURCES`, and run nothing."""
_OPTIONS = re.compile(
    r"INIT_DEST|UNIFIED_SRC_NODATA|SAMPLE_GRID|SAMPLE_STEPS|NUM_THREADS|SRC_ALPHA_MAX|DST_ALPHA_MAX"
    r"|ERROR_OUT_IF_EMPTY_SOURCE_WINDOW|AREA_OF_INTEREST|COORDINATE_EPOCH"
)
"""Of a warp; others may name files."""
_OF_GEOLOCATION = {"X_DATASET", "Y_DATASET"}
"""Keys of metadata by which GDAL opens files."""


def check_virtual(path: str) -> None:
    """
    Raises:
        InputError: the VRT is none that may be opened without more: its name does not say that it is one, it does more
            than put images together, or one of these is not an image file in its own folder or below.
    """
    if not path.lower().endswith(".vrt"):
        raise _refusal("is a VRT under another name, a text that names other files to read", path)
    if os.stat(path).st_size > MOST_BYTES:
        raise _refusal(f"is a VRT of more than {MOST_BYTES // 2**20} MiB", path)
    with decoding(path, "is a damaged VRT: "), open(path, "rb") as file:
        text = file.read()
        root = None if re.search(rb"<!(DOCTYPE|ENTITY)", text) else ElementTree.fromstring(text)
    if root is None:
        raise _refusal("is a VRT that defines entities", path)
    for element in root.iter():
        if element.tag not in _PLAIN or element.get("subClass", "") not in _KINDS:
            raise _refusal(f"is a VRT that does more than put images together ({element.tag})", path)
        if element.tag == "MDI" and element.get("key") in _OF_GEOLOCATION:
            raise _refusal("is a VRT with geolocation arrays, which are other files", path)
        if element.tag == "Option":
            name = element.get("name") or element.get("key") or ""
            if not _OPTIONS.fullmatch(name):
                raise _refusal(f"is a VRT with the option {name[:60]!r}", path)
        if element.tag in _SOURCES:
            _check_source(path, (element.text or "").strip(), element.get("relativeToVRT") == "1")


def _check_source(path: str, named: str, relative: bool) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    source = os.path.join(folder, named) if relative else os.path.abspath(named)
    inside = os.path.realpath(source).startswith(os.path.join(os.path.realpath(folder), ""))
    if not named or not inside or "://" in named or named.startswith("/vsi"):
        raise _refusal(f"is a VRT of {named[:200]!r}, which does not lie in its folder", path)
    try:
        Fingerprint.take(source)
        if sniff(source) == "VRT":
            raise InputError("is a VRT itself", path=source)
    except InputError as error:
        raise InputError(f"is a VRT of {named[:200]!r}, which {error.message}", path=path) from None


def _refusal(what: str, path: str) -> InputError:
    return InputError(f"{what}; expected images of its own folder", hint="--allow-remote permits it", path=path)
