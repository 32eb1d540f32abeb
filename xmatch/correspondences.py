"""Correspondences: pairs of positions, one in each image, that show the same point of the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Correspondences:
    """N matched positions. N = 0 is legal: nothing to match is a result, not a fault."""

    fixed_xy: np.ndarray
    """(N, 2) float64, px of the fixed image."""
    moving_xy: np.ndarray
    """(N, 2) float64, px of the moving image."""
    certainty: np.ndarray
    """(N,) float64 in [0, 1], higher is surer."""

    def __post_init__(self) -> None:
        n = len(self.certainty)
        if self.fixed_xy.shape != (n, 2) or self.moving_xy.shape != (n, 2):
            raise ValueError(
                f"want (N, 2), (N, 2), (N,); got {self.fixed_xy.shape}, {self.moving_xy.shape}, {self.certainty.shape}"
            )

    def __len__(self) -> int:
        return len(self.certainty)

    def __getitem__(self, index: np.ndarray | slice) -> Correspondences:
        """The rows picked by a mask, an index array or a slice."""
        return Correspondences(self.fixed_xy[index], self.moving_xy[index], self.certainty[index])

    @staticmethod
    def empty() -> Correspondences:
        return Correspondences(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
