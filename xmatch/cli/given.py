"""What a user knows of a pair and says by hand: where to start, where to look, how to check."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

import typer


def _given(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Given by hand", **more)


@dataclass(frozen=True)
class Given:
    """What is said of one pair by hand. Columns of `--pairs` have the same names."""

    tie_points: Annotated[
        str | None,
        _given(
            "--tie-points",
            help="Points set by hand (2 or more; CSV, JSON, NPZ, QGIS .points): the search stays near what they say.",
            metavar="FILE",
        ),
    ] = None
    tie_points_only: Annotated[
        bool, _given("--tie-points-only", help="They are all there is: fit the map to them, match nothing.")
    ] = False
    initial: Annotated[
        str | None,
        _given(
            "--initial",
            help="Map to start at, MOVING px to FIXED px: 9 or 6 numbers, row by row, or a report, .tfm or .tif.",
            metavar="MAP",
        ),
    ] = None
    near_shift: Annotated[
        float | None,
        _given(
            "--near-shift",
            help="How far from the points or the map to search; default a tenth of FIXED's longer side.",
            metavar="PX",
            show_default=False,
        ),
    ] = None
    mask: Annotated[
        str | None,
        _given(
            "--mask",
            help="Where to look in FIXED: a raster of its size (nonzero: here) or GeoJSON polygons.",
            metavar="FILE",
        ),
    ] = None
    moving_mask: Annotated[str | None, _given("--moving-mask", help="The same for MOVING.", metavar="FILE")] = None
    roi: Annotated[
        str | None,
        _given(
            "--roi",
            help="Part of FIXED to look at: X,Y,W,H in px, bounds:MINX,MINY,MAXX,MAXY in its CRS, or a GeoJSON file.",
            metavar="AREA",
        ),
    ] = None
    check_points: Annotated[
        str | None,
        _given(
            "--check-points", help="Control points that no fit sees: the result is measured at them.", metavar="FILE"
        ),
    ] = None

    @property
    def files(self) -> list[str]:
        """What no output may replace."""
        named = (self.tie_points, self.initial, self.mask, self.moving_mask, self.roi, self.check_points)
        return [path for path in named if path is not None and os.path.isfile(path)]
