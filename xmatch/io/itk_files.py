"""ITK transform files (.tfm), written and read by SimpleITK.

ITK resamples backwards: its transforms take points of the FIXED image to the MOVING one. Points are physical: the
centre of the first pixel lies at (0, 0), and pixels are `spacing` apart. Spacing is that of the image in millimetres
where the image has one, as SimpleITK reads it from the file, else 1. A comment in the file says so again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import from_centre_xy, to_centre_xy
from xmatch.errors import InputError, OutputError
from xmatch.io.atomic import atomic_write
from xmatch.io.source import Header, Source
from xmatch.io.transform_lattice import backward_lattice
from xmatch.raster import Grid
from xmatch.transforms import DisplacementGrid, Linear, Transform

_MARK = "# xmatch "


def write_tfm(
    path: str | os.PathLike, transform: Transform, fixed: Source, moving: Source, *, overwrite: bool = False
) -> None:
    """An affine transform as such, others as a displacement field over the fixed image.

    Raises:
        OutputError: see `atomic_write`; the name does not end in .tfm; or SimpleITK does not read the same map back.
    """
    import SimpleITK as sitk

    if Path(path).suffix != ".tfm":
        raise OutputError("SimpleITK knows its transform files by the suffix", hint="name it *.tfm", path=path)
    spacings = _spacing(fixed.header), _spacing(moving.header)
    if isinstance(transform, Linear) and transform.kind != "homography":
        backward, error_px = transform.inverse, 0.0
        itk = sitk.AffineTransform(2)
        origin, unit_x, unit_y = _to_moving(backward, np.array([[0.0, 0], [1, 0], [0, 1]]), *spacings)
        itk.SetMatrix(np.column_stack([unit_x - origin, unit_y - origin]).ravel().tolist())
        itk.SetTranslation(origin.tolist())
    else:
        backward, error_px = backward_lattice(transform, Grid.of(fixed.header))
        itk = _field(sitk, backward, *spacings)
    facts = {
        "maps": "fixed physical points to moving physical points; first pixel centre at (0, 0)",
        "fixed": {"size": [fixed.header.width, fixed.header.height], "spacing": list(spacings[0])},
        "moving": {"size": [moving.header.width, moving.header.height], "spacing": list(spacings[1])},
        "greatest_error_px": error_px,
    }

    def verify(temp: Path) -> None:
        probe = np.random.default_rng(0).uniform(0, (fixed.header.width, fixed.header.height), (50, 2))
        try:
            miss = np.abs(read_tfm(temp).inverse(probe) - backward(probe))
        except InputError as error:
            raise OutputError(f"does not read back: {error.message}", path=temp) from error
        if not np.nanmax(miss, initial=0.0) < 1e-3:
            raise OutputError("does not read back as the transform that was written", path=temp)

    with atomic_write(path, overwrite, verify) as temp:
        try:
            sitk.WriteTransform(itk, str(temp))
        except RuntimeError as error:
            raise OutputError(f"could not be written: {_last_line(error)}", path=temp) from error
        first, _, rest = temp.read_text().partition("\n")
        temp.write_text(f"{first}\n{_MARK}{json.dumps(facts)}\n{rest}")


def read_tfm(path: str | os.PathLike, fixed_size: tuple[int, int] | None = None) -> Transform:
    """The transform of a .tfm file, moving px -> fixed px.

    Args:
        path: the file. Spacing is what our comment in it says, else 1.
        fixed_size: (width, height) px of the fixed image, for maps that bend and do not say where they hold.

    Raises:
        InputError: the file cannot be read, is not two-dimensional, or bends nobody knows where.
    """
    import SimpleITK as sitk

    try:
        itk = sitk.ReadTransform(os.fspath(path))
        if itk.GetDimension() != 2:
            raise InputError(f"maps {itk.GetDimension()} dimensions; expected 2", path=path)
        return _from_itk(itk, _Facts.of(Path(path).read_text()), path, fixed_size)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    except (RuntimeError, ValueError) as error:
        raise InputError(f"not an ITK transform: {_last_line(error)}", path=path) from error


@dataclass(frozen=True)
class _Facts:
    """What the comment of a file of ours says; its defaults stand for files of other programs."""

    fixed_spacing: tuple[float, float] = (1.0, 1.0)
    moving_spacing: tuple[float, float] = (1.0, 1.0)
    fixed_size: tuple[int, int] | None = None

    @staticmethod
    def of(text: str) -> _Facts:
        """Raises ValueError when the comment is garbled."""
        line = next((line for line in text.splitlines() if line.startswith(_MARK)), None)
        if line is None:
            return _Facts()
        try:
            told = json.loads(line[len(_MARK) :])
            spacings = [tuple(float(s) for s in told[side]["spacing"]) for side in ("fixed", "moving")]
            size = tuple(int(n) for n in told["fixed"]["size"])
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"the comment of xmatch in it is garbled: {error}") from None
        sound = all(len(pair) == 2 and all(0 < n < np.inf for n in pair) for pair in (*spacings, size))
        if not sound:
            raise ValueError(f"the comment of xmatch in it is garbled: spacings {spacings}, size {size}")
        return _Facts(*spacings, size)


def _from_itk(itk: Any, facts: _Facts, path: str | os.PathLike, fixed_size: tuple[int, int] | None) -> Transform:
    """See `read_tfm`. Raises ValueError for numbers that make no map."""
    import SimpleITK as sitk

    fixed_spacing, moving_spacing = facts.fixed_spacing, facts.moving_spacing

    def backward(fixed_xy: np.ndarray) -> np.ndarray:
        points = to_centre_xy(fixed_xy) * fixed_spacing
        mapped = np.array([itk.TransformPoint(point) for point in points.reshape(-1, 2).tolist()])
        return from_centre_xy(mapped.reshape(points.shape) / moving_spacing)

    if itk.IsLinear():
        origin, unit_x, unit_y = backward(np.array([[0.0, 0], [1, 0], [0, 1]]))
        matrix = np.eye(3)
        matrix[:2] = np.column_stack([unit_x - origin, unit_y - origin, origin])
        return Linear(matrix, "affine").inverse
    if itk.GetName() == "DisplacementFieldTransform":
        return _lattice(sitk.DisplacementFieldTransform(itk), np.array(fixed_spacing), np.array(moving_spacing)).inverse
    size = fixed_size or facts.fixed_size
    if size is None:
        raise InputError(f"a {itk.GetName()} does not say where it holds", hint="give the fixed image", path=path)
    return DisplacementGrid.sampled(backward, *size, step_px=16).inverse


def _to_moving(backward: Transform, points: np.ndarray, fixed_spacing, moving_spacing) -> np.ndarray:
    """(N, 2) physical points of fixed to those of moving."""
    return to_centre_xy(backward(from_centre_xy(points / fixed_spacing))) * moving_spacing


def _field(sitk: Any, lattice: DisplacementGrid, fixed_spacing, moving_spacing) -> Any:
    """ITK interpolates a field linearly, as the lattice does; beyond its outermost nodes nothing is displaced."""
    nodes = to_centre_xy(lattice.nodes_xy) * fixed_spacing
    displaced = to_centre_xy(lattice.target_xy) * moving_spacing
    image = sitk.GetImageFromArray(np.ascontiguousarray(displaced - nodes), isVector=True)
    image.SetOrigin(nodes[0, 0].tolist())
    image.SetSpacing((np.array(lattice.step_xy) * fixed_spacing).tolist())
    return sitk.DisplacementFieldTransform(image)


def _lattice(itk: Any, fixed_spacing: np.ndarray, moving_spacing: np.ndarray) -> DisplacementGrid:
    """Inverse of `_field`."""
    import SimpleITK as sitk

    image = itk.GetDisplacementField()
    if min(image.GetSize()) < 2:
        raise ValueError(f"its displacement field has {' x '.join(map(str, image.GetSize()))} nodes; expected 2 x 2")
    if not np.allclose(image.GetDirection(), (1, 0, 0, 1), rtol=0, atol=1e-6):
        raise ValueError("its displacement field lies on turned axes; expected upright ones")
    field = sitk.GetArrayFromImage(image)
    if not np.isfinite(field).all():
        raise ValueError("a displacement of its field is not a finite number")
    origin, step = np.array(image.GetOrigin()), np.array(image.GetSpacing())
    nodes = origin + step * np.stack(np.meshgrid(*(np.arange(n) for n in image.GetSize())), axis=-1)
    target = from_centre_xy((nodes + field) / moving_spacing)
    return DisplacementGrid(tuple(from_centre_xy(origin / fixed_spacing)), tuple(step / fixed_spacing), target)


def _spacing(header: Header) -> tuple[float, float]:
    if header.spacing_um is None:
        return 1.0, 1.0
    return header.spacing_um[0] / 1000, header.spacing_um[1] / 1000


def _last_line(error: Exception) -> str:
    """SimpleITK puts its reason last, after source positions."""
    return (str(error).strip().splitlines() or ["unknown"])[-1]
