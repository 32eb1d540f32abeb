"""The transform in terms that GDAL and QGIS understand: ground control points, and VRTs that move pixels when read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as xml

import numpy as np

from xmatch.errors import OutputError
from xmatch.io.atomic import atomic_write
from xmatch.io.layout import layout_of, output_dtype
from xmatch.io.source import Header, Source
from xmatch.io.staging import Block, gdal_session
from xmatch.io.transform_lattice import forward_points
from xmatch.io.write_raster import write_cog
from xmatch.raster import Georef, Grid
from xmatch.transforms import Linear, Transform

_BLOCK_PX = 1024
_MAX_ERROR_PX = 0.02  # that GDAL may make by interpolating positions along a row of a warped VRT


def write_gcps(
    path: str | os.PathLike, transform: Transform, fixed: Source, moving: Source, *, overwrite: bool = False
) -> None:
    """A copy of the moving image, its pixels untouched, with ground control points in the fixed image's CRS: 3 x 3
    of them when the transform is affine, 12 x 12 otherwise (warp these with thin-plate splines).

    Raises:
        OutputError: see `atomic_write`; or the fixed image has no CRS.
    """
    check_gcps(path, fixed, moving)
    georef = fixed.header.georef
    moving_xy, fixed_xy = forward_points(
        transform, moving.header.width, moving.header.height, 3 if _is_affine(transform) else 12
    )
    ground = fixed_xy @ georef.matrix[:2, :2].T + georef.matrix[:2, 2]
    gcps = tuple(map(tuple, np.column_stack([moving_xy, ground]).tolist()))
    place = Georef(georef.crs_wkt, georef.affine)
    layout = layout_of(moving.header, Grid(moving.header.width, moving.header.height, place))
    write_cog(path, replace(layout, gcps=gcps), _blocks(moving), overwrite=overwrite)


def check_gcps(path: str | os.PathLike, fixed: Source, moving: Source) -> None:
    """
    Raises:
        OutputError: the fixed image has no CRS.
    """
    if fixed.header.georef is None or fixed.header.georef.crs_wkt is None:
        hint = "--assume-crs names it where the file lacks it; --points and --displacement say it in px"
        raise OutputError("ground control points need a fixed image with a CRS", hint=hint, path=path)


def check_vrt(path: str | os.PathLike, fixed: Source, moving: Source) -> None:
    """
    Raises:
        OutputError: GDAL does not see the moving file as xmatch does.
    """
    import rasterio

    with gdal_session(Path(path)), rasterio.open(moving.header.path) as file:
        if (file.width, file.height) != (moving.header.width, moving.header.height):
            raise OutputError("GDAL opens another page of the moving file; no VRT can name this one", path=path)


def write_vrt(
    path: str | os.PathLike, transform: Transform, fixed: Source, moving: Source, *, overwrite: bool = False
) -> None:
    """A VRT over the moving file. When the transform is affine, it is that file in its corrected place; otherwise it
    lies on the fixed image's grid, and GDAL warps with a thin-plate spline through 12 x 12 points when it is read.

    Raises:
        OutputError: see `atomic_write`; or GDAL does not see the moving file as xmatch does.
    """
    import rasterio
    from rasterio.shutil import copy

    check_vrt(path, fixed, moving)
    with atomic_write(path, overwrite, lambda temp: _open_once(temp)) as temp, gdal_session(temp):
        with rasterio.open(moving.header.path) as file:
            bands = [
                index for index, colour in zip(file.indexes, file.colorinterp, strict=True) if colour.name != "alpha"
            ]
        copy(moving.header.path, temp, driver="VRT", strict=False)
        if _is_affine(transform):
            root = _corrected(xml.parse(temp).getroot(), transform, fixed.header)
        else:
            root = _warped(xml.parse(temp).getroot(), transform, fixed.header, moving.header, bands, temp.parent)
        xml.indent(root)
        xml.ElementTree(root).write(temp, encoding="utf-8")


def _corrected(root: xml.Element, transform: Transform, fixed: Header) -> xml.Element:
    """`root` with the fixed image's CRS and the moving pixels' place in it."""
    for tag in ("SRS", "GeoTransform", "GCPList"):
        for element in root.findall(tag):
            root.remove(element)
    for element in root.findall("Metadata"):
        if element.get("domain") in ("RPC", "GEOLOCATION"):
            root.remove(element)
    base = np.eye(3) if fixed.georef is None else fixed.georef.matrix
    for element in reversed(_place(base @ transform.matrix, fixed.georef and fixed.georef.crs_wkt)):
        root.insert(0, element)
    return root


def _warped(
    plain: xml.Element, transform: Transform, fixed: Header, moving: Header, bands: list[int], directory: Path
) -> xml.Element:
    """A warped VRT (gdal.org/drivers/raster/vrt.html#warped-vrt) of the bands that `plain` lists.

    Its control points lead into px of the fixed image, so that it works without any CRS.
    """
    root = xml.Element("VRTDataset", rasterXSize=str(fixed.width), rasterYSize=str(fixed.height))
    root.set("subClass", "VRTWarpedDataset")
    if fixed.georef:
        root.extend(_place(fixed.georef.matrix, fixed.georef.crs_wkt))
    listed = {int(element.get("band", 0)): element for element in plain.findall("VRTRasterBand")}
    for i, band in enumerate(bands, 1):
        element = xml.SubElement(root, "VRTRasterBand", dataType=listed[band].get("dataType", ""), band=str(i))
        element.set("subClass", "VRTWarpedRasterBand")
        element.extend(
            child for child in listed[band] if child.tag in ("Description", "NoDataValue", "ColorInterp", "ColorTable")
        )
    options = xml.SubElement(root, "GDALWarpOptions")
    is_indexed = moving.palette is not None or np.dtype(moving.dtype).kind == "c"
    _texts(
        options,
        ResampleAlg="NearestNeighbour" if is_indexed else "Cubic",
        WorkingDataType=listed[bands[0]].get("dataType"),
    )
    source = xml.SubElement(options, "SourceDataset", relativeToVRT="0")
    source.text = os.path.abspath(moving.path)
    if Path(source.text).parent == directory:
        source.set("relativeToVRT", "1")
        source.text = Path(source.text).name
    moving_xy, fixed_xy = forward_points(transform, moving.width, moving.height, 12)
    approximate = xml.SubElement(xml.SubElement(options, "Transformer"), "ApproxTransformer")
    _texts(approximate, MaxError=str(_MAX_ERROR_PX))
    general = xml.SubElement(xml.SubElement(approximate, "BaseTransformer"), "GenImgProjTransformer")
    spline = xml.SubElement(xml.SubElement(general, "SrcTPSTransformer"), "TPSTransformer")
    _texts(spline, Reversed="0")
    points = xml.SubElement(spline, "GCPList")
    for i, ((pixel, line), (x, y)) in enumerate(zip(moving_xy.tolist(), fixed_xy.tolist(), strict=True)):
        xml.SubElement(points, "GCP", Id=str(i), Pixel=repr(pixel), Line=repr(line), X=repr(x), Y=repr(y))
    _texts(general, DstGeoTransform="0,1,0,0,0,1", DstInvGeoTransform="0,1,0,0,0,1")
    mappings = xml.SubElement(options, "BandList")
    for i, band in enumerate(bands, 1):
        mapping = xml.SubElement(mappings, "BandMapping", src=str(band), dst=str(i))
        nodata = listed[band].findtext("NoDataValue")
        if nodata is not None:
            _texts(mapping, SrcNoDataReal=nodata, SrcNoDataImag="0", DstNoDataReal=nodata, DstNoDataImag="0")
    if all(listed[band].find("NoDataValue") is None for band in bands):
        alpha = xml.Element("VRTRasterBand", dataType=listed[bands[0]].get("dataType", ""), band=str(len(bands) + 1))
        alpha.set("subClass", "VRTWarpedRasterBand")
        _texts(alpha, ColorInterp="Alpha")
        root.insert(list(root).index(options), alpha)
        _texts(options, DstAlphaBand=str(len(bands) + 1))
    else:
        init = xml.Element("Option", name="INIT_DEST")
        init.text = "NO_DATA"
        options.insert(0, init)
    return root


def _place(to_crs: np.ndarray, crs_wkt: str | None) -> list[xml.Element]:
    elements = []
    if crs_wkt:
        elements.append(xml.Element("SRS", dataAxisToSRSAxisMapping="1,2"))
        elements[0].text = crs_wkt
    elements.append(xml.Element("GeoTransform"))
    (a, b, c), (d, e, f) = to_crs[:2].tolist()
    elements[-1].text = ", ".join(map(repr, (c, a, b, f, d, e)))
    return elements


def _texts(parent: xml.Element, **texts: str | None) -> None:
    for tag, text in texts.items():
        xml.SubElement(parent, tag).text = text


def _is_affine(transform: Transform) -> bool:
    return isinstance(transform, Linear) and transform.kind != "homography"


def _open_once(path: Path) -> None:
    import rasterio

    with gdal_session(path), rasterio.open(path, driver="VRT") as file:
        file.read(1, window=rasterio.windows.Window(0, 0, 1, 1))


def _blocks(moving: Source) -> Iterator[Block]:
    """The moving image as it is."""
    width, height, native = moving.header.width, moving.header.height, moving.header.palette is not None
    dtype = output_dtype(moving.header)
    for y in range(0, height, _BLOCK_PX):
        for x in range(0, width, _BLOCK_PX):
            window = (x, y, min(_BLOCK_PX, width - x), min(_BLOCK_PX, height - y))
            raster = moving.read(window, native=native)
            yield Block(x, y, np.where(raster.valid, raster.pixels, 0).astype(dtype), raster.valid)
