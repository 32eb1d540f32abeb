"""DICOM through pydicom: a single image, or one frame of several."""

from __future__ import annotations

from typing import Any

import numpy as np

from xmatch.errors import InputError
from xmatch.io.rasters.extras import extra
from xmatch.io.rasters.guard import Fingerprint, decoding, refuse_bomb, silence
from xmatch.io.rasters.in_memory import WholeLevel, afford
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import BandDetails, Header
from xmatch.io.rasters.spacing import Spacing
from xmatch.io.rasters.values import nodata_notes

_MM = 1000.0
_COLOURS = ("red", "green", "blue")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_TAGS = ("Modality", "BodyPartExamined", "SeriesDescription", "ProtocolName", "SliceThickness", "SliceLocation")
"""What is kept of the header: nothing that names a person."""


def open_dicom(path: str, fingerprint: Fingerprint, options: ReadOptions) -> PyramidSource:
    """Open the frame that `--page` names, the first without it.

    Stored values are delivered. Where 0 is white (MONOCHROME1) they are turned round, and scale and offset with them,
    which lead to the true values as ever.

    Raises:
        UsageError: pydicom is not installed.
        InputError, ResourceError: see `xmatch.io.open_source`.
    """
    pydicom = extra("pydicom", "medical", "DICOM", path)
    silence("pydicom")
    with decoding(path, "cannot be opened: "):
        data = pydicom.dcmread(path, stop_before_pixels=True)
        size = int(data.get("Columns") or 0), int(data.get("Rows") or 0)
        samples, photometric = int(data.get("SamplesPerPixel") or 1), str(data.get("PhotometricInterpretation") or "")
        frames = int(data.get("NumberOfFrames") or 1)
        bits = int(data.get("BitsStored") or data.get("BitsAllocated") or 0)
    if min(size) < 1 or "PixelRepresentation" not in data and "BitsAllocated" not in data:
        raise InputError("is DICOM without an image: it has no rows and columns", path=path)
    if "TotalPixelMatrixColumns" in data:
        raise InputError("is a whole slide, in tiles", hint="convert it to OME-TIFF", path=path)
    if options.series:
        raise InputError(f"has no series {options.series}, only 0", hint="leave out --series", path=path)
    frame = options.page or 0
    if frame >= frames:
        raise InputError(f"has no page {frame}; its frames are 0 to {frames - 1}", hint="--page", path=path)
    grey = photometric in _GREY
    with decoding(path, "cannot be opened: "):
        dtype = _dtype(data, photometric, path)
        depth = samples if photometric != "PALETTE COLOR" else 3
        claimed = size[0] * size[1] * depth * dtype.itemsize
        refuse_bomb(fingerprint, size, claimed * frames, options.max_memory_bytes)
        afford(f"{size[0]} x {size[1]} pixels", 3 * claimed, options.max_memory_bytes, path)
        spacing, notes = _spacing(data, frame)
        details, padding = _meaning(data, frame, options)
    if not grey and depth != 3:
        raise InputError(
            f"holds {depth} samples a pixel of {photometric or 'no kind'}; expected grey or RGB", path=path
        )
    names = ("1",) if grey else _COLOURS
    chosen = tuple(range(len(names))) if options.bands is None else tuple(band - 1 for band in options.bands)
    if max(chosen) >= len(names):
        raise InputError(f"has no band {max(chosen) + 1}; its bands are 1 to {len(names)}", hint="--band", path=path)
    if frames > 1 and options.page is None:
        notes.insert(0, f"frame 0 of {frames} taken; --page picks another")
    top = 2**bits - 1 if not data.get("PixelRepresentation") else -1
    if turned := photometric == "MONOCHROME1" and dtype.kind in "iu":
        notes.append("0 is white in it: values are turned round")
        details = BandDetails(1, -details.scale, details.offset + details.scale * top, details.unit)
        padding = padding and (top - padding[1], top - padding[0])

    def decode() -> np.ndarray:
        pixels = np.asarray(pydicom.pixels.pixel_array(path, index=frame))
        if photometric == "PALETTE COLOR":
            pixels = np.asarray(pydicom.pixels.apply_color_lut(pixels, data))
        pixels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        if pixels.shape[1:] != (size[1], size[0]) or len(pixels) != len(names):
            raise InputError(f"decodes to an array of {pixels.shape}", path=path)
        pixels = top - pixels.astype(dtype) if turned else pixels
        return pixels.astype(dtype, copy=False)

    header = Header(
        path=path,
        format="DICOM",
        width=size[0],
        height=size[1],
        bands=tuple(names[c] for c in chosen),
        dtype=dtype.name,
        spacing_um=spacing,
        nodata=None if padding is None else padding[0],
        colours=() if grey else tuple(names[c] for c in chosen),
        medical=True,
        details=(details,) if grey else (),
        tags={name: str(data[name].value) for name in _TAGS if name in data},
        notes=(*notes, *nodata_notes([options.nodata], dtype)),
    )
    return PyramidSource(
        header,
        [WholeLevel(path, size, decode, chosen, padding)],
        fingerprint=fingerprint,
        close=lambda: None,
        max_memory_bytes=options.max_memory_bytes,
        allow_damaged=options.allow_damaged,
    )


