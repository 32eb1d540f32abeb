"""Points and transform files: what their names may be, and the way to their writers in `xmatch.io`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.io.rasters.source import Source
    from xmatch.result import Registration

PointsFormat = Literal["csv", "json", "npz", "points"]
"""The names in `xmatch.io.points.writing.POINTS_ENCODERS`."""

SUFFIXES: dict[str, tuple[str, ...]] = {
    "gcps": (".tif", ".tiff"),
    "points": tuple(f".{name}" for name in get_args(PointsFormat)),
    "vrt": (".vrt",),
    "tfm": (".tfm",),
    "displacement": (".tif", ".tiff"),
    "error_map": (".tif", ".tiff"),
}
"""Further output -> how its file's name may end: other programs tell the format by it."""

EXTRA_OUTPUTS = tuple(SUFFIXES)


def check_suffix(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """
    Raises:
        UsageError: the name of an output ends in none of `suffixes`.
    """
    option = option.replace("_", "-")
    if path.suffix.lower() not in suffixes:
        example = path.with_suffix(suffixes[0]) if path.name else f"NAME{suffixes[0]}"
        raise UsageError(f"--{option} {path} does not end in {' or '.join(suffixes)}", hint=f"--{option} {example}")


def points_format(path: str | Path) -> PointsFormat:
    """The format that a file's suffix names.

    Raises:
        UsageError: it names none.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    known: tuple[PointsFormat, ...] = get_args(PointsFormat)
    for name in known:
        if suffix == name:
            return name
    raise UsageError(f"{path} ends in none of .{', .'.join(known)}", hint="rename it, or --format")


def write_extra(
    kind: str,
    path: Path,
    final: Path,
    registration: Registration,
    fixed: Source,
    moving: Source,
    resampling: str = "auto",
) -> tuple[str, ...]:
    """One of `EXTRA_OUTPUTS`, at the temporary `path` of `final`, whose suffix says the format of points; and notes."""
    if kind == "points":
        from xmatch.io.points.writing import write_points

        write_points(path, points_format(final), registration, overwrite=True)
        return ()
    if kind == "error_map":
        from xmatch.io.writing.error_map import write_error_map
        from xmatch.raster import Grid

        return write_error_map(path, registration.error_map, Grid.of(fixed.header), final=final, overwrite=True)
    from xmatch.io.transforms.files import TRANSFORM_WRITERS

    more = {"resampling": resampling} if kind == "vrt" else {}
    return TRANSFORM_WRITERS[kind](path, registration.transform, fixed, moving, overwrite=True, **more)
