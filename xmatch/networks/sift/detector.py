"""OpenCV's SIFT behind the protocol of all detectors."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from xmatch.coords import Image, Mask
from xmatch.networks.base import Keypoints
from xmatch.networks.keypoints import MOST, kept

CONTRAST = 0.002
"""Least of a keypoint. OpenCV's own 0.04 leaves images of little contrast without any. Not tuned."""
SPARE = 2
"""So many times as many keypoints are asked for as are wanted: some lie where nothing is valid, or twice in a place."""


class SiftDetector:
    """The strongest keypoints, each described as it stands.

    Upright: poses are searched around the matcher, and what a keypoint's own direction gives in turns it takes in
    descriptors, above all where the other sensor's gradients point the other way.
    """

    name = "sift"

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """See `Detector`."""
        grey = np.where(valid, np.clip(image, 0.0, 1.0), image[valid].mean() if valid.any() else 0.5)
        # Without the precise upscale every position is a quarter of a pixel off.
        sift = cv2.SIFT.create(SPARE * MOST, contrastThreshold=CONTRAST, enable_precise_upscale=True)
        eight_bit = np.rint(255 * grey).astype(np.uint8)
        found = _upright(sift.detect(eight_bit, None))
        found, descriptors = sift.compute(eight_bit, found) if found else (found, None)
        rows = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
        # RootSIFT (Arandjelovic and Zisserman, CVPR 2012): the Hellinger kernel, and rows of length 1.
        rooted = np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9))
        xy = np.array([point.pt for point in found], np.float64).reshape(-1, 2)
        return kept(xy, torch.from_numpy(rooted).to(self._device), valid)


def _upright(found: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """Strongest first, without direction: one of those that differ in nothing else."""
    places = {(tuple(point.pt), point.size): point for point in found}
    strongest = sorted(places.values(), key=lambda point: -point.response)
    return [cv2.KeyPoint(p.pt[0], p.pt[1], p.size, 0.0, p.response, p.octave, p.class_id) for p in strongest]
