"""What every reader of a data set gives: two images and what is known of their correspondence.

Positions are px (x, y), the first pixel's centre at (0.5, 0.5), whatever the data set itself counts from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from xmatch.geometry import Transform


@dataclass(frozen=True, eq=False)
class TransformTruth:
    """One map of the whole image."""

    transform: Transform
    """Moving px -> fixed px."""


@dataclass(frozen=True, eq=False)
class LandmarkTruth:
    """Points that were marked in both images: landmarks of registration, keypoints of semantic matching."""

    fixed_xy: np.ndarray
    """(N, 2) px."""
    moving_xy: np.ndarray
    """(N, 2) px; row i shows what row i of `fixed_xy` shows."""
    fixed_box: tuple[float, float, float, float] | None = None
    """Of the object, (x0, y0, x1, y1) px: what PCK is measured by."""
    moving_box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class PoseTruth:
    """Two calibrated cameras."""

    fixed_intrinsics: np.ndarray
    """(3, 3), of positions counted from the image's corner."""
    moving_intrinsics: np.ndarray
    rotation: np.ndarray
    """(3, 3): a point in fixed's camera, turned into moving's."""
    translation: np.ndarray
    """(3,): X_moving = rotation X_fixed + translation; its length may be unknown."""
    fixed_distortion: np.ndarray | None = None
    """(4,), (5,), (8,) ...: OpenCV's coefficients k1, k2, p1, p2, k3, ... of the lens; None: a pinhole."""
    moving_distortion: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class TrackTruth:
    """Points of the first frame of a video in one later frame."""

    fixed_xy: np.ndarray
    """(N, 2) px of the first frame."""
    moving_xy: np.ndarray
    """(N, 2) px of the later frame."""
    visible: np.ndarray
    """(N,) bool: to be seen in the later frame."""


@dataclass(frozen=True)
class Warp:
    """How a pair is made of two aligned images: both are resized, then moving is warped; the canvas stays."""

    size: tuple[int, int]
    """(width, height) px."""
    matrix: tuple[tuple[float, ...], ...]
    """(3, 3): px of the resized moving image -> px of the warped one."""


Truth = TransformTruth | LandmarkTruth | PoseTruth | TrackTruth


@dataclass(frozen=True, eq=False)
class Sample:
    """One pair of images of a data set."""

    id: str
    """Unique within the data set, the same on every machine."""
    group: str
    """What tables are split by: a modality, a scene, a category."""
    fixed: Path
    moving: Path
    truth: Truth | None
    """None: unrelated images."""
    fixed_frame: int | None = None
    """Of a file with several, counted from 0."""
    moving_frame: int | None = None
    warp: Warp | None = None
    """None: the files as they are."""


TaskName = Literal["registration", "homography", "landmarks", "pose", "semantic", "tracking"]
"""What pairs are good for. `homography` is registration whose correspondences are judged too."""


@dataclass(frozen=True)
class DataSet:
    """A layout of files that `xmatch eval` can read."""

    name: str
    task: TaskName
    layout: str
    """What the folder must hold, for people."""
    source: str
    """Where one gets it, and under which terms."""
    read: Callable[[Path], Sequence[Sample]]
    """From the folder, in a fixed order. Raises InputError when it does not hold such a data set, naming what lacks."""
