"""Points drawn for people: lines between two images, and points with their tails on frames."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from xmatch.coords import AnyArray, Floats, Mask
from xmatch.errors import OutputError
from xmatch.pointwise.images import Seen
from xmatch.pointwise.points import PointMatches

HEIGHT_PX = 512
"""Of a drawn image."""
GAP_PX = 12
MOST_LINES = 200
"""Of many matches, evenly spread ones are drawn."""
TAIL = 8
"""Frames that a point's way is drawn for."""


def drawn_pair(fixed: Seen, moving: Seen, matches: PointMatches) -> bytes:
    """A PNG: FIXED left, MOVING right, a line from each visible point to where it was found; the others are rings."""
    left, right = _canvas(fixed), _canvas(moving)
    gap = np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8)
    picture = np.hstack([left, gap, right])
    count = len(matches.certainty)
    chosen = np.linspace(0, count - 1, min(count, MOST_LINES)).round().astype(int)
    starts, ends = _on_canvas(matches.fixed_xy, fixed), _on_canvas(matches.moving_xy, moving)
    ends = ends + (left.shape[1] + GAP_PX, 0)
    for place, i in enumerate(chosen):
        colour = _colour(place, len(chosen))
        start, end = _pixel(starts[i]), _pixel(ends[i])
        if matches.visible[i]:
            cv2.line(picture, start, end, colour, 1, cv2.LINE_AA)
        for point in (start, end):
            cv2.circle(picture, point, 3, colour, -1 if matches.visible[i] else 1, cv2.LINE_AA)
    return _png(picture)


def drawn_frame(frame: Seen, tails_xy: Floats, visible: Mask) -> bytes:
    """A PNG of a frame: a dot for each visible point with the way it came, a ring where it is hidden.

    Args:
        tails_xy: (T, N, 2) px in the last frames, this one last.
        visible: (T, N).
    """
    picture = _canvas(frame)
    count = tails_xy.shape[1]
    for i in range(count):
        colour = _colour(i, count)
        way = [_pixel(xy) for xy in _on_canvas(tails_xy[visible[:, i], i], frame)]
        for start, end in zip(way[:-1], way[1:], strict=True):
            cv2.line(picture, start, end, colour, 1, cv2.LINE_AA)
        here = _pixel(_on_canvas(tails_xy[-1, i], frame))
        cv2.circle(picture, here, 4, colour, -1 if visible[-1, i] else 1, cv2.LINE_AA)
    return _png(picture)


def _canvas(seen: Seen) -> AnyArray:
    """The image `HEIGHT_PX` high with the proportions of its file, blue first as OpenCV draws."""
    width, height = seen.size_px
    size = max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX
    picture = cv2.resize(np.ascontiguousarray(seen.image[..., ::-1]), size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray((picture * 255).clip(0, 255).round().astype(np.uint8))


def _on_canvas(xy: Floats, seen: Seen) -> Floats:
    return np.asarray(xy * (HEIGHT_PX / seen.size_px[1]))


def _pixel(xy: Floats) -> tuple[int, int]:
    # Far outside a picture OpenCV's integers end.
    x, y = np.clip(xy, -10000, 10000).astype(int)
    return int(x), int(y)


def _colour(place: int, count: int) -> tuple[int, int, int]:
    """Blue, green, red; neighbours in the list look alike."""
    red, green, blue = colorsys.hsv_to_rgb(place / max(count, 1), 0.9, 1.0)
    return int(255 * blue), int(255 * green), int(255 * red)


def _png(picture: AnyArray) -> bytes:
    good, encoded = cv2.imencode(".png", picture)
    if not good:
        raise OutputError("the picture cannot be encoded as PNG")
    return encoded.tobytes()
