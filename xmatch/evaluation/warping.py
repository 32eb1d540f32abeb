"""Pairs that are made of two aligned images by resizing both and warping one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from xmatch.coords import to_centre_matrix
from xmatch.datasets import Warp
from xmatch.errors import InputError


def write_warped(fixed: str, moving: str, warp: Warp, folder: Path) -> tuple[str, str]:
    """The resized fixed and the warped moving image as two files in `folder`; what moving does not cover is black.

    Raises:
        InputError: an image cannot be read.
    """
    import cv2

    here, there = (cv2.resize(_read(path), warp.size, interpolation=cv2.INTER_LINEAR) for path in (fixed, moving))
    there = cv2.warpPerspective(there, to_centre_matrix(np.array(warp.matrix)), warp.size, flags=cv2.INTER_LINEAR)
    paths = [os.fspath(folder / f"made_{name}.png") for name in ("fixed", "moving")]
    for path, pixels in zip(paths, (here, there), strict=True):
        cv2.imwrite(path, pixels)
    return paths[0], paths[1]


def _read(path: str) -> np.ndarray:
    import cv2

    pixels = _drawn(path) if path.endswith(".npy") else cv2.imread(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError("is missing, or cannot be read as an image", path=path)
    return pixels


def _drawn(path: str) -> np.ndarray | None:
    """(H, W) uint8 of a depth map: near is dark, and black what has no depth; None when it is none."""
    try:
        depth = np.squeeze(np.load(path, allow_pickle=False))
        known = np.isfinite(depth) & (depth > 0)
        low, high = depth[known].min(), depth[known].max()
    except (OSError, ValueError, TypeError):
        return None
    if depth.ndim != 2:
        return None
    return np.where(known, 1 + 254 * (np.where(known, depth, low) - low) / max(high - low, 1e-9), 0).astype(np.uint8)
