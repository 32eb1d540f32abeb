"""NIfTI through nibabel: one slice of a volume, turned as DICOM viewers show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xmatch.errors import InputError
from xmatch.io.rasters.extras import extra
from xmatch.io.rasters.guard import Fingerprint, decoding, silence
from xmatch.io.rasters.in_memory import WholeLevel, afford
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import Header
from xmatch.io.rasters.spacing import Spacing
from xmatch.io.rasters.values import nodata_notes

PLANES = ("axial", "coronal", "sagittal")
"""What `--series` counts."""
_ACROSS = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
"""Of each: the axis of the body that runs to the right of the picture, the one that runs down, the one through it. 0:
right to left, 1: front to back, 2: up to down."""
_UM = {"meter": 1e6, "mm": 1e3, "micron": 1.0}
_COLOURS = ("red", "green", "blue")


def open_nifti(path: str, fingerprint: Fingerprint, options: ReadOptions) -> PyramidSource:
    """Open a slice: `--series` 0 axial (default), 1 coronal, 2 sagittal; `--page` its number along the axis of the file
    that runs through it, then those of the next volume; the middle one without it.

    Pictures have the patient's left on the right, the back (axial) or the feet (others) below.

    Raises:
        UsageError: nibabel is not installed.
        InputError, ResourceError: see `xmatch.io.open_source`.
    """
    nibabel = extra("nibabel", "medical", "NIfTI", path)
    silence("nibabel")
    with decoding(path, "cannot be opened: "):
        image = nibabel.load(path)
        shape = tuple(int(side) for side in image.shape)
        stored = np.dtype(image.get_data_dtype())
    series = options.series or 0
    if series >= len(PLANES):
        listed = ", ".join(f"{number} {name}" for number, name in enumerate(PLANES))
        raise InputError(f"has no series {series}; its series are {listed}", hint="--series", path=path)
    if min(shape, default=0) < 1 or len(shape) < 2:
        raise InputError(f"holds an array of {shape}; expected a volume", path=path)
    names = _COLOURS if stored.fields else ("1",)
    if stored.fields and stored.names[:3] != ("R", "G", "B"):
        raise InputError(f"holds pixels of a kind that xmatch does not know: {stored}", path=path)
    volume = (*shape, 1)[:3]
    bytes_each = 8 if not stored.fields else stored.itemsize
    afford(
        f"volumes of {volume} voxels", int(np.prod(volume, dtype=object)) * bytes_each, options.max_memory_bytes, path
    )
    with decoding(path, "cannot be opened: "):
        place = _Place.of(nibabel, image, series)
        slices = volume[place.through]
        pages = slices * int(np.prod(shape[3:], dtype=np.int64))
        page = (slices // 2) if options.page is None else options.page
        if page >= pages:
            raise InputError(f"has no page {page}; its slices are 0 to {pages - 1}", hint="--page", path=path)
        size = volume[place.right], volume[place.down]
        spacing, notes = _spacing(image, place)
        dtype = np.dtype("uint8") if stored.fields else _dtype(image, stored, path)
    if pages > 1 and options.page is None:
        notes.insert(0, f"{PLANES[series]} slice {page} of {pages} taken; --page picks another, --series another plane")
    chosen = tuple(range(len(names))) if options.bands is None else tuple(band - 1 for band in options.bands)
    if max(chosen) >= len(names):
        raise InputError(f"has no band {max(chosen) + 1}; its bands are 1 to {len(names)}", hint="--band", path=path)

    def decode() -> np.ndarray:
        plane = place.shown(image, page, slices)
        if stored.fields:
            return np.stack([plane[name] for name in stored.names[:3]])
        return plane.astype(dtype, copy=False)[None]

    nodata = options.nodata if options.nodata is not None and not np.isnan(options.nodata) else None
    header = Header(
        path=path,
        format="NIfTI",
        width=size[0],
        height=size[1],
        bands=tuple(names[c] for c in chosen),
        dtype=dtype.name,
        spacing_um=spacing,
        nodata=nodata,
        colours=tuple(names[c] for c in chosen) if stored.fields else (),
        medical=True,
        notes=(*notes, *nodata_notes([nodata], dtype)),
    )
    return PyramidSource(
        header,
        [WholeLevel(path, size, decode, chosen, None if nodata is None else (nodata, nodata))],
        fingerprint=fingerprint,
        close=lambda: None,
        max_memory_bytes=options.max_memory_bytes,
        allow_damaged=options.allow_damaged,
    )


@dataclass(frozen=True)
class _Place:
    """How a slice lies in the file."""

    right: int
    """Axis of the file that runs across the picture, as the next."""
    down: int
    through: int
    flip_right: bool
    flip_down: bool
    is_known: bool
    """False where the file does not say how it lies: its own axes are taken."""

    @staticmethod
    def of(nibabel: Any, image: Any, series: int) -> _Place:
        ornt = nibabel.orientations.io_orientation(image.affine)
        is_known = bool(np.isfinite(ornt).all())
        if not is_known:
            ornt = np.array([[0, -1], [1, -1], [2, -1]])
        # Axis of the file for each of the body's; +1: it runs to the right, front or up, as NIfTI counts.
        axis = {int(body): place for place, (body, _) in enumerate(ornt)}
        right, down, through = (axis[body] for body in _ACROSS[series])
        return _Place(right, down, through, ornt[right, 1] > 0, ornt[down, 1] > 0, is_known)

    def shown(self, image: Any, page: int, slices: int) -> np.ndarray:
        """(h, w) of one slice, in true values."""
        ndim = len(image.shape)
        index: list[Any] = [slice(None)] * ndim
        if self.through < ndim:
            index[self.through] = page % slices
        for place, number in enumerate(np.unravel_index(page // slices, image.shape[3:] or (1,))[: max(ndim - 3, 0)]):
            index[3 + place] = int(number)
        plane = np.asarray(image.dataobj[tuple(index)])
        if plane.ndim < 2:  # of a flat file, seen from aside
            plane = np.expand_dims(plane, 0 if min(self.right, self.down) == self.through else -1)
        plane = plane.T if self.right < self.down else plane
        plane = plane[:, ::-1] if self.flip_right else plane
        return plane[::-1] if self.flip_down else plane


def _dtype(image: Any, stored: np.dtype[Any], path: str) -> np.dtype[Any]:
    """Of true values: single precision where the file scales what it stores."""
    scaled = (float(image.dataobj.slope), float(image.dataobj.inter)) != (1.0, 0.0)
    if stored.kind not in "iufc":
        raise InputError(f"holds pixels of a kind that xmatch does not know: {stored}", path=path)
    if scaled and stored.kind in "iu":
        return np.dtype("float32")
    return np.dtype("float64") if stored.itemsize == 16 and stored.kind == "f" else stored.newbyteorder("=")


def _spacing(image: Any, place: _Place) -> tuple[Spacing | None, list[str]]:
    """Pixel size (x, y) in micrometres, and what to say of that."""
    zooms = [*map(float, image.header.get_zooms()), 1.0]
    unit = image.header.get_xyzt_units()[0]
    notes = [] if place.is_known else ["it does not say how it lies in the body: its own axes are taken"]
    if unit not in _UM:
        notes.append("it names no unit of length: millimetres are assumed")
    sides = zooms[place.right], zooms[place.down]
    if not all(np.isfinite(side) and 0 < side < 1e6 for side in sides):
        return None, [*notes, "it states no pixel size"]
    um = _UM.get(unit, 1e3)
    return (sides[0] * um, sides[1] * um), notes
