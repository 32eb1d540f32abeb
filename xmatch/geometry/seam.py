"""Where a map of the world ends: at its seam, usually the 180th meridian, neighbours lie on opposite edges."""

from __future__ import annotations

import numpy as np

SHARE = 0.25
"""A step of this share of the fixed image's longer side, between neighbours of a lattice, may be a jump..."""
TIMES = 8.0
"""... and is one when it is so many times as long as the median step in its direction."""
NEAR = 0.1
"""Beyond the fixed image's edges by so much of its sides still counts as on its map."""


def is_torn(landed: np.ndarray, fixed_size: tuple[int, int]) -> bool:
    """Whether a seam of the fixed image's map runs through the moving image.

    Args:
        landed: (R, C, 2) px of the fixed image where a lattice of the moving one comes to lie; not finite where the
            projection does not reach.
        fixed_size: (width, height) of the fixed image.
    """
    # A lattice that reaches far beyond the map has long steps out there, and they are nobody's concern.
    on_map = (landed > -NEAR * np.array(fixed_size)) & (landed < (1 + NEAR) * np.array(fixed_size))
    landed = np.where(on_map.all(axis=-1, keepdims=True), landed, np.nan)
    for axis in (0, 1):
        steps = np.linalg.norm(np.diff(landed, axis=axis), axis=-1)
        steps = steps[np.isfinite(steps)]
        if len(steps) and steps.max() > max(SHARE * max(fixed_size), TIMES * float(np.median(steps))):
            return True
    return False
