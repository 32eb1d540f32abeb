"""OME-Zarr through zarr: a multiscale image of a local folder, its levels as overviews (OME-NGFF 0.1 to 0.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmatch.errors import InputError
from xmatch.io.rasters.area_means import Box
from xmatch.io.rasters.extras import extra
from xmatch.io.rasters.guard import Fingerprint, decoding, silence
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import Header
from xmatch.io.rasters.spacing import Spacing
from xmatch.io.rasters.values import holds_data, nodata_notes

_UM = {
    "angstrom": 1e-4, "picometer": 1e-6, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4,
    "decimeter": 1e5, "meter": 1e6, "kilometer": 1e9, "inch": 25_400.0, "foot": 304_800.0, "yard": 914_400.0,
}  # fmt: skip
"""Units of axes, as UDUNITS-2 and the specification name them."""
_OLD_AXES = "tczyx"
"""Of versions before 0.3, which name none."""


def open_ome_zarr(path: str, fingerprint: Fingerprint, options: ReadOptions) -> PyramidSource:
    """Open a multiscale image: `--series` picks one of several, `--page` a plane of all axes but channels (which are
    bands), the last axis fastest.

    Raises:
        UsageError: zarr is not installed.
        InputError, ResourceError: see `xmatch.io.open_source`.
    """
    zarr = extra("zarr", "zarr", "OME-Zarr", path)
    silence("zarr")
    with decoding(path, "cannot be opened: "):
        store = zarr.open(path, mode="r")
        if not isinstance(store, zarr.Group):
            raise InputError("is a Zarr array; expected OME-Zarr, a group of levels", path=path)
        try:
            group, attributes, notes = _image(zarr, store, path, options)
            chosen = attributes["multiscales"][0 if group is not store else options.series or 0]
            names = _axes(chosen)
            arrays = [group[str(dataset["path"])] for dataset in chosen["datasets"]]
            spacing = _spacing(chosen, names)
            labels = _labels(attributes)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            # What is said there may be of any shape.
            raise InputError(f"its OME metadata are garbled: {type(error).__name__} {error}"[:200], path=path) from None
    if not arrays or any(not isinstance(array, zarr.Array) for array in arrays):
        raise InputError("lists levels that are no arrays", path=path)
    full = arrays[0]
    dtype = np.dtype(full.dtype)
    if len(names) != full.ndim or names[-2:] != ("y", "x"):
        raise InputError(f"has axes {','.join(names)} of an array of {full.shape}; expected ...,y,x", path=path)
    if dtype.kind not in "iufcb" or min(full.shape) < 1:
        raise InputError(f"holds an array of {full.shape} {dtype}; expected numbers", path=path)
    outer = _Outer.of(names, full.shape, path, options)
    bands = list(range(outer.channels)) if options.bands is None else [band - 1 for band in options.bands]
    if max(bands) >= outer.channels:
        raise InputError(f"has no band {max(bands) + 1}; its bands are 1 to {outer.channels}", hint="--band", path=path)
    if outer.pages > 1 and options.page is None:
        notes.append(f"page 0 of {outer.pages} taken (axes {outer.names}); --page picks another")
    dtype = np.dtype("uint8") if dtype.kind == "b" else dtype.newbyteorder("=")
    nodata = options.nodata if options.nodata is not None and not np.isnan(options.nodata) else None
    levels = [
        ZarrLevel(path, array, outer, bands, dtype, nodata)
        for array in arrays
        if array.dtype == full.dtype and array.shape[:-2] == full.shape[:-2] and min(array.shape) > 0
    ]
    header = Header(
        path=path,
        format="OME-Zarr",
        width=full.shape[-1],
        height=full.shape[-2],
        bands=tuple(labels[band] if band < len(labels) and labels[band] else str(band + 1) for band in bands),
        dtype=dtype.name,
        spacing_um=spacing,
        nodata=nodata,
        medical=True,
        notes=(*notes, *nodata_notes([nodata], dtype)),
    )
    return PyramidSource(
        header,
        levels,
        fingerprint=fingerprint,
        close=lambda: None,
        max_memory_bytes=options.max_memory_bytes,
        allow_damaged=options.allow_damaged,
    )


def _attributes(group: Any) -> Mapping[str, Any]:
    """Of OME: under its own name since 0.5."""
    own: Mapping[str, Any] = dict(group.attrs)
    inside = own.get("ome")
    return inside if isinstance(inside, Mapping) else own


def _image(zarr: Any, store: Any, path: str, options: ReadOptions) -> tuple[Any, Mapping[str, Any], list[str]]:
    """The group of the image asked for, what it says of itself, and what to say of the choice."""
    own = _attributes(store)
    number = options.series or 0
    if "plate" in own or "well" in own:
        hint = "name the folder of one of its fields, such as A/1/0"
        raise InputError("is a plate of many images", hint=hint, path=path)
    if "multiscales" in own:
        count = len(own["multiscales"])
        if number >= max(count, 1):
            raise InputError(f"has no series {number}; its series are 0 to {count - 1}", hint="--series", path=path)
        return store, own, [] if count == 1 or options.series is not None else [_first_of(count)]
    # As bioformats2raw writes them: images in groups that are counted.
    children = sorted(int(name) for name in store.group_keys() if name.isdecimal())
    images = [name for name in children if "multiscales" in _attributes(store[str(name)])]
    if not images:
        raise InputError("is Zarr without multiscales; expected OME-Zarr", path=path)
    if number >= len(images):
        raise InputError(f"has no series {number}; its series are 0 to {len(images) - 1}", hint="--series", path=path)
    group = store[str(images[number])]
    return group, _attributes(group), [] if len(images) == 1 or options.series is not None else [_first_of(len(images))]


def _first_of(count: int) -> str:
    return f"series 0 of {count} taken; --series picks another"


def _axes(multiscale: Mapping[str, Any]) -> tuple[str, ...]:
    axes = multiscale.get("axes")
    if axes is None:
        return tuple(_OLD_AXES)
    return tuple(str(axis["name"] if isinstance(axis, Mapping) else axis) for axis in axes)


def _spacing(multiscale: Mapping[str, Any], names: Sequence[str]) -> Spacing | None:
    """Pixel size (x, y) of the finest level in micrometres; None where units or scales are missing."""
    axes = multiscale.get("axes") or ()
    units = {axis.get("name"): axis.get("unit") for axis in axes if isinstance(axis, Mapping)}
    scale = np.ones(len(names))
    steps = [*multiscale["datasets"][0].get("coordinateTransformations", ())]
    steps += multiscale.get("coordinateTransformations") or ()
    stated = [
        step["scale"] for step in steps if step.get("type") == "scale" and len(step.get("scale", ())) == len(names)
    ]
    for one in stated:
        scale = scale * np.asarray(one, np.float64)
    sides = [scale[list(names).index(axis)] * _UM.get(str(units.get(axis)), np.nan) for axis in "xy"]
    return (float(sides[0]), float(sides[1])) if stated and all(0 < side < 1e12 for side in sides) else None


def _labels(attributes: Mapping[str, Any]) -> list[str]:
    """Names of the channels, as viewers show them."""
    channels = (attributes.get("omero") or {}).get("channels") or ()
    return [str(channel.get("label") or "") for channel in channels]


@dataclass(frozen=True)
class _Outer:
    """The axes outside a plane."""

    names: str
    """All but channels."""
    channels: int
    pages: int
    index: tuple[int | None, ...]
    """Place along each outer axis of the page asked for; None for channels."""

    @staticmethod
    def of(names: Sequence[str], shape: Sequence[int], path: str, options: ReadOptions) -> _Outer:
        outer = list(zip(names[:-2], shape[:-2], strict=True))
        channels = next((side for name, side in outer if name == "c"), 1)
        sides = [side for name, side in outer if name != "c"]
        pages, page = int(np.prod(sides, dtype=np.int64)), options.page or 0
        if page >= pages:
            raise InputError(f"has no page {page}; its pages are 0 to {pages - 1}", hint="--page", path=path)
        places = iter(np.unravel_index(page, sides) if sides else ())
        index = tuple(None if name == "c" else int(next(places)) for name, _ in outer)
        return _Outer("".join(name for name, _ in outer if name != "c"), channels, pages, index)


class ZarrLevel:
    """One array of a multiscale image."""

    sequential = False

    def __init__(
        self, path: str, array: Any, outer: _Outer, bands: Sequence[int], dtype: np.dtype[Any], nodata: float | None
    ) -> None:
        self._path, self._array, self._outer, self._bands = path, array, outer, list(bands)
        self._dtype, self._nodata = dtype, nodata
        self.height, self.width = array.shape[-2:]
        high, wide = array.chunks[-2:]
        self.block = wide, high

    def load(self, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        """See `Level.load`."""
        x0, y0, x1, y1 = box
        with decoding(self._path):
            planes = [self._plane(self._bands[band], slice(y0, y1), slice(x0, x1)) for band in bands]
        pixels = np.stack(planes)
        return pixels, holds_data(pixels, [self._nodata] * len(planes))

    def _plane(self, channel: int, rows: slice, columns: slice) -> np.ndarray:
        outer = tuple(channel if place is None else place for place in self._outer.index)
        return np.asarray(self._array[(*outer, rows, columns)]).astype(self._dtype, copy=False)
