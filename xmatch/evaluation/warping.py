"""Pairs that are made of two aligned images by resizing both and warping one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from xmatch.coords import to_centre_matrix
from xmatch.errors import InputError
from xmatch.evaluation.datasets import Warp


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

    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError("is missing, or cannot be read as an image", path=path)
    return pixels
