"""Large files: tie points at the resolution of the file, found tile by tile around a first alignment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

import numpy as np

from xmatch.coords import Floats, Mask, corners
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.estimate import estimate
from xmatch.estimate.model import is_plausible
from xmatch.geometry import Linear, Transform, compose
from xmatch.geometry.matrices import apply_affine, local_scale, nearest_affine, scale_of
from xmatch.geometry.windows import Window, whole, window_around
from xmatch.io.rasters.source import Source
from xmatch.ops.devices import resolved_with_driver
from xmatch.raster import View
from xmatch.registration.options import TILE_PX, RegisterOptions
from xmatch.registration.tie_points import tie_points, tied
from xmatch.registration.tile_choice import tile_centres
from xmatch.registration.views import MIN_SIDE_PX, framing, make_view, warped_view
from xmatch.registration.windows import Windows
from xmatch.verification.alignment import FORWARD_BACKWARD_PX
from xmatch.verification.evidence import Following, following

TILE_MARGIN = 1.15
"""Moving is read a little further than its tile, for the error of the map so far. Not tuned."""
WINDOWS = Windows(48, 8, 3)
"""Tie points of a tile: as `NARROW`."""
STEP = 3.0
"""Ratio of neighbouring resolutions: ties reach 8 px, so that an error of 2 px stays within reach at the next one."""
WORTH_IT = 1.4
"""View px must be larger than this many file px before full-size matching can add anything. Not tuned."""
MIN_TIES = 12
MIN_SHARE = 0.2
"""Tie points that must agree on a step, and their share, or the coarser alignment stands. Not tuned."""
TILES_ON_DEVICE = 32
"""Tiles that a device is given at once: 12 MB of the host's memory. Not tuned on a GPU."""
AS_IT_IS = Linear(np.eye(3), "translation")
"""What a step corrects, and bends about."""
_TileTies: TypeAlias = tuple[Floats, Floats, Floats, Mask]
"""Tie points of a tile, px of the files: in fixed, in moving, their certainty, and which are steady."""


@dataclass(frozen=True, eq=False)
class ConfirmedMap:
    """A map between two files, and the tie points of the finest resolution that confirmed it."""

    transform: Transform
    """moving px -> fixed px."""
    correspondences: Correspondences
    """px of the files."""
    steady: Mask
    """(N,) bool: matching there and back returns to the start."""
    to_matched: Floats
    """(3, 3) fixed px -> px at that resolution."""
    notes: tuple[str, ...] = ()
    is_finer: bool = True
    """Than the views that were matched first."""

    @property
    def px(self) -> float:
        """Side of a px at that resolution in px of the fixed file."""
        return 1 / scale_of(self.to_matched)

    def followed(self) -> Following:
        """How the tie points follow the map."""
        to_matched = Linear(self.to_matched, "affine")
        landed = to_matched(self.transform(self.correspondences.moving_xy))
        return following(landed, to_matched(self.correspondences.fixed_xy), self.steady)


def sharpen(
    fixed: Source,
    moving: Source,
    start: ConfirmedMap,
    fixed_plane: Floats,
    options: RegisterOptions,
    look: View,
    region: Window | None = None,
) -> ConfirmedMap:
    """A first alignment after matching tiles at finer and finer resolution, up to the file's own.

    Memory is bounded by a tile. What a resolution cannot confirm is left as the coarser one found it. Each step is of
    the kind asked for; of `auto` the stiffest that no freer one clearly beats at tie points left out in blocks, so that
    what bends by less than a first look can see is followed, and nothing else is bent.

    Args:
        fixed_plane: (3, 3) fixed px -> a plane on which a similarity of what is shown is one.
        look: fixed as it was seen first, to choose tiles by where these are more than `options.max_tiles`.
        region: the part of fixed to look at; default all of it.
    """
    looked_at = region or whole(fixed.header.width, fixed.header.height)
    found, reduction = start, start.px
    moving_reduction = reduction / local_scale(start.transform, (moving.header.width / 2, moving.header.height / 2))
    to_plane = Linear(fixed_plane, "affine")
    outline = corners(*looked_at[2:]) + looked_at[:2]
    is_square = np.array_equal(fixed_plane, np.eye(3))
    while reduction > WORTH_IT:
        reduction = max(1.0, reduction / STEP)
        ties, steady = _tile_ties(fixed, moving, found.transform, reduction, options, look, looked_at)
        moved = Correspondences(to_plane(ties.fixed_xy), to_plane(found.transform(ties.moving_xy)), ties.certainty)
        kept = moved[steady]
        fitted = estimate(kept, options.transform, seed=options.seed, tolerance_px=2.0 * reduction, about=AS_IT_IS)
        agreed = fitted.transform is not None and fitted.inliers.sum() >= max(MIN_TIES, MIN_SHARE * len(kept))
        if not agreed or fitted.transform is None or not is_plausible(fitted.transform, to_plane(outline)):
            note = f"tie points at 1/{reduction:.3g} of the resolution do not agree: the coarser alignment stands"
            return replace(found, notes=(note,))
        step = fitted.transform if is_square else compose(to_plane, fitted.transform, to_plane.inverse)
        bends = fitted.transform.matrix is None
        note = f"sharpened by tie points at 1/{reduction:.3g} of the full resolution"
        found = ConfirmedMap(
            compose(found.transform, step),
            ties,
            steady,
            np.diag([1 / reduction, 1 / reduction, 1.0]),
            (f"{note}, which bend the map" if bends else note,),
        )
        if moving_reduction / STEP < 0.3:
            break  # moving has no finer detail to offer
        moving_reduction /= STEP
    return found


