"""What readers of pairs with poses share: a scene's .npz, and two world-to-camera poses as one truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmatch.coords import CENTRE
from xmatch.datasets.safe_pickle import load_npz
from xmatch.datasets.sample import PoseTruth
from xmatch.errors import InputError


def scene(path: Path, *wanted: str) -> dict[str, np.ndarray]:
    """The arrays of a scene's .npz.

    Raises:
        InputError: it cannot be read, or lacks one of `wanted`.
    """
    arrays = load_npz(path)
    lacking = [name for name in wanted if name not in arrays]
    if lacking:
        raise InputError(f"lacks the arrays {', '.join(lacking)}", path=path)
    return arrays


def from_centre_intrinsics(matrix: object) -> np.ndarray:
    """(3, 3) of a principal point counted from the first centre, as OpenCV does, to xmatch's counting."""
    return as_matrix(matrix, 3) + np.array([[0.0, 0.0, CENTRE], [0.0, 0.0, CENTRE], [0.0, 0.0, 0.0]])


def as_matrix(values: object, side: int) -> np.ndarray:
    """(side, side) float64 of as many numbers, in objects or not. Raises ValueError otherwise."""
    return np.array(values, dtype=np.float64).reshape(side, side)


def between(fixed_pose: object, moving_pose: object) -> np.ndarray:
    """(4, 4) from fixed's camera to moving's, of two world-to-camera poses: T_moving T_fixed^-1."""
    return as_matrix(moving_pose, 4) @ np.linalg.inv(as_matrix(fixed_pose, 4))


def pose_truth(
    fixed_intrinsics: np.ndarray,
    moving_intrinsics: np.ndarray,
    motion: np.ndarray,
    distortions: tuple[np.ndarray, np.ndarray] | tuple[None, None] = (None, None),
) -> PoseTruth:
    """Truth of two cameras, the (4, 4) from fixed's to moving's, and how their lenses distort."""
    return PoseTruth(fixed_intrinsics, moving_intrinsics, motion[:3, :3], motion[:3, 3], *distortions)
