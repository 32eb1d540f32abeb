"""TAP-Vid: points of one frame of a video, followed through the frames after it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

THRESHOLDS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Of TAP-Vid, in px of frames resized to SIDE x SIDE."""

SIDE = 256
"""Side of the square that frames of any shape are resized to, px."""


def to_tap_vid_xy(xy: np.ndarray, width: int, height: int) -> np.ndarray:
    """(..., 2) px of a video of width x height to px of the 256 x 256 frames that thresholds are meant for."""
    return np.asarray(xy, dtype=np.float64) * (SIDE / np.array([width, height], dtype=np.float64))


class TapVid(NamedTuple):
    """How well one video was tracked, percent; TAP-Vid's tables are means over videos. NaN where nothing is judged."""

    position_accuracy: np.ndarray
    """(5,) of the truly visible points, those closer than each threshold, whatever was said of their visibility."""
    average_position_accuracy: float
    """Mean over thresholds: < delta^x_avg."""
    occlusion_accuracy: float
    """Of all points, those rightly called visible or occluded."""
    jaccard: np.ndarray
    """(5,) true positives / (truly visible + false positives) at each threshold."""
    average_jaccard: float
    """Mean over thresholds: AJ."""


def tap_vid(
    xy: np.ndarray,
    visible: np.ndarray,
    true_xy: np.ndarray,
    true_visible: np.ndarray,
    query_frame: np.ndarray | int = 0,
) -> TapVid:
    """The metrics of TAP-Vid in its mode "query first": only frames after a point's query frame count.

    Doersch et al. 2022 (TAP-Vid), with the frames that its code has judged since the repair told in
    https://github.com/facebookresearch/co-tracker/issues/20. A true positive is visible, called visible and closer
    than the threshold; a false positive is called visible though it is occluded or not closer.

    Args:
        xy: (N, T, 2) predicted, px of 256 x 256 frames (`to_tap_vid_xy`).
        visible: (N, T) bool, predicted.
        true_xy: (N, T, 2), the same px.
        true_visible: (N, T) bool.
        query_frame: (N,) or one for all: the frame that each point was given in.
    """
    visible, true_visible = np.asarray(visible, dtype=bool), np.asarray(true_visible, dtype=bool)
    query = np.broadcast_to(np.asarray(query_frame), visible.shape[:1])
    judged = np.arange(visible.shape[1]) > query[:, None]
    seen = judged & true_visible
    claimed = judged & visible
    square = ((np.asarray(xy, dtype=np.float64) - np.asarray(true_xy, dtype=np.float64)) ** 2).sum(axis=-1)
    position, jaccard = [], []
    for threshold in THRESHOLDS_PX:
        # A position that is not finite compares as not near.
        hit = seen & (square < threshold**2)
        position.append(_percent(hit.sum(), seen.sum()))
        right = hit & visible
        jaccard.append(_percent(right.sum(), seen.sum() + (claimed & ~right).sum()))
    return TapVid(
        np.array(position),
        float(np.mean(position)),
        _percent((judged & (visible == true_visible)).sum(), judged.sum()),
        np.array(jaccard),
        float(np.mean(jaccard)),
    )


def _percent(part: int, whole: int) -> float:
    return float(100.0 * part / whole) if whole else float("nan")
