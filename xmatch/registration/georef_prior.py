"""What the files themselves say about where they lie: the start of the search, never its end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.errors import InputError
from xmatch.geometry import Linear, Transform
from xmatch.geometry.matrices import apply_affine, nearest_affine
from xmatch.geometry.outlines import finite, inside, nodes_over
from xmatch.geometry.seam import is_torn
from xmatch.geometry.windows import Window, window_around
from xmatch.io.crs import full_turn, projected
from xmatch.io.rasters.source import Header
from xmatch.raster import Georef

MARGIN = 0.15
"""Windows reach beyond the promised overlap by this share of its longest side: the georeferencing may be off. Not
tuned."""
LATTICE = 33
"""Places each way at which maps between files are looked at. Not tuned."""
MIN_NODES = 6
"""So many of them must lie on both images for an affine map to be fitted to those alone: twice what determines it."""
BEND_PX = 0.1
"""A prior that an affine map follows within this is taken as affine. Not tuned: below what any tie point says."""
ROI_MARGIN = 0.3
"""Of a part of fixed that is looked at alone, moving is seen so much further each way."""
RETURN_PX = 0.5
"""A position that does not come back to within this lies beyond what a projection can show. Not tuned."""


@dataclass(frozen=True, eq=False)
class ThroughCrs:
    """Px of one georeferenced file -> px of another, exactly, both ways; NaN where a projection does not reach."""

    source: Header
    target: Header
    kind: str = field(default="grid", init=False)
    matrix: None = field(default=None, init=False)

    @property
    def inverse(self) -> ThroughCrs:
        return ThroughCrs(self.target, self.source)

    def __call__(self, xy: Floats) -> Floats:
        xy = np.asarray(xy, dtype=np.float64)
        flat = xy.reshape(-1, 2)
        landed = self._onto(flat)
        # Some projections answer far outside of what they can show, and wrongly.
        off = self.inverse._onto(landed) - flat
        turn = _turn_px(self.source)
        if turn is not None:
            off -= turn * np.round(np.nan_to_num(off @ turn / (turn @ turn)))[:, None]
        returns = finite(landed) & (np.abs(off) < RETURN_PX).all(axis=1)
        return np.where(returns[:, None], landed, np.nan).reshape(xy.shape)

    def _onto(self, xy: Floats) -> Floats:
        (source, source_crs), (target, target_crs) = _placed(self.source), _placed(self.target)
        ground = projected(apply_affine(source.matrix, xy), source_crs, target_crs)
        turn = full_turn(target_crs)
        if turn:
            # Longitude 181 is -179: the one nearer to the target's middle is meant.
            middle = (target.matrix @ (self.target.width / 2, self.target.height / 2, 1.0))[0]
            reached = np.isfinite(ground[:, 0])
            ground = ground.copy()
            ground[reached, 0] += turn * np.round((middle - ground[reached, 0]) / turn)
        ground = np.where(np.isfinite(ground).all(axis=1, keepdims=True), ground, np.nan)
        return apply_affine(np.linalg.inv(target.matrix), ground)

    def supported(self, xy: Floats) -> Mask:
        """(N,) bool: both projections reach it."""
        return finite(self(xy))

    def as_dict(self) -> dict[str, Any]:
        raise TypeError("sample a map through two CRS before it is written")


@dataclass(frozen=True)
class Prior:
    """Georeferencing of both files, as a map between their pixels."""

    transform: Transform
    """moving px -> fixed px."""
    linear: Floats
    """(3, 3) affine that follows `transform` best over the overlap: how large things are, not where."""
    fixed_window: Window
    moving_window: Window
    notes: tuple[str, ...] = ()
    near_shift_px: float | None = None
    """How far off it may be, fixed px, where a person gave it; None of georeferencing, which is left where nothing near
    it convinces."""

    def on(self, region: Window, moving: Header) -> Prior:
        """The same for a part of the fixed image.

        Raises:
            InputError: moving does not lie there.
        """
        (x0, y0, width, height), (left, top, *extent) = self.fixed_window, region
        low = np.maximum((x0, y0), (left, top))
        high = np.minimum((x0 + width, y0 + height), (left + extent[0], top + extent[1]))
        if (high <= low).any():
            raise InputError("does not reach the part of the fixed image that --roi names", path=moving.path)
        size = high - low
        window = (int(low[0]), int(low[1]), int(size[0]), int(size[1]))
        across, down = (1 + 2 * ROI_MARGIN) * size
        around = nodes_over(across, down, LATTICE) + low - ROI_MARGIN * size
        reach = self.transform.inverse(around)
        reach = reach[finite(reach)]
        if not len(reach):
            raise InputError("does not reach the part of the fixed image that --roi names", path=moving.path)
        return replace(self, fixed_window=window, moving_window=window_around(reach, moving.width, moving.height))


def georef_prior(fixed: Header, moving: Header) -> Prior | None:
    """The prior when both files have a CRS, else None.

    Raises:
        InputError: the files do not overlap, only one of them is georeferenced, or nothing leads from one CRS to the
            other.
    """
    has = [header.georef is not None and header.georef.crs_wkt is not None for header in (fixed, moving)]
    if not any(has):
        return None
    if not all(has):
        without = moving if has[0] else fixed
        if without.georef is None:  # a plain photo, or RPCs alone: there is nothing that a CRS could be given to
            raise InputError(
                "has no georeferencing that can be used while the other image has one",
                hint="--ignore-georef registers by content alone",
                path=without.path,
            )
        option = "--moving-assume-crs" if has[0] else "--assume-crs"
        raise InputError(
            "has no CRS while the other image has one",
            hint=f"give it with {option}, or register by content alone with --ignore-georef",
            path=without.path,
        )
    exact = ThroughCrs(moving, fixed)
    nodes = nodes_over(moving.width, moving.height, LATTICE)
    try:
        landed = exact(nodes)
    except InputError as error:
        error.path = moving.path
        raise
    if is_torn(landed.reshape(LATTICE, LATTICE, 2), (fixed.width, fixed.height)):
        raise InputError(
            "lies across the edge of the fixed image's map, so that its parts are far from each other there",
            hint='recentre the map: gdalwarp -t_srs "+proj=longlat +datum=WGS84 +lon_wrap=180" -te 0 -90 360 90 '
            f"{fixed.path} RECENTRED.tif, and register onto that; or --ignore-georef",
            path=moving.path,
        )
    # A fixed image inside a much larger moving one holds none of these nodes: look the other way as well.
    fixed_nodes = nodes_over(fixed.width, fixed.height, LATTICE)
    back = exact.inverse(fixed_nodes)
    lands, hit = finite(landed), inside(back, moving.width, moving.height)
    held = inside(landed, fixed.width, fixed.height)
    outline = _box(np.vstack([landed[lands], fixed_nodes[hit]]), fixed.width, fixed.height)
    if outline is None:
        raise InputError(
            _apart(fixed, moving, landed[lands]), hint="--ignore-georef registers by content alone", path=moving.path
        )
    overlaps = held.sum() + hit.sum() >= MIN_NODES
    from_xy = np.vstack([nodes[held], back[hit]]) if overlaps else nodes[lands]
    to_xy = np.vstack([landed[held], fixed_nodes[hit]]) if overlaps else landed[lands]
    linear = nearest_affine(from_xy, to_xy)
    bend = float(np.abs(apply_affine(linear, from_xy) - to_xy).max())
    is_bent = bend > BEND_PX or not lands.all()
    notes = [f"both files are georeferenced: the search starts there{', bent between their CRS' if is_bent else ''}"]
    if any(_placed(header)[0].gcps for header in (moving, fixed)):
        notes.append("georeferenced by ground control points only: a first guess")
    transform: Transform = exact if is_bent else Linear(linear, "affine")
    fixed_window = window_around(to_xy, fixed.width, fixed.height, MARGIN * np.ptp(to_xy, axis=0).max())
    seen = moving_window(transform, fixed_window, moving, from_xy)
    return Prior(transform, linear, fixed_window, seen, tuple(notes))


def moving_window(transform: Transform, fixed_window: Window, moving: Header, otherwise: Floats) -> Window:
    """The part of moving under a window of fixed; around the positions `otherwise` (N, 2) where none is known."""
    x0, y0, width, height = fixed_window
    reach = transform.inverse(nodes_over(width, height, LATTICE) + (x0, y0))
    reach = reach[finite(reach)]
    return window_around(reach if len(reach) else otherwise, moving.width, moving.height)


def _placed(header: Header) -> tuple[Georef, str]:
    """The georeferencing of a file that has one, and its CRS."""
    georef = header.georef
    if georef is None or georef.crs_wkt is None:
        raise ValueError(f"{header.path} has no CRS")
    return georef, georef.crs_wkt


def _turn_px(header: Header) -> Floats | None:
    """(2,) px for once around the Earth, in a file whose CRS counts degrees; None in others."""
    georef, crs = _placed(header)
    turn = full_turn(crs)
    return None if turn is None else np.asarray(np.linalg.inv(georef.matrix)[:2, 0] * turn, np.float64)


def _box(xy: Floats, width: int, height: int) -> tuple[Floats, Floats] | None:
    """The part of the frame that the bounding box of `xy` covers, or None."""
    if len(xy) < 3:
        return None
    low, high = np.maximum(xy.min(axis=0), 0), np.minimum(xy.max(axis=0), (width, height))
    return (low, high) if (high > low).all() else None


def _apart(fixed: Header, moving: Header, landed: Floats) -> str:
    if len(landed) == 0:
        return "its CRS and the fixed image's do not reach each other"
    low, high = landed.min(axis=0), landed.max(axis=0)
    gap = np.maximum(0, np.maximum(low - (fixed.width, fixed.height), -high))
    text = (
        f"does not overlap the fixed image: it covers x {low[0]:.0f} to {high[0]:.0f}, "
        f"y {low[1]:.0f} to {high[1]:.0f} of {fixed.width} x {fixed.height} px, {np.hypot(*gap):.0f} px away"
    )
    swapped = landed_swapped(fixed, moving)
    return text + (
        "; with its axes swapped it would overlap: are latitude and longitude interchanged?" if swapped else ""
    )


def landed_swapped(fixed: Header, moving: Header) -> bool:
    """Whether the moving image would overlap if its x and y ground coordinates were interchanged."""
    georef, _ = _placed(moving)
    a, b, c, d, e, f = georef.affine
    swapped = replace(moving, georef=replace(georef, affine=(d, e, f, a, b, c)))
    landed = ThroughCrs(swapped, fixed)(nodes_over(moving.width, moving.height, LATTICE))
    return _box(landed[finite(landed)], fixed.width, fixed.height) is not None
