"""How far off is a map, place by place? What lies around each place, and one calibrated error for it.

Around a place lie tie points and regions: how they follow the map that is written, how they follow each other, and how
far the nearest one that agrees is; where none holds the map it is continued, and errs with the distance and with how
much it bends. Their logarithms make that of the error (benchmarks/fit_error_map.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.geometry.neighbours import nearest
from xmatch.geometry.outlines import finite
from xmatch.result import ErrorMap
from xmatch.verification import calibration
from xmatch.verification.evidence import REACH_PX, TIE_PX

CELLS = 12
"""Along the longer side of the overlap: about as many as there are tie points. Not tuned."""
FEWEST_PLACES = 30
"""Of the overlap: below that nothing is said. Not tuned."""
SPACED_PLACES = 50
"""Of which it is looked at how far apart they lie, at most: they are spread evenly."""
HELD_CELLS = 2.0
"""A map is held where a tie point that agrees with it lies within so many cells; at the border of an image there is
none nearer, for windows do not look beyond it. Not tuned."""
LEAST_PX = 0.25
"""Added to lengths before their logarithm: tie points are no more exact than this. Not tuned."""
AROUND_CELLS, REGION_CELLS = 1.5, 2.0
"""Sigma of the weights by which tie points and regions around a place count. On bent training pairs what they say
follows the errors within a pair with correlations of 0.39, 0.40, 0.27 (regions: 0.26, 0.30, 0.24) for 1, 1.8, 3
cells."""
ROUNDS, CAUCHY_PX = 5, 1.5
"""Of reweighting, and the scale of it, matched px. Not tuned."""
SHARE_OF = 12
"""Nearest tie points of which the share that agrees is taken. Not tuned."""
MIN_SEEN = 3
"""Fewest that say anything."""
QUANTILE = 0.9


@dataclass(frozen=True, eq=False)
class Seen:
    """Tie points or regions, and how a map between two files misses them."""

    fixed_xy: Floats
    """(N, 2) where they lie, fixed px."""
    off_px: Floats
    """(N, 2) from where the map puts them to where they lie, fixed px; NaN where it is not defined."""
    steady: Mask
    """(N,) bool: matching there and back returns to the start."""

    def known(self, mask: Mask) -> Seen:
        mask = mask & finite(self.off_px)
        return Seen(self.fixed_xy[mask], self.off_px[mask], self.steady[mask])


def error_map(
    fixed_xy: Floats,
    ties: Seen,
    regions: Seen,
    *,
    px: float,
    bend_px: float,
    ground_per_px: float | None = None,
    ground_unit: str | None = None,
    model: Mapping[str, float] | None = None,
) -> ErrorMap | None:
    """The expected error on cells over the overlap; None where that is hardly there.

    Args:
        fixed_xy: (N, 2) where the map puts places of moving, evenly spread, that fixed shows too, fixed px.
        regions: at full resolution, which regions do not look at, the tie points again.
        px: side of a px that was matched in px of the fixed file, with which errors scale.
        bend_px: how far the map between the views leaves the affine one nearest to it, fixed px.
        model: weights of `measures`; default those of the calibration.
    """
    if len(fixed_xy) < FEWEST_PLACES:
        return None
    # The overlap goes on for half of what places lie apart beyond the outermost of them.
    some = fixed_xy[:: len(fixed_xy) // SPACED_PLACES + 1]
    spacing = float(np.median(nearest(some, fixed_xy, 2)[0][:, 1]))
    low, high = fixed_xy.min(axis=0) - spacing / 2, fixed_xy.max(axis=0) + spacing / 2
    side = max(float((high - low).max()) / CELLS, spacing)
    shape = np.maximum(1, np.round((high - low) / side)).astype(int)
    size = (high - low) / shape
    column, row = np.minimum((fixed_xy - low) // size, shape - 1).astype(int).T
    cells, cell, count = np.unique(row * shape[0] + column, return_inverse=True, return_counts=True)
    # Where the overlap lies in them: cells on its border are not full.
    at = np.column_stack([np.bincount(cell, weights=axis) / count for axis in fixed_xy.T])
    found = measures(at, side, ties, regions, px=px, bend_px=bend_px)
    held = np.expm1(found["log_apart_cells"]) <= HELD_CELLS
    expected = px * expected_px(found, model or calibrated()["weights"])

    def laid(values: np.ndarray, empty: Any) -> np.ndarray:
        grid = np.full(shape[1] * shape[0], empty)
        grid[cells] = values
        return grid.reshape(shape[1], shape[0])

    return ErrorMap(
        (float(low[0]), float(low[1])),
        (float(size[0]), float(size[1])),
        laid(expected, np.nan),
        laid(~held, False),
        laid(count / len(fixed_xy), 0.0),
        px,
        ground_per_px,
        ground_unit if ground_per_px is not None else None,
        {name: laid(values, np.nan) for name, values in found.items()},
    )


def measures(at: Floats, side_px: float, ties: Seen, regions: Seen, *, px: float, bend_px: float) -> dict[str, Floats]:
    """Name -> (C,) of what the errors at places (C, 2) are reckoned from.

    Args:
        side_px: of a cell, fixed px.
        bend_px: how far the map leaves the affine one nearest to it, fixed px.
    """
    agrees = np.linalg.norm(ties.off_px, axis=1) < TIE_PX * px
    holding = ties.fixed_xy[agrees & ties.steady]
    apart = _apart(at, holding, side_px)
    middle = holding.mean(axis=0) if len(holding) else at.mean(axis=0)
    return {
        "log_said_px": _said(at, ties.known(ties.steady), AROUND_CELLS * side_px, px),
        "log_region_px": _said(at, regions.known(regions.steady), REGION_CELLS * side_px, px),
        "agreeing": _agreeing(at, ties.fixed_xy, agrees),
        "all_agreeing": np.full(len(at), agrees.mean() if len(agrees) else 0.0),
        "log_apart_cells": apart,
        "log_bend_apart": np.log1p(np.expm1(apart) / CELLS * bend_px / px),
        # As turn, scale and shear err: with the distance from the middle of what was fitted.
        "log_outward": np.log1p(((at - middle) ** 2).sum(axis=1) / (CELLS / 2 * side_px) ** 2),
    }


def global_error(found: ErrorMap) -> float:
    """The error of the map as a whole, fixed px: nine in ten places of the overlap lie within it in nine in ten pairs.

    The 90 % quantile of the cells over the overlap, widened: what is wrong with a map is wrong with many cells at once.
    """
    on = np.isfinite(found.ce90_px)
    order = np.argsort(found.ce90_px[on])
    below = np.cumsum(found.share[on][order])
    place = min(int(np.searchsorted(below, QUANTILE * below[-1])), len(order) - 1)
    return float(calibrated()["widened"] * found.ce90_px[on][order][place])


def expected_px(found: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """(C,) 90th percentile of the position error, matched px: no less than what is seen of it."""
    seen = np.where(np.isfinite(found["log_said_px"]), found["log_said_px"], -np.inf)
    return np.maximum(np.exp(log_error(found, weights)), np.exp(seen) - LEAST_PX)


def log_error(found: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """(C,) logarithm of the 90th percentile of the position error, matched px."""
    parts = [weights[name] * found[name] for name in weights if name != "intercept"]
    return np.asarray(weights["intercept"] + np.sum(parts, axis=0), np.float64)


@cache
def calibrated() -> dict[str, Any]:
    """The fit: "weights" of the measures, and its certificate."""
    text = files(calibration.__name__).joinpath(f"{calibration.ERROR_MAP}.json").read_text(encoding="utf-8")
    fit: dict[str, Any] = json.loads(text)
    return fit


def _said(at: Floats, seen: Seen, sigma_px: float, px: float) -> Floats:
    """(C,) logarithm of how far off the map is by what those around a place say together: their mean, by Gaussian
    weights and reweighted by Cauchy's function, matched px; as far as they look where there are hardly any."""
    if len(seen.fixed_xy) < MIN_SEEN:
        return np.full(len(at), np.log(LEAST_PX + REACH_PX))
    off = seen.off_px / px
    squared = ((at[:, None] - seen.fixed_xy) ** 2).sum(axis=2)
    # The nearest ones count wherever they are.
    near = np.exp(-(squared - squared.min(axis=1, keepdims=True)) / (2 * sigma_px**2))
    weight = near
    for _ in range(ROUNDS):
        said = weight @ off / weight.sum(axis=1, keepdims=True)
        missed = np.linalg.norm(off - said[:, None], axis=2)
        weight = near / (1 + (missed / CAUCHY_PX) ** 2)
    said = weight @ off / weight.sum(axis=1, keepdims=True)
    return np.asarray(np.log(LEAST_PX + np.linalg.norm(said, axis=1)), np.float64)


def _agreeing(at: Floats, fixed_xy: Floats, agrees: Mask) -> Floats:
    """(C,) share of the nearest tie points that agree with the map."""
    if not len(fixed_xy):
        return np.zeros(len(at))
    return np.asarray(agrees[nearest(at, fixed_xy, SHARE_OF)[1]].mean(axis=1), np.float64)


def _apart(at: Floats, held_xy: Floats, side_px: float) -> Floats:
    """(C,) logarithm of 1 more than the distance from the nearest that holds the map, cells; as if it lay all the image
    away where there is none."""
    if not len(held_xy):
        return np.full(len(at), np.log1p(CELLS))
    return np.asarray(np.log1p(nearest(at, held_xy, 1)[0][:, 0] / side_px), np.float64)
