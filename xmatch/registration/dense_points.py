"""Correspondences on a regular lattice, where a registration knows them: between its tie points, not beyond them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.correspondences import Correspondences
from xmatch.errors import UsageError
from xmatch.geometry.outlines import inside, lattice
from xmatch.geometry.support import Support
from xmatch.io.rasters.source import Source
from xmatch.registration.looked_at import looked_at
from xmatch.registration.options import RegisterOptions
from xmatch.result import Registration

MOST = 1_000_000
"""Points; a CSV of so many has about 100 MB. Not tuned."""
AROUND = 8
"""Tie points that speak for a place: those around it on their lattice."""
LEAST_SHARE = 0.5
"""Where tie points agree with the map less than so many times as often as everywhere, it is contradicted. Between two
sensors a third of them may agree in all, so that a fixed share would leave nothing. Not tuned."""
MASK_PX = 2048
"""Which pixels of larger images count is read at this size of the longer side: bounded, and far below the reach of a
tie point."""
LINE = 1e-3
"""Points that spread less than this part of their extent across lie on a line, and hold nothing beside it."""


def lattice_over(width: int, height: int, spacing_px: float) -> Floats:
    """(N, 2) places of an image `spacing_px` apart, half of that from its border; of 1 px: the centres of all pixels.

    Raises:
        UsageError: there are none, or more than `MOST`.
    """
    if not 0 < spacing_px < np.inf:
        raise UsageError(f"--spacing {spacing_px:g} is not a number of px above 0")
    count = width * height / spacing_px**2
    if count > MOST:
        least = np.sqrt(width * height / MOST)
        raise UsageError(
            f"--spacing {spacing_px:g} makes {count:,.0f} points of the fixed image; at most {MOST:,} are given",
            hint=f"--spacing {np.ceil(10 * least) / 10:g}",
        )
    xs, ys = (np.arange(spacing_px / 2, side, spacing_px) for side in (width, height))
    if not len(xs) or not len(ys):
        raise UsageError(f"--spacing {spacing_px:g} is more than twice a side of the fixed image")
    return lattice(xs, ys).reshape(-1, 2)


def with_dense_points(
    registration: Registration, fixed: Source, moving: Source, options: RegisterOptions, spacing_px: float
) -> Registration:
    """The registration with a lattice of correspondences through its map in place of its tie points.

    Left out are places where one of the images holds no data or is not looked at, those that the map is only continued
    to (beyond the tie points that agree with it, or where a map that bends says so), and those around which tie points
    contradict it. The certainty of a place is the mean over the tie points around it, nearer ones counting more, of
    their own certainty, 0 for those that do not agree.

    Args:
        spacing_px: fixed px.

    Raises:
        UsageError: see `lattice_over`.
        InputError: a mask of the options cannot be used.
    """
    places = lattice_over(fixed.header.width, fixed.header.height, spacing_px)
    found = Correspondences.empty()
    transform = registration.transform
    if transform is not None:
        certainty = certainty_at(places, registration.correspondences, registration.inliers)
        places, certainty = places[certainty > 0], certainty[certainty > 0]
        moving_xy = transform.inverse(places)
        here = inside(moving_xy, moving.header.width, moving.header.height)
        here[here] &= transform.supported(moving_xy[here])
        found = Correspondences(places, moving_xy, certainty)[here]
        if len(found):
            with looked_at(fixed, moving, options) as (seen_fixed, seen_moving, _):
                found = found[_holds(seen_fixed, found.fixed_xy) & _holds(seen_moving, found.moving_xy)]
    residual = np.zeros(len(found))
    if transform is not None:
        residual = np.linalg.norm(transform(found.moving_xy) - found.fixed_xy, axis=1)
    return replace(registration, correspondences=found, inliers=np.ones(len(found), bool), residual_px=residual)


def certainty_at(places: Floats, ties: Correspondences, agree: Mask) -> Floats:
    """(N,) in [0, 1]: what the tie points around places (N, 2), fixed px, say for the map; 0 beyond those that agree.

    Args:
        agree: of the tie points, which the map explains.
    """
    from scipy.spatial import cKDTree

    known = np.zeros(len(places))
    holding = ties.fixed_xy[agree]
    if not _spans(holding):
        return known
    support = Support(holding)
    # The windows behind tie points are wide: one step of their lattice beyond the last one is still held by it.
    tree = cKDTree(ties.fixed_xy)
    step = float(np.median(tree.query(ties.fixed_xy, 2)[0][:, 1]))
    held = support.distance(places) <= step
    distance, around = tree.query(places[held], min(AROUND, len(ties)))
    weight = 1 / (distance**2 + step**2)
    weight /= weight.sum(axis=1, keepdims=True)
    certainty = (weight * (ties.certainty * agree)[around]).sum(axis=1)
    contradicted = (weight * agree[around]).sum(axis=1) < LEAST_SHARE * agree.mean()
    known[held] = np.where(contradicted, 0.0, np.clip(certainty, 0.0, 1.0))
    return known


def _spans(xy: Floats) -> bool:
    """Whether positions (N, 2) enclose an area."""
    if len(xy) < 3:
        return False
    spread = np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)
    return bool(spread[1] > LINE * spread[0])


def _holds(source: Source, xy: Floats) -> Mask:
    """(N,) bool: positions (N, 2) px inside an image at which it holds data."""
    width, height = source.header.width, source.header.height
    factor = min(1.0, MASK_PX / max(width, height))
    size = (max(1, round(factor * width)), max(1, round(factor * height)))
    valid = source.read(size=size).valid
    column, row = np.minimum(xy / (width, height) * size, np.array(size) - 1).astype(int).T
    return np.asarray(valid[row, column])
