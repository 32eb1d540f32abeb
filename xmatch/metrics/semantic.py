"""PCK: keypoints of semantic correspondence that land near enough, by the size of the object or of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xmatch.metrics.distances import distances_px
from xmatch.metrics.recall import shares_up_to


def box_scale_px(box: tuple[float, float, float, float]) -> float:
    """max(width, height) of the target's bounding box (x0, y0, x1, y1), px: SPair-71k (Min et al. 2019), PF-WILLOW."""
    x0, y0, x1, y1 = box
    return float(max(x1 - x0, y1 - y0))


def image_scale_px(width: float, height: float) -> float:
    """max(width, height) of the target image, px: PF-PASCAL as HPF (Min et al. 2019) and DIFT measure it."""
    return float(max(width, height))


def keypoint_errors(predicted_xy: np.ndarray, true_xy: np.ndarray, scale_px: float) -> np.ndarray:
    """(N,) |predicted - true| / scale of one image's keypoints; infinity where there is no finite prediction.

    Args:
        predicted_xy: (N, 2) px of the target image.
        true_xy: (N, 2) px of the target image.
        scale_px: from `box_scale_px` or `image_scale_px`.

    Raises:
        ValueError: the scale is not above 0.
    """
    if not scale_px > 0:
        raise ValueError(f"want a scale above 0 px; got {scale_px}")
    return distances_px(predicted_xy, true_xy) / scale_px


class Pck(NamedTuple):
    """Percentage of correct keypoints; NaN of nothing."""

    per_image: np.ndarray
    """(A,) mean over images of each one's share: what SPair-71k's own code prints."""
    per_point: np.ndarray
    """(A,) share of all keypoints together; images with many weigh more."""
    images: int
    """With keypoints; others do not count."""
    points: int


def pck(errors: Sequence[np.ndarray], alphas: Sequence[float] = (0.01, 0.05, 0.1)) -> Pck:
    """PCK@alpha: the share of keypoints with |predicted - true| <= alpha * scale, percent.

    Yang and Ramanan 2013, IEEE TPAMI 35(12), for poses of people; SPair-71k, Min et al. 2019, for semantic
    correspondence. Papers print either mean, mostly without a word on which.

    Args:
        errors: one (N_i,) array an image, from `keypoint_errors`.
        alphas: A numbers.
    """
    full = [np.asarray(e, dtype=np.float64) for e in errors if len(e)]
    together = np.concatenate(full) if full else np.zeros(0)
    each = [shares_up_to(e, alphas) for e in full]
    per_image = np.mean(each, axis=0) if each else np.full(len(alphas), np.nan)
    return Pck(per_image, shares_up_to(together, alphas), len(full), len(together))
