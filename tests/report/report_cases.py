"""Registrations small enough to know everything about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from memory_source import MemorySource

from xmatch.correspondences import Correspondences
from xmatch.geometry import similarity
from xmatch.result import ErrorMap, Registration, Verdict

WIDTH, HEIGHT = 80, 60
TURN = similarity(10.0, 1.2, (6.0, -4.0))


def scene(xy: np.ndarray) -> np.ndarray:
    """A function of the place with a slope and a blob, so that no turn or flip maps it onto itself."""
    x, y = xy[..., 0], xy[..., 1]
    return 40 + 1.1 * x + 0.6 * y + 60 * np.exp(-((x - 50) ** 2 + (y - 20) ** 2) / 120)


def registration(transform=TURN, *, accepted: bool = True, count: int = 60, **changes) -> Registration:
    """`count` correspondences, every fourth of which is 30 px off."""
    rng = np.random.default_rng(3)
    moving_xy = rng.uniform((5, 5), (WIDTH - 5, HEIGHT - 5), (count, 2))
    fixed_xy = moving_xy.copy() if transform is None else transform(moving_xy) + rng.normal(0, 0.5, (count, 2))
    inliers = np.arange(count) % 4 != 0
    fixed_xy[~inliers] += 30.0
    residual_px = np.full(count, np.nan) if transform is None else np.hypot(*(transform(moving_xy) - fixed_xy).T)
    made = Registration(
        fixed={"path": "fixed.tif", "width": WIDTH, "height": HEIGHT, "crs": "EPSG:32632", "dtype": "uint8"},
        moving={"path": "moving.tif", "width": WIDTH, "height": HEIGHT, "crs": None, "dtype": "uint16"},
        transform=transform,
        correspondences=Correspondences(fixed_xy, moving_xy, np.ones(count)),
        inliers=inliers & (transform is not None),
        residual_px=residual_px,
        verdict=Verdict(accepted, 0.97 if accepted else 0.04, "Because.", 1.8, 18.0, "m", {"coverage": 0.6}),
        seconds={"match": 0.5, "total": 0.9},
        notes=("Page 0 of 7 taken; --page picks another.",),
        provenance={"command": ["/usr/bin/xmatch", "register", "a b.tif", "c.tif"], "options": {"seed": 0}},
    )
    return replace(made, **changes)


def errors() -> ErrorMap:
    """4 x 3 cells over all of fixed, 1 to 4 px from left to right; the last column is continued, its last cell
    empty."""
    ce90 = np.tile([1.0, 2.0, 3.0, 4.0], (3, 1))
    ce90[-1, -1] = np.nan
    continued = np.zeros((3, 4), bool)
    continued[:2, -1] = True
    return ErrorMap((0.0, 0.0), (20.0, 20.0), ce90, continued, np.isfinite(ce90) / 11, 1.0, 10.0, "m")


def sources(transform=TURN, width: int = WIDTH, height: int = HEIGHT) -> tuple[MemorySource, MemorySource]:
    """Fixed and moving images of `scene`, the moving one such that `transform` lays it onto the fixed one."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    xy = np.stack([xs, ys], axis=-1)
    moving_xy = transform(xy.reshape(-1, 2)).reshape(xy.shape)
    return MemorySource(scene(xy)), MemorySource(scene(moving_xy))
