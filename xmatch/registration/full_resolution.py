"""Large files: tie points at the resolution of the file, found tile by tile around a first alignment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.estimate import estimate
from xmatch.geometry import Linear, Transform, compose
from xmatch.io.rasters.source import Source
from xmatch.registration.tie_points import Windows, tie_points
from xmatch.registration.views import framing, make_view, warped_view
from xmatch.verification.alignment import FORWARD_BACKWARD_PX
from xmatch.verification.evidence import Following, following

TILE_PX = 192
TILES_ACROSS = 8
FEW = Windows(48, 8, 3)
"""Tie points of a tile."""
STEP = 3.0
"""Ratio of neighbouring resolutions: ties reach 8 px, so that an error of 2 px stays within reach at the next one."""
WORTH_IT = 1.4
"""View px must be larger than this many file px before full-size matching can add anything."""
MIN_TIES = 12
RAYLEIGH_90 = float(np.sqrt(np.log(10)))
"""90th percentile of a distance over its root mean square, where both coordinates err alike."""


@dataclass(frozen=True, eq=False)
class Level:
    """A map between two files, and the tie points of the finest resolution that confirmed it."""

    transform: Transform
    """moving px -> fixed px."""
    correspondences: Correspondences
    """px of the files."""
    steady: np.ndarray
    """(N,) bool: matching there and back returns to the start."""
    to_matched: np.ndarray
    """(3, 3) fixed px -> px at that resolution."""
    heldout_px: float = 0.0
    """As in `Model`."""
    notes: tuple[str, ...] = ()
    is_finer: bool = True
    """Than the views that were matched first."""

    @property
    def px(self) -> float:
        """Side of a px at that resolution in px of the fixed file."""
        return float(1 / np.sqrt(abs(np.linalg.det(self.to_matched[:2, :2]))))

    def followed(self) -> Following:
        """How the tie points follow the map."""
        to_matched = Linear(self.to_matched, "affine")
        landed = to_matched(self.transform(self.correspondences.moving_xy))
        return self.with_heldout(following(landed, to_matched(self.correspondences.fixed_xy), self.steady))

    def with_heldout(self, followed: Following) -> Following:
        """The same where a map that bends may have followed the errors of its own tie points."""
        return replace(followed, bend_px=max(followed.bend_px, RAYLEIGH_90 * self.heldout_px / self.px))


def sharpen(fixed: Source, moving: Source, start: Level, fixed_plane: np.ndarray, options) -> Level:
    """A first alignment after matching tiles at finer and finer resolution, up to the file's own.

    Memory is bounded by a tile. What a resolution cannot confirm is left as the coarser one found it.

    Args:
        fixed_plane: (3, 3) fixed px -> a plane on which a similarity of what is shown is one.
    """
    found, reduction = start, start.px
    moving_reduction = reduction / _local_scale(start.transform, moving)
    to_plane = Linear(fixed_plane, "affine")
    is_square = np.array_equal(fixed_plane, np.eye(3))
    span = {"stiffest": "translation", "freest": "homography"} if options.transform == "auto" else {}
    while reduction > WORTH_IT:
        reduction = max(1.0, reduction / STEP)
        ties, steady = _tile_ties(fixed, moving, found.transform, reduction, options)
        moved = Correspondences(to_plane(ties.fixed_xy), to_plane(found.transform(ties.moving_xy)), ties.certainty)
        kept = moved[steady]
        fitted = estimate(kept, options.transform, seed=options.seed, tolerance_px=2.0 * reduction, **span)
        if fitted.transform is None or fitted.inliers.sum() < max(MIN_TIES, 0.2 * len(kept)):
            note = f"tie points at 1/{reduction:.3g} of the resolution do not agree: the coarser alignment stands"
            return replace(found, notes=(note,))
        step = fitted.transform if is_square else compose(to_plane, fitted.transform, to_plane.inverse)
        note = f"sharpened by tie points at 1/{reduction:.3g} of the full resolution"
        found = Level(
            compose(found.transform, step),
            ties,
            steady,
            np.diag([1 / reduction, 1 / reduction, 1.0]),
            fitted.heldout_px.get("tps", 0.0),
            (note,),
        )
        if moving_reduction / STEP < 0.3:
            break  # moving has no finer detail to offer
        moving_reduction /= STEP
    return found


def _tile_ties(
    fixed: Source, moving: Source, transform: Transform, reduction: float, options
) -> tuple[Correspondences, np.ndarray]:
    """Tie points of all tiles, px of the files, and (N,) bool: which are steady."""
    side = TILE_PX * reduction
    lattice = [
        np.arange(max(1, min(TILES_ACROSS, int(n / side)))) + 0.5 for n in (fixed.header.width, fixed.header.height)
    ]
    xs, ys = (a / len(a) * n for a, n in zip(lattice, (fixed.header.width, fixed.header.height), strict=True))
    centres = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    # Reading is not safe from several threads, matching is: read here, match there.
    tiles = (_tile(fixed, moving, transform, centre, side, reduction) for centre in centres)
    with ThreadPoolExecutor(max(1, options.threads)) as pool:
        found = [ties for ties in pool.map(_match_tile, (tile for tile in tiles if tile is not None))]
    if not found:
        return Correspondences.empty(), np.zeros(0, bool)
    fixed_xy, moving_xy, certainty, steady = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Correspondences(fixed_xy, moving_xy, certainty), steady


def _tile(fixed: Source, moving: Source, transform: Transform, centre: np.ndarray, side: float, reduction: float):
    """Both views of one tile of fixed, moving laid onto it by the affine part of the transform there.

    None where the images do not overlap or nothing is valid.
    """
    width, height = fixed.header.width, fixed.header.height
    low = np.clip(np.round(centre - side / 2), 0, None).astype(int)
    high = np.minimum(low + int(side), (width, height))
    if (high - low < side / 2).any():
        return None
    window = (int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    corners = np.array([low, (high[0], low[1]), high, (low[0], high[1])], float)
    margin = (corners - corners.mean(axis=0)) * 1.15 + corners.mean(axis=0)
    back = transform.inverse(margin)
    if not np.isfinite(back).all():
        return None
    start = np.clip(np.floor(back.min(axis=0)), 0, (moving.header.width, moving.header.height)).astype(int)
    end = np.clip(np.ceil(back.max(axis=0)), 0, (moving.header.width, moving.header.height)).astype(int)
    if (end - start < 16).any():
        return None
    moving_window = (int(start[0]), int(start[1]), int(end[0] - start[0]), int(end[1] - start[1]))
    per_px = np.sqrt(abs(np.linalg.det(np.diff(back[:3], axis=0)))) / (side * 1.15)
    wanted = max(moving_window[2:]) / max(1.0, per_px * reduction)
    try:
        here = make_view(fixed, framing(window, max(window[2:]) / reduction))
        seen = make_view(moving, framing(moving_window, wanted))
    except InputError:
        return None  # no valid pixels here
    design = np.column_stack([back, np.ones(4)])
    forward = np.vstack([np.linalg.lstsq(design, margin, rcond=None)[0].T, (0, 0, 1)])
    laid = warped_view(seen, np.linalg.inv(here.to_pixel) @ forward @ seen.to_pixel, (here.width, here.height))
    return here, laid


def _match_tile(tile):
    here, laid = tile
    ties, there_and_back = tie_points(here, laid, np.eye(3), FEW)
    steady = (there_and_back < FORWARD_BACKWARD_PX) & (ties.certainty > 0)

    def in_file(view, xy):
        return xy @ view.to_pixel[:2, :2].T + view.to_pixel[:2, 2]

    return in_file(here, ties.fixed_xy), in_file(laid, ties.moving_xy), ties.certainty, steady


def _local_scale(transform: Transform, moving: Source) -> float:
    """Length of a moving px in fixed px, at moving's centre."""
    centre = np.array([moving.header.width / 2, moving.header.height / 2])
    a, b, c = transform(np.array([centre, centre + (1.0, 0.0), centre + (0.0, 1.0)]))
    return float(np.sqrt(abs(np.linalg.det(np.array([b - a, c - a])))))
