"""VRTs that lay the moving file on the fixed image's grid whenever they are read (gdal.org/drivers/raster/vrt.html)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import numpy as np

from xmatch.errors import OutputError
from xmatch.geometry import Transform
from xmatch.io.rasters.labels import holds_labels
from xmatch.io.rasters.source import Header, Source
from xmatch.io.transforms.gcps import is_affine, spline_points
from xmatch.io.writing.atomic import atomic_write
from xmatch.io.writing.layout import RasterLayout, layout_of
from xmatch.io.writing.template import gdal_session, resolution_tags
from xmatch.raster import Grid

_MAX_ERROR_PX = 0.02  # that GDAL may make by interpolating positions along a row
_ALGORITHMS = {"nearest": "NearestNeighbour", "bilinear": "Bilinear", "cubic": "Cubic", "lanczos": "Lanczos"}
_KEPT = ("Description", "ColorInterp", "ColorTable", "CategoryNames", "GDALRasterAttributeTable")
_LOOKS = ((0.1, 0.1), (0.5, 0.5), (0.9, 0.3), (0.3, 0.8))
_LOOK_PX = 32


def write_vrt(
    path: str | os.PathLike,
    transform: Transform,
    fixed: Source,
    moving: Source,
    *,
    resampling: str = "auto",
    overwrite: bool = False,
) -> tuple[str, ...]:
    """A VRT on the fixed image's grid, into which GDAL warps the moving file when it is read: exactly where the
    transform is affine, by a thin-plate spline through `spline_points` otherwise.

    Args:
        resampling: a key of `_ALGORITHMS`, or "auto": nearest for labels, else cubic. Palettes and complex values get
            nearest in any case.

    Returns:
        What the user should know of it: how far from the map the spline is.

    Raises:
        OutputError: see `atomic_write`; or GDAL does not see the moving file as xmatch does.
    """
    from rasterio.shutil import copy

    header = moving.header
    with atomic_write(path, overwrite, lambda temp: _open_once(temp)) as temp, gdal_session(temp):
        bands = check_vrt(path, fixed, moving)
        copy(header.path, temp, driver="VRT", strict=False)
        plain = xml.parse(temp).getroot()
        listed = {int(element.get("band", 0)): element for element in plain.findall("VRTRasterBand")}
        transformer, error_px = _transformer(transform, header)
        layout = layout_of(header, Grid.of(fixed.header))
        root = _dataset(fixed.header, layout, error_px)
        nodata = _nodata(bands, listed, header)
        options = _bands(root, bands, listed, nodata, layout)
        has_no_mean = header.palette is not None or np.dtype(header.dtype).kind == "c"
        if resampling == "auto":
            resampling = "nearest" if has_no_mean or holds_labels(moving) else "cubic"
        _texts(
            options,
            ResampleAlg=_ALGORITHMS["nearest" if has_no_mean else resampling],
            WorkingDataType=listed[bands[0]].get("dataType"),
        )
        _source(options, header.path, Path(path).absolute().parent)
        options.append(transformer)
        _mappings(options, bands, nodata)
        for number, element in listed.items():
            if element.findtext("ColorInterp") == "Alpha" and number not in bands:
                _texts(options, SrcAlphaBand=str(number))
        xml.indent(root)
        xml.ElementTree(root).write(temp, encoding="utf-8")
    if is_affine(transform):
        return ()
    return (f"--vrt approximates a map that is not affine, by a spline: within {error_px:.2g} px of it",)


def check_vrt(path: str | os.PathLike, fixed: Source, moving: Source) -> list[int]:
    """The numbers of the moving file's bands as GDAL counts them.

    Raises:
        OutputError: GDAL does not see the moving file as xmatch does.
    """
    import rasterio

    header = moving.header
    with gdal_session(Path(path)), rasterio.open(header.path) as file:
        if (file.width, file.height) != (header.width, header.height):
            raise OutputError("GDAL opens another page of the moving file; no VRT can name this one", path=path)
        bands = [band.index for band in header.details] or [
            index for index, colour in zip(file.indexes, file.colorinterp, strict=True) if colour.name != "alpha"
        ]
        if not _looks_alike(file, bands, moving):
            raise OutputError("GDAL reads other pixels from the moving file: no VRT can show these", path=path)
    return bands


def _looks_alike(file: Any, bands: list[int], moving: Source) -> bool:
    """Whether GDAL delivers the pixels of `moving`, judged by a few windows of them."""
    import rasterio

    header = moving.header
    if len(bands) != (1 if header.palette else len(header.bands)):
        return False
    for share_x, share_y in _LOOKS:
        width, height = min(_LOOK_PX, header.width), min(_LOOK_PX, header.height)
        x, y = int(share_x * (header.width - width)), int(share_y * (header.height - height))
        ours = moving.read((x, y, width, height), native=header.palette is not None).pixels
        theirs = file.read(bands, window=rasterio.windows.Window(x, y, width, height))
        if not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind in "fc"):
            return False
    return True


def _dataset(fixed: Header, layout: RasterLayout, error_px: float) -> xml.Element:
    root = xml.Element("VRTDataset", rasterXSize=str(fixed.width), rasterYSize=str(fixed.height))
    root.set("subClass", "VRTWarpedDataset")
    if fixed.georef:
        root.extend(_place(fixed.georef.matrix, fixed.georef.crs_wkt))
    error = {} if error_px == 0 else {"XMATCH_GREATEST_ERROR_PX": f"{error_px:.2g}"}
    _metadata(root, layout.tags | resolution_tags(fixed.resolution) | error)
    return root


def _bands(
    root: xml.Element, bands: list[int], listed: dict[int, xml.Element], nodata: list[str | None], layout: RasterLayout
) -> xml.Element:
    """The bands of the dataset, an alpha one where none has a nodata value, and the options of the warp, begun."""
    for i, band in enumerate(bands, 1):
        element = _band(root, i, listed[band].get("dataType", ""))
        element.extend(child for child in listed[band] if child.tag in _KEPT)
        if nodata[i - 1] is not None:
            _texts(element, NoDataValue=nodata[i - 1])
        for details in layout.details[i - 1 : i]:
            scaled = (details.scale, details.offset) != (1.0, 0.0)
            _texts(element, **({"Offset": repr(details.offset), "Scale": repr(details.scale)} if scaled else {}))
            _texts(element, **({"UnitType": details.unit} if details.unit else {}))
            _metadata(element, details.tags)
    if not any(nodata):
        alpha = _band(root, len(bands) + 1, listed[bands[0]].get("dataType", ""))
        _texts(alpha, ColorInterp="Alpha")
    options = xml.SubElement(root, "GDALWarpOptions")
    if any(nodata):
        xml.SubElement(options, "Option", name="INIT_DEST").text = "NO_DATA"
    return options


def _band(root: xml.Element, number: int, data_type: str) -> xml.Element:
    element = xml.SubElement(root, "VRTRasterBand", dataType=data_type, band=str(number))
    element.set("subClass", "VRTWarpedRasterBand")
    return element


def _nodata(bands: list[int], listed: dict[int, xml.Element], moving: Header) -> list[str | None]:
    """What the file says of each band, unless the user named another value for all; NaN is no data in any case."""
    never = "nan" if np.dtype(moving.dtype).kind == "f" else None
    own = [listed[band].findtext("NoDataValue") or never for band in bands]
    if moving.nodata is None or any(text is not None and float(text) == moving.nodata for text in own):
        return own
    return [never if np.isnan(moving.nodata) else repr(moving.nodata)] * len(bands)


def _source(options: xml.Element, path: str, folder: Path) -> None:
    source = xml.SubElement(options, "SourceDataset", relativeToVRT="0")
    source.text = os.path.abspath(path)
    if Path(source.text).parent == folder:
        source.set("relativeToVRT", "1")
        source.text = Path(source.text).name


def _transformer(transform: Transform, moving: Header) -> tuple[xml.Element, float]:
    """GDAL's transformer from moving px into px of the fixed image, so that it works without any CRS, and its error
    in moving px, apart from `_MAX_ERROR_PX`."""
    root = xml.Element("Transformer")
    approximate = xml.SubElement(root, "ApproxTransformer")
    _texts(approximate, MaxError=str(_MAX_ERROR_PX))
    general = xml.SubElement(xml.SubElement(approximate, "BaseTransformer"), "GenImgProjTransformer")
    error_px = 0.0
    if is_affine(transform):
        for tag, matrix in (("SrcGeoTransform", transform.matrix), ("SrcInvGeoTransform", transform.inverse.matrix)):
            _texts(general, **{tag: _geotransform(matrix)})
    else:
        spline = xml.SubElement(xml.SubElement(general, "SrcTPSTransformer"), "TPSTransformer")
        _texts(spline, Reversed="0")
        points = xml.SubElement(spline, "GCPList")
        moving_xy, fixed_xy, error_px = spline_points(transform, moving.width, moving.height)
        for i, ((pixel, line), (x, y)) in enumerate(zip(moving_xy.tolist(), fixed_xy.tolist(), strict=True)):
            xml.SubElement(points, "GCP", Id=str(i), Pixel=repr(pixel), Line=repr(line), X=repr(x), Y=repr(y))
    _texts(general, DstGeoTransform="0,1,0,0,0,1", DstInvGeoTransform="0,1,0,0,0,1")
    return root, error_px


def _mappings(options: xml.Element, bands: list[int], nodata: list[str | None]) -> None:
    mappings = xml.SubElement(options, "BandList")
    for i, (band, value) in enumerate(zip(bands, nodata, strict=True), 1):
        mapping = xml.SubElement(mappings, "BandMapping", src=str(band), dst=str(i))
        if value is not None:
            _texts(mapping, SrcNoDataReal=value, SrcNoDataImag="0", DstNoDataReal=value, DstNoDataImag="0")
    if not any(nodata):
        _texts(options, DstAlphaBand=str(len(bands) + 1))


def _place(to_crs: np.ndarray, crs_wkt: str | None) -> list[xml.Element]:
    elements = []
    if crs_wkt:
        elements.append(xml.Element("SRS", dataAxisToSRSAxisMapping="1,2"))
        elements[0].text = crs_wkt
    elements.append(xml.Element("GeoTransform"))
    elements[-1].text = _geotransform(to_crs)
    return elements


def _geotransform(matrix: np.ndarray) -> str:
    """In GDAL's order."""
    (a, b, c), (d, e, f) = matrix[:2].tolist()
    return ", ".join(map(repr, (c, a, b, f, d, e)))


def _metadata(parent: xml.Element, tags: dict[str, str]) -> None:
    if tags:
        items = xml.SubElement(parent, "Metadata")
        for name, text in tags.items():
            xml.SubElement(items, "MDI", key=name).text = text


def _texts(parent: xml.Element, **texts: str | None) -> None:
    for tag, text in texts.items():
        xml.SubElement(parent, tag).text = text


def _open_once(path: Path) -> None:
    import rasterio

    with gdal_session(path), rasterio.open(path, driver="VRT") as file:
        file.read(1, window=rasterio.windows.Window(0, 0, 1, 1))
