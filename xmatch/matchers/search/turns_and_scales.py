"""Which turns, scales and places of a range are searched, and how an image is turned for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xmatch.coords import Floats, Mask
from xmatch.matchers.base import SearchRange


def angles_within(within: SearchRange, step_deg: float) -> Floats:
    """Turns to try; half a circle is enough when all are wanted, since each comes with its half turn."""
    middle = within.middle_angle_deg
    if within.max_angle_deg > 90:
        return middle + np.arange(-90.0, 90.0, step_deg)
    count = int(np.ceil(within.max_angle_deg / step_deg))
    return middle + np.linspace(-within.max_angle_deg, within.max_angle_deg, 2 * count + 1)


def scales_within(within: SearchRange, step: float) -> Floats:
    """Scales to try, the middle of the range among them where it holds it, neighbours at most `step` apart."""
    middle = within.middle_scale
    if not within.min_scale <= 1 <= within.max_scale:
        count = int(np.ceil(np.log(within.max_scale / within.min_scale) / np.log(step) - 1e-6))
        return middle * np.geomspace(within.min_scale, within.max_scale, count + 1)
    below = int(np.ceil(np.log(1 / within.min_scale) / np.log(step) - 1e-6))
    above = int(np.ceil(np.log(within.max_scale) / np.log(step) - 1e-6))
    exponents = np.concatenate([np.linspace(-1, 0, below + 1)[:-1], [0.0], np.linspace(0, 1, above + 1)[1:]])
    return middle * np.where(exponents < 0, within.min_scale**-exponents, within.max_scale**exponents)


def near_place(
    within: SearchRange, moving_wh: ArrayLike, fixed_wh: ArrayLike, factors: ArrayLike
) -> tuple[Floats, float]:
    """(centre of moving on the small fixed view, how far it may stray), px of the small view.

    Args:
        moving_wh, fixed_wh: width and height of the views.
        factors: px of the small fixed view a px of the view, in x and in y.
    """
    middle = np.append(np.asarray(moving_wh, np.float64) / 2, 1.0)
    centre: Floats = (within.centre @ middle)[:2] * np.asarray(factors, np.float64)
    return centre, within.max_shift * float(np.max(np.asarray(fixed_wh) * factors))


def near_shifts(
    centre_xy: Floats, radius_px: float, canvas: int, shape: tuple[int, int], fixed_size: Sequence[int]
) -> Mask:
    """(H, W) bool: shifts, of a score of `shape`, that put the canvas's centre within `radius_px` of `centre_xy`."""
    away = []
    for axis in (1, 0):
        n = np.arange(shape[axis])
        shift = np.where(n > fixed_size[axis], n - shape[axis], n)
        away.append(shift + canvas / 2 - centre_xy[1 - axis])
    return np.asarray(np.hypot(away[0][None, :], away[1][:, None]) <= radius_px)


def is_worth_trying(moving_size: ArrayLike, side_px: float) -> bool:
    """Whether moving, reduced to `moving_size` px, is neither too small nor too large to be searched."""
    return bool(np.min(moving_size) >= 16 and np.max(moving_size) <= 6 * side_px)


def turn_about_centre(
    width: ArrayLike, height: ArrayLike, angle_deg: ArrayLike, canvas: ArrayLike, flip: ArrayLike = 1
) -> Floats:
    """(..., 3, 3) turn of a width x height image about its centre into the middle of a square canvas, corner-counted
    px; of several images by several angles where there are several."""
    width, height, angle_deg, canvas, flip = np.broadcast_arrays(width, height, angle_deg, canvas, flip)
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = np.zeros((*width.shape, 3, 3))
    turn[..., 0, 0], turn[..., 0, 1] = c * flip, -s
    turn[..., 1, 0], turn[..., 1, 1] = s * flip, c
    turn[..., 0, 2] = canvas / 2 - (turn[..., 0, 0] * width + turn[..., 0, 1] * height) / 2
    turn[..., 1, 2] = canvas / 2 - (turn[..., 1, 0] * width + turn[..., 1, 1] * height) / 2
    turn[..., 2, 2] = 1
    return turn
