"""Positions as a camera without distortion would see them."""

from __future__ import annotations

import numpy as np

from xmatch.metrics.matches import on_rays

ROUNDS = 50
"""Of the iteration; each takes away most of what is left, and OpenCV's five leave hundredths of a pixel in corners."""


def undistorted_xy(xy: np.ndarray, intrinsics: np.ndarray, distortion: np.ndarray | None) -> np.ndarray:
    """(N, 2) px of a pinhole camera with the same intrinsics, of (N, 2) px that a lens has bent.

    OpenCV's model of lenses (Brown 1971), inverted by fixed-point iteration: ray <- ray + (seen - bent(ray)). XoFTR
    resamples the images instead and matches those; moving the correspondences leaves the images as they are.

    Args:
        xy: px, counted as the intrinsics are.
        intrinsics: (3, 3).
        distortion: k1, k2, p1, p2, ... as OpenCV orders them; None: nothing to undo.
    """
    if distortion is None or not len(xy):
        return xy
    import cv2

    seen = on_rays(xy, intrinsics)
    rays, still = seen.copy(), np.zeros(3)
    for _ in range(ROUNDS):
        bent = cv2.projectPoints(rays[:, None], still, still, np.eye(3), distortion)[0].reshape(-1, 2)
        rays[:, :2] += seen[:, :2] - bent
    pixels = rays @ np.asarray(intrinsics, dtype=np.float64).T
    return pixels[:, :2] / pixels[:, 2:]
