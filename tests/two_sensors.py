"""Pairs of procedural worlds as two sensors see them, with the true pose between the views."""

from __future__ import annotations

from functools import cache

import numpy as np

from xmatch.coords import from_normalised, to_normalised
from xmatch.raster import View
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.worlds import Worlds

POSES = Difficulty(max_angle_deg=40, max_scale=1.25, max_shift=0.08, shear=0.0, perspective=0.0, elastic=0.0, noise=0.5)
"""Similarities, and enough of both views to find them."""


@cache
def two_sensor_pairs(count: int, side: int, *worlds: str, seed: int = 0) -> tuple[tuple[View, View, np.ndarray], ...]:
    """(fixed, moving, (3, 3) moving px -> fixed px, corner-counted) of `side` px each."""
    drawn = draw_pairs(Mixture([Worlds(worlds, pool=1)]), count, side, device_rng("cpu", seed), POSES)
    views = [
        [
            View(np.where(valid[0], image[0], 0).astype(np.float32), valid[0], np.eye(3))
            for image, valid in zip(images.numpy(), valids.numpy(), strict=True)
        ]
        for images, valids in ((drawn.fixed, drawn.fixed_valid), (drawn.moving, drawn.moving_valid))
    ]
    to_unit, to_px = (_linear(function, side) for function in (to_normalised, from_normalised))
    truths = [to_px @ np.linalg.inv(matrix) @ to_unit for matrix in drawn.matrices]
    return tuple(zip(*views, truths, strict=True))


def _linear(function, side: int) -> np.ndarray:
    """(3, 3) of a map of positions that is a scale and a shift."""
    origin, one = function(np.zeros(2), side, side), function(np.ones(2), side, side)
    return np.array([[one[0] - origin[0], 0, origin[0]], [0, one[1] - origin[1], origin[1]], [0, 0, 1]])
