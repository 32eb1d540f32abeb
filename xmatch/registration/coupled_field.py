"""Where all windows of an image lie on another one together: each may choose among all near places, and smoothness
decides between them.

Discrete registration by coupled convex optimisation (Heinrich, Papiez, Schnabel and Handels, MICCAI Workshop WBIR 2014;
Siebert, Hansen and Heinrich, MICCAI Learn2Reg 2021): the whole similarity surfaces take part, so that a window with
several likely places, or none, follows its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats, Image
from xmatch.estimate.bspline import SmoothField
from xmatch.registration.tie_points import peaks

COUPLINGS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""What a window pays for each squared px between its place and the field's, in units of correlation: at first hardly
anything, in the end more than any second place is worth. Not tuned."""
ROUNDS = 2
"""Choices and fits at each coupling. Not tuned."""
LEAST_WEIGHT = 1e-3
"""Of a window whose place is no more alike than the others, so that all weights stay above 0. Not tuned."""


@dataclass(frozen=True, eq=False)
class CoupledField:
    """A smooth field of displacements."""

    field: SmoothField
    coefficients: Floats
    """(K, 2) px."""

    def __call__(self, xy: Floats) -> Floats:
        """(N, 2) px by which what lies at (N, 2) is displaced."""
        return self.field.basis(xy) @ self.coefficients


def coupled_field(surfaces: Image, centres_xy: Floats, field: SmoothField, stiffness: float) -> CoupledField:
    """The field that windows choose together.

    Args:
        surfaces: (N, 2 r + 1, 2 r + 1) correlation of each window with the places up to r px around its own.
        centres_xy: (N, 2) px of the windows in the field's rectangle.
        stiffness: as `SmoothField.fitted` has it.
    """
    count, side, _ = surfaces.shape
    reach = side // 2
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    gain = surfaces - surfaces.mean(axis=(1, 2), keepdims=True)
    basis = field.basis(centres_xy)
    rows = np.arange(count)
    smooth, coefficients = np.zeros((count, 2)), np.zeros((basis.shape[1], 2))
    for coupling in COUPLINGS:
        for _ in range(ROUNDS):
            away = (xs - smooth[:, 0, None, None]) ** 2 + (ys - smooth[:, 1, None, None]) ** 2
            value = gain - coupling * away
            chosen, best = peaks(value, reach)
            weight = np.maximum(gain.reshape(count, -1)[rows, best], LEAST_WEIGHT)
            coefficients = field.fitted(basis, chosen, weight, stiffness)
            smooth = basis @ coefficients
    return CoupledField(field, coefficients)
