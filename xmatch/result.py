"""What a registration says: the transform, the evidence for it, and whether to trust it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.correspondences import Correspondences
from xmatch.geometry import Transform


@dataclass(frozen=True)
class Verdict:
    """Whether the alignment is right, as far as its own evidence tells."""

    accepted: bool
    probability: float
    """Probability in [0, 1] that the alignment is right (corner error below about 5 px at view size); calibrated where
    `is_calibrated`. NaN where the images were not looked at."""
    reason: str
    """One plain sentence for a person."""
    ce90_px: float | None = None
    """Expected error: 90 % of positions lie within this many fixed px of their true place; None if unknown."""
    ce90_ground: float | None = None
    """The same in `ground_unit`, when the fixed image has a CRS or a spacing."""
    ground_unit: str | None = None
    """"m" or "um"."""
    evidence: dict[str, float] = field(default_factory=dict)
    """Name -> value of each measure that the probability was computed from."""
    matcher: str | None = None
    """Which one found the alignment; None where none was asked."""
    calibration: str | None = None
    """Matcher to whose registrations the fit behind the probability was made; None where there was nothing to weigh."""

    @property
    def is_calibrated(self) -> bool:
        """Whether the probability comes from a fit to registrations of the same matcher."""
        return self.calibration == self.matcher


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """The expected error place by place: on cells over the part of the fixed image that the moving one covers."""

    origin_xy: tuple[float, float]
    """Outer corner of the first cell, fixed px."""
    cell_px: tuple[float, float]
    """Width and height of a cell, fixed px."""
    ce90_px: Floats
    """(rows, columns): nine in ten places of such cells lie within this many fixed px of their true place; NaN where
    the images do not overlap."""
    extrapolated: Mask
    """(rows, columns): no tie point holds the map there, it is continued from where one does."""
    share: Floats
    """(rows, columns) of the overlap that lies in each cell; they sum to 1."""
    matched_px: float = 1.0
    """Side of a px that was matched, fixed px: errors scale with it."""
    ground_per_px: float | None = None
    """Side of a fixed px in `ground_unit`."""
    ground_unit: str | None = None
    measures: dict[str, Floats] = field(default_factory=dict)
    """Name -> (rows, columns) of what each error was reckoned from."""

    @property
    def ce90_ground(self) -> Floats | None:
        """(rows, columns) in `ground_unit`; None where that is not known."""
        return None if self.ground_per_px is None else self.ce90_px * self.ground_per_px

    def at(self, fixed_xy: Floats) -> Floats:
        """(N,) `ce90_px` of the cells that hold positions (N, 2); NaN elsewhere."""
        found = np.full(len(fixed_xy), np.nan)
        where = np.floor((fixed_xy - self.origin_xy) / self.cell_px)
        on = ((where >= 0) & (where < self.ce90_px.shape[::-1])).all(axis=1)
        column, row = where[on].astype(int).T
        found[on] = self.ce90_px[row, column]
        return found


@dataclass(frozen=True)
class CheckPoints:
    """A map measured at control points that no fit has seen."""

    count: int
    """Of them that the map puts anywhere."""
    unmapped: int
    """Of them that it does not: beyond a horizon, or where a grid says nothing; all where there is no map."""
    rmse_px: float | None
    """Root mean square of the distance to the true place, fixed px; None without a point."""
    ce90_px: float | None
    """90 % of the points lie within this many fixed px of their true place."""
    max_px: float | None
    rmse_ground: float | None = None
    """The same in `ground_unit`, when the fixed image has a CRS or a spacing."""
    ce90_ground: float | None = None
    ground_unit: str | None = None


@dataclass(frozen=True)
class Registration:
    """The result of registering a moving image onto a fixed one."""

    fixed: dict[str, Any]
    """What is known of the file: path, width, height, dtype, bands, crs, gsd, sha256 (see `provenance.describe`)."""
    moving: dict[str, Any]
    transform: Transform | None
    """moving px -> fixed px of the full-size files; None when nothing could be estimated."""
    correspondences: Correspondences
    """In px of the full-size files."""
    inliers: np.ndarray
    """(N,) bool, which correspondences the transform explains."""
    residual_px: np.ndarray
    """(N,) distance of transform(moving_xy) from fixed_xy, fixed px."""
    verdict: Verdict
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> wall time, with "total"."""
    notes: tuple[str, ...] = ()
    """What the user should know: pages chosen, masks found, priors used, doubts."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Versions, options, seed and hashes: enough to run it again."""
    check_points: CheckPoints | None = None
    """What control points say that were given to measure by; None where none were."""
    error_map: ErrorMap | None = None
    """The expected error place by place; None where the map is not to be trusted, or no image was looked at."""


@dataclass(frozen=True, eq=False)
class PairInGroup:
    """Two images of a group, by their numbers, and what came of registering them."""

    fixed: int
    moving: int
    state: str
    """"used"; "refused" by its own verdict; "failed": the two cannot be registered at all; "disagrees", "disputed",
    "apart": see `xmatch.estimate.graph.Network`."""
    reason: str
    """Of its verdict, or of the failure."""
    verdict: Verdict | None = None
    """None where it failed."""
    transform: Transform | None = None
    """moving px -> fixed px."""
    off_px: float | None = None
    """90 % of the places that both show are within this of where the group's maps put them, px of the reference; None
    where an image has no map, or the pair none."""
    in_loop: bool = False
    """It is used, and another way of used pairs leads around it."""


@dataclass(frozen=True)
class Loop:
    """Three images that are registered onto each other, each pair trusted by itself."""

    images: tuple[int, int, int]
    off_px: float
    """90 % of the places that all three show come back within this after going round, px of the first image."""


@dataclass(frozen=True, eq=False)
class GroupRegistration:
    """Several images registered onto one of them, consistently."""

    reference: int
    images: tuple[Registration, ...]
    """Of each image onto the reference, which is registered onto itself."""
    pairs: tuple[PairInGroup, ...]
    loops: tuple[Loop, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def is_trusted(self) -> bool:
        """Whether every image has found its place."""
        return all(image.verdict.accepted for image in self.images)
