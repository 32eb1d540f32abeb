"""Where all windows of an image lie on another one together: each may choose among all near places, and a map that they
share decides between them.

Discrete registration by coupled convex optimisation (Heinrich, Papiez, Schnabel and Handels, MICCAI Workshop WBIR 2014;
Siebert, Hansen and Heinrich, MICCAI Learn2Reg 2021): the whole similarity surfaces take part, so that a window with
several likely places, or none, follows the others. There the map is a smooth field; here it may be a projective one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xmatch.coords import Floats, Image
from xmatch.estimate import ESTIMATORS
from xmatch.estimate.bspline import SmoothField
from xmatch.estimate.model import WeightedPoints
from xmatch.geometry import Linear
from xmatch.registration.tie_points import peaks

COUPLINGS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""What a window pays for each squared px between its place and the map's, in units of correlation: at first hardly
anything, in the end more than any second place is worth. Not tuned."""
ROUNDS = 2
"""Choices and fits at each coupling. Not tuned."""
LEAST_WEIGHT = 1e-3
"""Of a window whose place is no more alike than the others, so that all weights stay above 0. Not tuned."""


@dataclass(frozen=True, eq=False)
class CoupledField:
    """A map that displaces what a smooth field says."""

    field: SmoothField
    coefficients: Floats
    """(K, 2) px."""

    def __call__(self, xy: Floats) -> Floats:
        """(N, 2) px where what lies at (N, 2) is displaced to."""
        return xy + self.field.basis(xy) @ self.coefficients


M = TypeVar("M", bound=Callable[[Floats], Floats])
"""A map of (N, 2) px."""


def coupled_field(surfaces: Image, centres_xy: Floats, field: SmoothField, stiffness: float) -> CoupledField:
    """The smooth field that windows choose together.

    Args:
        surfaces: (N, 2 r + 1, 2 r + 1) correlation of each window with the places up to r px around its own.
        centres_xy: (N, 2) px of the windows in the field's rectangle.
        stiffness: as `SmoothField.fitted` has it.
    """
    basis = field.basis(centres_xy)

    def fit(places: Floats, weight: Floats) -> CoupledField:
        return CoupledField(field, field.fitted(basis, places - centres_xy, weight, stiffness))

    found = _chosen_together(surfaces, centres_xy, fit)
    assert found is not None, "a field is held wherever there is nothing to see"
    return found


def coupled_projective(surfaces: Image, centres_xy: Floats, kind: str) -> Linear | None:
    """The affine map or homography that windows choose together; None where they leave it open, as on one line.

    Args:
        surfaces: as for `coupled_field`.
        centres_xy: (N, 2) px of the windows.
        kind: "affine" or "homography".
    """
    model = ESTIMATORS[kind]

    def fit(places: Floats, weight: Floats) -> Linear | None:
        found = model.try_fit(WeightedPoints(centres_xy, places, weight))
        return found if isinstance(found, Linear) and np.isfinite(found(centres_xy)).all() else None

    return _chosen_together(surfaces, centres_xy, fit)


def _chosen_together(surfaces: Image, centres_xy: Floats, fit: Callable[[Floats, Floats], M | None]) -> M | None:
    """The map that `fit` makes of the places (N, 2) that windows choose in the end, and their weights (N,) above 0.

    None as soon as it makes none.
    """
    count, side, _ = surfaces.shape
    reach = side // 2
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    gain = surfaces - surfaces.mean(axis=(1, 2), keepdims=True)
    rows, shared, found = np.arange(count), np.zeros((count, 2)), None
    for coupling in COUPLINGS:
        for _ in range(ROUNDS):
            away = (xs - shared[:, 0, None, None]) ** 2 + (ys - shared[:, 1, None, None]) ** 2
            chosen, best = peaks(gain - coupling * away, reach)
            weight = np.maximum(gain.reshape(count, -1)[rows, best], LEAST_WEIGHT)
            found = fit(centres_xy + chosen, weight)
            if found is None:
                return None
            shared = found(centres_xy) - centres_xy
    return found