def _dtype(data: Any, photometric: str, path: str) -> np.dtype[Any]:
    """Of the pixels as they are delivered."""
    allocated = int(data.get("BitsAllocated") or 0)
    if "PixelRepresentation" not in data and allocated in (32, 64):  # of integers it says whether they have a sign
        return np.dtype(f"float{allocated}")
    if allocated not in (1, 8, 16, 32, 64):
        raise InputError(f"claims {allocated} bits a pixel", path=path)
    if photometric == "PALETTE COLOR":
        bits = int(data.RedPaletteColorLookupTableDescriptor[2])
        return np.dtype("uint8" if bits <= 8 else "uint16")
    kind = "i" if int(data.get("PixelRepresentation") or 0) else "u"
    return np.dtype(f"{kind}{max(allocated // 8, 1)}")


def _functional(data: Any, frame: int, name: str) -> Any:
    """The item of a functional group (of enhanced, multi-frame objects) that holds for a frame; else the data set."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        sequence = data.get(groups)
        if sequence and index < len(sequence) and sequence[index].get(name):
            return sequence[index].get(name)[0]
    return data


def _spacing(data: Any, frame: int) -> tuple[Spacing | None, list[str]]:
    """Pixel size (x, y) in micrometres; DICOM states mm between rows first."""
    measures = _functional(data, frame, "PixelMeasuresSequence")
    for source, name, note in (
        (measures, "PixelSpacing", ""),
        (data, "ImagerPixelSpacing", "its pixel size is that at the detector, not in the patient"),
        (data, "NominalScannedPixelSpacing", ""),
    ):
        stated = source.get(name)
        if stated is None or len(stated) != 2:
            continue
        rows, columns = (float(value) for value in stated)
        if 0 < min(rows, columns) and max(rows, columns) < 1e6:
            return (columns * _MM, rows * _MM), [note] if note else []
    return None, ["it states no pixel size"]


def _meaning(data: Any, frame: int, options: ReadOptions) -> tuple[BandDetails, tuple[float, float] | None]:
    """What leads from stored to true values, and which of the stored ones are no data (first, last)."""
    values = _functional(data, frame, "PixelValueTransformationSequence")
    scale, offset = (values.get("RescaleSlope"), values.get("RescaleIntercept"))
    details = BandDetails(
        1,
        1.0 if scale is None else float(scale),
        0.0 if offset is None else float(offset),
        str(values.get("RescaleType") or ""),
    )
    if options.nodata is not None:
        return details, None if np.isnan(options.nodata) else (options.nodata, options.nodata)
    if (padding := data.get("PixelPaddingValue")) is None:
        return details, None
    ends = float(padding), float(data.get("PixelPaddingRangeLimit", padding))
    return details, (min(ends), max(ends))
