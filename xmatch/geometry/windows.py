"""Windows of images: rectangles of whole pixels, as (x0, y0, width, height)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from xmatch.coords import AnyArray, Floats
from xmatch.geometry.outlines import finite, nodes_over

Window: TypeAlias = tuple[int, int, int, int]
"""(x0, y0, width, height), px."""


def whole(width: int, height: int) -> Window:
    return 0, 0, width, height


def window_around(xy: AnyArray, width: int, height: int, margin_px: float = 0.0) -> Window:
    """The least window of an image that holds N >= 1 finite positions (N, 2) and `margin_px` around them; one px wide
    or high at its nearest border where they lie outside."""
    low = np.clip(np.floor(xy.min(axis=0) - margin_px), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(xy.max(axis=0) + margin_px), low + 1, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def window_under(
    backward: Callable[[Floats], Floats],
    window: Window,
    width: int,
    height: int,
    *,
    margin_px: float = 0.0,
    count: int = 33,
) -> Window | None:
    """The window of moving under a window of fixed.

    Args:
        backward: fixed px -> moving px; NaN where it is not defined.
        window: of fixed; `count` x `count` places of it are asked for.
        width, height: of moving.

    Returns:
        None where less than one row of these places is anywhere; one px wide or high where all are outside moving.
    """
    x0, y0, window_width, window_height = window
    landed = np.asarray(backward(nodes_over(window_width, window_height, count) + (x0, y0)))
    landed = landed[finite(landed)]
    return window_around(landed, width, height, margin_px) if len(landed) >= count else None
