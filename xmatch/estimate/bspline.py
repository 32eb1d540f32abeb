"""Smooth displacements from scattered ones: cubic B-splines on a lattice, whose bending energy is held down.

Free-form deformations (Rueckert et al., IEEE TMI 18, 1999), fitted by weighted least squares.
"""

from __future__ import annotations

import numpy as np

from xmatch.coords import Floats

DEGREE = 3


class SmoothField:
    """Fields over a rectangle of `width` x `height` px, with `cells` lattice cells along its longer side."""

    def __init__(self, width: float, height: float, cells: int) -> None:
        step = max(width, height) / cells
        self._knots = [_knots(side, max(2, round(side / step))) for side in (width, height)]
        # Means of products, by midpoints: eight for each basis function.
        bases = [_sampled(knots, side) for knots, side in zip(self._knots, (width, height), strict=True)]
        (x0, x1, x2), (y0, y1, y2) = bases
        energy = np.kron(y0, x2) + 2 * np.kron(y1, x1) + np.kron(y2, x0)
        # A bend of a wave as long as the shorter side costs about its own mean square.
        self._energy: Floats = energy * (min(width, height) / (2 * np.pi)) ** 4

    def basis(self, xy: Floats) -> Floats:
        """(N, K) what each coefficient adds at (N, 2) px of the rectangle."""
        from scipy.interpolate import BSpline  # takes half a second to load, and most images do not bend

        across, down = (
            BSpline.design_matrix(np.clip(at, knots[DEGREE], knots[-DEGREE - 1]), knots, DEGREE).toarray()
            for at, knots in zip(xy.T, self._knots, strict=True)
        )
        return np.asarray((down[:, :, None] * across[:, None, :]).reshape(len(xy), -1), np.float64)

    def fitted(self, basis: Floats, displacements: Floats, weight: Floats, stiffness: float) -> Floats:
        """(K, 2) coefficients of the field near (N, 2) displacements.

        Args:
            basis: (N, K) of the places where they are known.
            weight: (N,) above 0.
            stiffness: what the mean bending energy counts beside the weighted mean of the squared distances, >= 0,
                typically 0.01 to 0.3; the same for rectangles of any size.
        """
        share = weight / weight.sum()
        # The least stiffness of all: where the data do not reach and the energy is blind, nothing moves.
        system = basis.T @ (share[:, None] * basis) + stiffness * self._energy + 1e-9 * np.eye(basis.shape[1])
        return np.asarray(np.linalg.solve(system, basis.T @ (share[:, None] * displacements)), np.float64)


def _knots(side: float, cells: int) -> Floats:
    return np.asarray(np.arange(-DEGREE, cells + DEGREE + 1) * side / cells, np.float64)


def _sampled(knots: Floats, side: float) -> list[Floats]:
    """(K, K) mean products of the basis functions' values, slopes and curvatures."""
    from scipy.interpolate import BSpline

    count = len(knots) - DEGREE - 1
    at = (np.arange(8 * count) + 0.5) * side / (8 * count)
    spline = BSpline(knots, np.eye(count), DEGREE)
    return [values.T @ values / len(at) for values in (spline(at, nu) for nu in range(3))]
