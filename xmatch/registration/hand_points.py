"""Points that a person has set: the map that they make, and how well they foretell each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from xmatch.coords import Floats, corners
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.estimate import ESTIMATORS
from xmatch.estimate.model import WeightedPoints, is_plausible
from xmatch.geometry import DisplacementGrid, Linear, Transform, compose
from xmatch.io.points.reading import read_tie_points
from xmatch.io.rasters.source import Header
from xmatch.registration.ground import pixel_shape

LEAST = 2
"""Points that make a similarity."""
CLEARLY = 0.8
"""A freer kind is taken where it foretells points that are left out by this much better. Not tuned."""
GRID_NODES = 24
"""Cells of a displacement grid along the longer side of moving, as `estimate` has them."""


@dataclass(frozen=True, eq=False)
class HandFit:
    """A map through points set by hand."""

    transform: Transform
    """moving px -> fixed px."""
    kind: str
    left_out_px: Floats
    """(N,) by how much each point is missed by the map through the others, fixed px; NaN where these make none."""

    @property
    def left_out_rms_px(self) -> float:
        """NaN where a point more is needed to tell."""
        return float(np.sqrt(np.mean(self.left_out_px**2)))


def read_hand_points(path: str, fixed: Header, moving: Header) -> Correspondences:
    """Points within both images that a file does not switch off.

    Raises:
        InputError: the file cannot be read, or a point in it is none.
    """
    # QGIS writes ground coordinates of moving, whatever xmatch was told to ignore.
    georef = moving.georef_ignored or moving.georef
    sizes = (fixed.width, fixed.height), (moving.width, moving.height)
    points = read_tie_points(path, *sizes, fixed.georef, georef)
    return points.correspondences[points.inliers]


def fit_hand_points(points: Correspondences, kinds: tuple[str, ...], fixed: Header, moving: Header) -> HandFit | None:
    """The map through the points: of `kinds`, from the stiffest to the freest, the stiffest one that no freer one
    clearly beats at points left out one by one. None where the points make none of them.

    A kind that no point is left to test is taken only where there is no other.
    """
    best: HandFit | None = None
    for kind in kinds:
        fit = partial(_fitted, kind=kind, fixed=fixed, moving=moving)
        transform = fit(points)
        if transform is None:
            continue
        found = HandFit(transform, kind, _left_out(points, fit))
        told, untested = found.left_out_rms_px, best is None or np.isnan(best.left_out_rms_px)
        if best is None or (not np.isnan(told) if untested else told < CLEARLY * best.left_out_rms_px):
            best = found
    return best


def enough_points(points: Correspondences, path: str, kind: str = "similarity") -> None:
    """
    Raises:
        InputError: there are fewer than a map of that kind needs.
    """
    least = LEAST if kind == "auto" else ESTIMATORS["tps" if kind == "grid" else kind].minimum
    if len(points) < least:
        wanted = "a map" if kind == "auto" else f"a map of kind {kind}"
        raise InputError(f"holds {len(points)} points; {wanted} needs {least} at least", path=path)


def _left_out(points: Correspondences, fit: Callable[[Correspondences], Transform | None]) -> Floats:
    missed = np.full(len(points), np.nan)
    for i in range(len(points)):
        others = np.arange(len(points)) != i
        if (transform := fit(points[others])) is not None:
            missed[i] = np.linalg.norm(transform(points.moving_xy[i : i + 1]) - points.fixed_xy[i])
    return missed


def _fitted(points: Correspondences, *, kind: str, fixed: Header, moving: Header) -> Transform | None:
    """The map of that kind through the points, fitted where pixels of both files are square."""
    to_plane, from_plane = Linear(_plane(moving), "affine"), Linear(np.linalg.inv(_plane(fixed)), "affine")
    onto = Correspondences(from_plane.inverse(points.fixed_xy), to_plane(points.moving_xy), points.certainty)
    transform = ESTIMATORS["tps" if kind == "grid" else kind].try_fit(WeightedPoints.of(onto))
    if transform is None or not _is_sane(transform, to_plane(corners(moving.width, moving.height))):
        return None
    if not (np.array_equal(_plane(fixed), np.eye(3)) and np.array_equal(_plane(moving), np.eye(3))):
        transform = compose(to_plane, transform, from_plane)
    if kind == "grid":
        step_px = max(moving.width, moving.height) / GRID_NODES
        return DisplacementGrid.sampled(transform, moving.width, moving.height, step_px, transform.supported)
    return transform


def _is_sane(transform: Transform, frame: Floats) -> bool:
    """Whether it holds moving together, turned over or not: a person sees which way round a slide lies."""
    turned = Linear(np.diag([-1.0, 1.0, 1.0]), "similarity")
    return is_plausible(transform, frame) or is_plausible(compose(turned, transform), turned(frame))


def _plane(header: Header) -> Floats:
    """(3, 3) px of a file -> square ones."""
    shape = header.spacing_um or pixel_shape(header, (header.width / 2, header.height / 2))
    return np.diag([shape[0] / min(shape), shape[1] / min(shape), 1.0])