def _tile_ties(
    fixed: Source,
    moving: Source,
    transform: Transform,
    reduction: float,
    options: RegisterOptions,
    look: View,
    region: Window,
) -> tuple[Correspondences, Mask]:
    """Tie points of the tiles that are looked at, px of the files, and (N,) bool: which are steady."""
    side = TILE_PX * reduction
    moving_size = moving.header.width, moving.header.height
    centres = tile_centres(look, region, side, options.max_tiles, transform, moving_size)
    tiles = (_tile(fixed, moving, transform, centre, side, reduction) for centre in centres)
    device, seen = resolved_with_driver(options.device), (tile for tile in tiles if tile is not None)
    found = list(_matched(seen, options) if device == "cpu" else _matched_on_device(seen, options, device))
    if not found:
        return Correspondences.empty(), np.zeros(0, bool)
    fixed_xy, moving_xy, certainty, steady = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Correspondences(fixed_xy, moving_xy, certainty), steady


def _matched(tiles: Iterable[tuple[View, View]], options: RegisterOptions) -> Iterator[_TileTies]:
    """Reading is not safe from several threads, matching is: read here, match there, and never more tiles ahead than
    may be held, but for one a thread."""
    threads = max(1, options.threads)
    most = max(threads, _held(options))
    pending: deque[Future[_TileTies]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for tile in tiles:
            pending.append(pool.submit(_match_tile, *tile))
            if len(pending) >= most:
                yield pending.popleft().result()
        yield from (ties.result() for ties in pending)


def _matched_on_device(
    tiles: Iterable[tuple[View, View]], options: RegisterOptions, device: str
) -> Iterator[_TileTies]:
    """As many at once as may be held, and `TILES_ON_DEVICE` of them in any case."""
    from xmatch.registration.tie_points_on_device import matched_tiles

    left = iter(tiles)
    while part := list(islice(left, max(TILES_ON_DEVICE, _held(options)))):
        for tile, found in zip(part, matched_tiles(part, WINDOWS, device), strict=True):
            yield _in_files(*tile, *tied(found, np.eye(3)))


def _held(options: RegisterOptions) -> int:
    """Tiles that may be held at a time."""
    return (options.tile_px // TILE_PX) ** 2


def _tile(
    fixed: Source, moving: Source, transform: Transform, centre: Floats, side: float, reduction: float
) -> tuple[View, View] | None:
    """Both views of one tile of fixed, moving warped onto it by the affine part of the transform there.

    None where the images do not overlap or nothing is valid.
    """
    width, height = fixed.header.width, fixed.header.height
    low = np.clip(np.round(centre - side / 2), 0, None).astype(int)
    high = np.minimum(low + int(side), (width, height))
    if (high - low < side / 2).any():
        return None
    window = (int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    outline = corners(window[2], window[3]) + low
    outline = (outline - outline.mean(axis=0)) * TILE_MARGIN + outline.mean(axis=0)
    back = transform.inverse(outline)
    if not np.isfinite(back).all():
        return None
    moving_window = window_around(back, moving.header.width, moving.header.height)
    if min(moving_window[2:]) < MIN_SIDE_PX:
        return None
    per_px = np.sqrt(abs(np.linalg.det(np.diff(back[:3], axis=0)))) / (side * TILE_MARGIN)
    wanted = max(moving_window[2:]) / max(1.0, per_px * reduction)
    try:
        here = make_view(fixed, framing(window, max(window[2:]) / reduction))
        seen = make_view(moving, framing(moving_window, wanted))
    except InputError:
        return None  # no valid pixels here
    forward = nearest_affine(back, outline)
    warped = warped_view(seen, np.linalg.inv(here.to_pixel) @ forward @ seen.to_pixel, (here.width, here.height))
    return here, warped


def _match_tile(here: View, warped: View) -> _TileTies:
    return _in_files(here, warped, *tie_points(here, warped, np.eye(3), WINDOWS))


def _in_files(here: View, warped: View, ties: Correspondences, there_and_back: Floats) -> _TileTies:
    steady = (there_and_back < FORWARD_BACKWARD_PX) & (ties.certainty > 0)
    fixed_xy, moving_xy = apply_affine(here.to_pixel, ties.fixed_xy), apply_affine(warped.to_pixel, ties.moving_xy)
    return fixed_xy, moving_xy, ties.certainty, steady
