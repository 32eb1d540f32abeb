"""Points and transform files: from a registration to the writers in `xmatch.io`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.io.source import Source
    from xmatch.result import Registration

PointsFormat = Literal["csv", "json", "npz", "points"]
"""The names in `xmatch.io.points.POINTS_ENCODERS`."""


def points_format(path: str | Path) -> PointsFormat:
    """The format that a file's suffix names.

    Raises:
        UsageError: it names none.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in get_args(PointsFormat):
        raise UsageError(f"{path} ends in none of .{', .'.join(get_args(PointsFormat))}", hint="rename it")
    return suffix


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
        from xmatch.io.points import write_points

        write_points(path, points_format(final), registration, overwrite=True)
        return ()
    from xmatch.io.transform_files import TRANSFORM_WRITERS

    more = {"resampling": resampling} if kind == "vrt" else {}
    return TRANSFORM_WRITERS[kind](path, registration.transform, fixed, moving, overwrite=True, **more)
