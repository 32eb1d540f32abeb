"""ITK transform files (.tfm), written and read by SimpleITK.

ITK resamples backwards: its transforms take points of the FIXED image to the MOVING one. Points are physical, in the
units in which SimpleITK reads these very files (`itk_space`). A comment in the file says so again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.errors import InputError, OutputError
from xmatch.geometry import DisplacementGrid, Linear, Transform
from xmatch.io.rasters.source import Header, Source
from xmatch.io.transforms.itk_space import PhysicalSpace, last_line, simpleitk, space_of
from xmatch.io.transforms.lattice import TOLERANCE_PX, backward_lattice
from xmatch.io.writing.atomic import atomic_write
from xmatch.raster import Grid

_MARK = "# xmatch "


def write_tfm(
    path: str | os.PathLike, transform: Transform, fixed: Source, moving: Source, *, overwrite: bool = False
) -> tuple[str, ...]:
    """An affine transform as such, others as a displacement field over the fixed image.

    Returns:
        What the user should know of it: the error of the field, where it is more than `TOLERANCE_PX`.

    Raises:
        OutputError: see `atomic_write` and `space_of`; the name does not end in .tfm; or SimpleITK does not read the
            same map back.
    """
    sitk = simpleitk()
    spaces = check_tfm(path, fixed, moving)
    backward: Linear | DisplacementGrid
    if isinstance(transform, Linear) and transform.kind != "homography":
        backward, error_px = transform.inverse, 0.0
        itk = sitk.AffineTransform(2)
        corner = np.array([[0.0, 0], [1, 0], [0, 1]])
        origin, unit_x, unit_y = spaces[1].points(backward(spaces[0].pixels(corner)))
        itk.SetMatrix(np.column_stack([unit_x - origin, unit_y - origin]).ravel().tolist())
        itk.SetTranslation(origin.tolist())
    else:
        lattice, error_px = backward_lattice(transform, Grid.of(fixed.header))
        backward, itk = lattice, _field(sitk, lattice, *spaces)
    facts: dict[str, Any] = {
        "maps": "points of fixed to points of moving: origin + spacing * index, in mm as SimpleITK reads both files "
        "(in px where they state no resolution: spacing 1)",
        "greatest_error_px": error_px,
    }
    for name, source, space in zip(("fixed", "moving"), (fixed, moving), spaces, strict=True):
        facts[name] = {"size": [source.header.width, source.header.height], **space.as_dict()}

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
            raise OutputError(f"could not be written: {last_line(error)}", path=temp) from error
        first, _, rest = temp.read_text().partition("\n")
        temp.write_text(f"{first}\n{_MARK}{json.dumps(facts)}\n{rest}")
    if error_px <= TOLERANCE_PX:
        return ()
    return (f"--tfm follows the map within {error_px:.2g} px",)


def check_tfm(path: str | os.PathLike, fixed: Source, moving: Source) -> tuple[PhysicalSpace, PhysicalSpace]:
    """Where SimpleITK takes the pixels of both to lie.

    Raises:
        OutputError: see `space_of`; or the name does not end in .tfm.
    """
    if Path(path).suffix != ".tfm":
        raise OutputError("SimpleITK knows its transform files by the suffix", hint="name it *.tfm", path=path)
    return space_of(fixed.header), space_of(moving.header)


def read_tfm(path: str | os.PathLike, fixed: Header | None = None, moving: Header | None = None) -> Transform:
    """The transform of a .tfm file, moving px -> fixed px.

    Args:
        path: the file. Where no comment of ours says in it how pixels lie in space, the two images do, as SimpleITK
            reads them, and pixels 1 apart where it does not or they are not given.
        fixed: the fixed image; its size is needed for maps that bend and do not say where they hold.
        moving: the moving image.

    Raises:
        UsageError: SimpleITK is not installed.
        InputError: the file cannot be read, is not two-dimensional, or bends nobody knows where.
    """
    sitk = simpleitk()
    try:
        itk = sitk.ReadTransform(os.fspath(path))
        if itk.GetDimension() != 2:
            raise InputError(f"maps {itk.GetDimension()} dimensions; expected 2", path=path)
        return _from_itk(itk, _Facts.of(Path(path).read_text(), fixed, moving), path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    except (RuntimeError, ValueError) as error:
        raise InputError(f"not an ITK transform: {last_line(error)}", path=path) from error


@dataclass(frozen=True)
class _Facts:
    """Where the pixels of both images lie, and how many the fixed one has."""

    fixed: PhysicalSpace
    moving: PhysicalSpace
    fixed_size: tuple[int, int] | None

    @staticmethod
    def of(text: str, fixed: Header | None, moving: Header | None) -> _Facts:
        """What our comment says; in files of other programs, which have none, what the images themselves do.

        Raises:
            ValueError: the comment is garbled.
        """
        size = (fixed.width, fixed.height) if fixed else None
        line = next((line for line in text.splitlines() if line.startswith(_MARK)), None)
        if line is None:
            return _Facts(_space_or_px(fixed), _space_or_px(moving), size)
        try:
            told = json.loads(line[len(_MARK) :])
            of_fixed, of_moving = (PhysicalSpace.from_dict(told[side]) for side in ("fixed", "moving"))
            width, height = (int(n) for n in told["fixed"]["size"])
            if min(width, height) < 1:
                raise ValueError(f"a size of {width} x {height} px")
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"the comment of xmatch in it is garbled: {error}") from None
        return _Facts(of_fixed, of_moving, size or (width, height))


def _from_itk(itk: Any, facts: _Facts, path: str | os.PathLike) -> Transform:
    """See `read_tfm`. Raises ValueError for numbers that make no map."""
    sitk = simpleitk()

    def backward(fixed_xy: np.ndarray) -> np.ndarray:
        points = facts.fixed.points(fixed_xy)
        mapped = np.array([itk.TransformPoint(point) for point in points.reshape(-1, 2).tolist()])
        return facts.moving.pixels(mapped.reshape(points.shape))

    if itk.IsLinear():
        origin, unit_x, unit_y = backward(np.array([[0.0, 0], [1, 0], [0, 1]]))
        matrix = np.eye(3)
        matrix[:2] = np.column_stack([unit_x - origin, unit_y - origin, origin])
        return Linear(matrix, "affine").inverse
    if itk.GetName() == "DisplacementFieldTransform":
        return _lattice(sitk.DisplacementFieldTransform(itk), facts.fixed, facts.moving).inverse
    if facts.fixed_size is None:
        raise InputError(f"a {itk.GetName()} does not say where it holds", hint="give the fixed image", path=path)
    return DisplacementGrid.sampled(backward, *facts.fixed_size, step_px=16).inverse


def _space_or_px(header: Header | None) -> PhysicalSpace:
    try:
        return PhysicalSpace() if header is None else space_of(header)
    except OutputError:  # then SimpleITK never saw the file: whoever made the transform counted in px
        return PhysicalSpace()


def _field(sitk: Any, lattice: DisplacementGrid, fixed: PhysicalSpace, moving: PhysicalSpace) -> Any:
    """ITK interpolates a field linearly, as the lattice does; beyond its outermost nodes nothing is displaced."""
    nodes = fixed.points(lattice.nodes_xy)
    displaced = moving.points(lattice.target_xy)
    image = sitk.GetImageFromArray(np.ascontiguousarray(displaced - nodes), isVector=True)
    image.SetOrigin(nodes[0, 0].tolist())
    image.SetSpacing((np.array(lattice.step_xy) * fixed.spacing).tolist())
    return sitk.DisplacementFieldTransform(image)


def _lattice(itk: Any, fixed: PhysicalSpace, moving: PhysicalSpace) -> DisplacementGrid:
    """Inverse of `_field`."""
    sitk = simpleitk()
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
    return DisplacementGrid(tuple(fixed.pixels(origin)), tuple(step / fixed.spacing), moving.pixels(nodes + field))
