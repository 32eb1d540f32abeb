"""What the files themselves say about where they lie: the start of the search, never its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import corners
from xmatch.errors import InputError
from xmatch.io.source import Header, Window
from xmatch.transforms import DisplacementGrid, Linear, Transform

MARGIN = 0.15
"""Windows reach beyond the promised overlap by this share of its longest side: the georeferencing may be off."""
LATTICE = 17
BEND_PX = 0.1
"""A prior that an affine map follows within this is taken as affine."""


@dataclass(frozen=True)
class Prior:
    """Georeferencing of both files, as a map between their pixels."""

    transform: Transform
    """moving px -> fixed px."""
    linear: np.ndarray
    """(3, 3) affine that follows `transform` best over the overlap."""
    fixed_window: Window
    moving_window: Window
    notes: tuple[str, ...] = ()


def georef_prior(fixed: Header, moving: Header) -> Prior | None:
    """The prior when both files have a CRS, else None.

    Raises:
        InputError: the files do not overlap, or only one of them is georeferenced.
    """
    has = [header.georef is not None and header.georef.crs_wkt is not None for header in (fixed, moving)]
    if not any(has):
        return None
    if not all(has):
        without = moving if has[0] else fixed
        option = "--moving-assume-crs" if has[0] else "--assume-crs"
        raise InputError(
            "has no CRS while the other image has one",
            hint=f"give it with {option}, or register by content alone with --ignore-georef",
            path=without.path,
        )
    nodes = _lattice(moving.width, moving.height)
    landed = _to_fixed(nodes, moving, fixed)
    finite = np.isfinite(landed).all(axis=1)
    inside = finite & (landed >= 0).all(axis=1) & (landed <= (fixed.width, fixed.height)).all(axis=1)
    outline = _box(landed[finite], fixed.width, fixed.height) if finite.sum() >= 3 else None
    if outline is None:
        raise InputError(
            _apart(fixed, moving, landed[finite]), hint="--ignore-georef registers by content alone", path=moving.path
        )
    # A fixed image inside a much larger moving one holds none of the nodes: look the other way for the region.
    fixed_nodes = _lattice(fixed.width, fixed.height)
    back = _to_fixed(fixed_nodes, fixed, moving)
    hit = np.isfinite(back).all(axis=1) & (back >= 0).all(axis=1) & (back <= (moving.width, moving.height)).all(axis=1)
    from_xy = np.vstack([nodes[inside], back[hit]]) if inside.sum() + hit.sum() >= 6 else nodes[finite]
    to_xy = np.vstack([landed[inside], fixed_nodes[hit]]) if inside.sum() + hit.sum() >= 6 else landed[finite]
    design = np.column_stack([from_xy, np.ones(len(from_xy))])
    solution, *_ = np.linalg.lstsq(design, to_xy, rcond=None)
    linear = np.vstack([solution.T, (0.0, 0.0, 1.0)])
    bend = float(np.abs(design @ solution - to_xy).max())
    notes = [
        f"both files are georeferenced: the search starts there{'' if bend <= BEND_PX else ', bent between their CRS'}"
    ]
    if moving.georef.gcps or fixed.georef.gcps:
        notes.append("georeferenced by ground control points only: a first guess")
    if bend <= BEND_PX or not finite.all():
        transform: Transform = Linear(linear, "affine")
    else:
        step = max(moving.width, moving.height) / 64
        transform = DisplacementGrid.sampled(lambda xy: _to_fixed(xy, moving, fixed), moving.width, moving.height, step)
    fixed_window = _window(to_xy, fixed.width, fixed.height)
    reach = Linear(linear, "affine").inverse(corners(*fixed_window[2:]) + fixed_window[:2])
    return Prior(transform, linear, fixed_window, _window(reach, moving.width, moving.height, margin=0.0), tuple(notes))


def _lattice(width: int, height: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.linspace(0, width, LATTICE), np.linspace(0, height, LATTICE)), -1).reshape(-1, 2)


def _to_fixed(xy: np.ndarray, moving: Header, fixed: Header) -> np.ndarray:
    """(N, 2) px of `moving` -> px of `fixed` through both CRS; infinite where a projection does not reach."""
    from xmatch.io.crs import reprojected

    ground = np.column_stack([xy, np.ones(len(xy))]) @ moving.georef.matrix.T
    ground[:, :2] = reprojected(moving.georef.crs_wkt, fixed.georef.crs_wkt, ground[:, :2])
    turn = _full_turn(fixed.georef.crs_wkt)
    if turn:
        # Longitude 181 is -179: the one nearer to the fixed image's middle is meant.
        middle = (fixed.georef.matrix @ (fixed.width / 2, fixed.height / 2, 1.0))[0]
        ground[:, 0] += turn * np.round((middle - np.where(np.isfinite(ground[:, 0]), ground[:, 0], middle)) / turn)
    return (ground @ np.linalg.inv(fixed.georef.matrix).T)[:, :2]


def _full_turn(crs_wkt: str) -> float | None:
    """A full circle of longitude in the units of a geographic CRS; None for projected ones."""
    from rasterio.crs import CRS

    crs = CRS.from_wkt(crs_wkt)
    return 2 * np.pi / crs.units_factor[1] if crs.is_geographic else None


def _box(xy: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The part of the frame that the bounding box of `xy` covers, or None."""
    low, high = np.maximum(xy.min(axis=0), 0), np.minimum(xy.max(axis=0), (width, height))
    return (low, high) if (high > low).all() else None


def _window(xy: np.ndarray, width: int, height: int, margin: float = MARGIN) -> Window:
    room = margin * np.ptp(xy, axis=0).max()
    low = np.clip(np.floor(xy.min(axis=0) - room), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(xy.max(axis=0) + room), low + 1, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _apart(fixed: Header, moving: Header, landed: np.ndarray) -> str:
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
    from dataclasses import replace

    a, b, c, d, e, f = moving.georef.affine
    swapped = replace(moving, georef=replace(moving.georef, affine=(d, e, f, a, b, c)))
    landed = _to_fixed(_lattice(moving.width, moving.height), swapped, fixed)
    landed = landed[np.isfinite(landed).all(axis=1)]
    return len(landed) >= 3 and _box(landed, fixed.width, fixed.height) is not None
