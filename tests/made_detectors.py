"""Detectors that need no weights, in the place of published ones."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from xmatch.coords import Image, Mask
from xmatch.networks.base import Keypoints
from xmatch.networks.keypoints import kept


def sift_detector(image: Image, valid: Mask) -> Keypoints:
    """OpenCV's SIFT, RootSIFT descriptors."""
    sift = cv2.SIFT.create(500, contrastThreshold=0.01, enable_precise_upscale=True)
    found, described = sift.detectAndCompute(np.rint(255 * image).astype(np.uint8), None)
    order = np.argsort([-point.response for point in found])
    xy = np.array([point.pt for point in found]).reshape(-1, 2)[order]
    rows = np.zeros((0, 128), np.float32) if described is None else described[order]
    rooted = np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9))
    return kept(xy, torch.from_numpy(rooted), valid)
