"""Views that are made, not found: blobs and edges of broken symmetry, and moving views whose place is known."""

from __future__ import annotations

import cv2
import numpy as np

from xmatch.coords import corners, to_centre_matrix
from xmatch.raster import View


def scene(width: int = 128, height: int = 128, seed: int = 0) -> np.ndarray:
    """(h, w) float32 in [0, 1]: noise of three sizes on a ramp, like nothing else and unlike itself when turned."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width), np.float32)
    for sigma, share in ((2.0, 0.5), (5.0, 0.7), (14.0, 1.0)):
        noise = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), sigma)
        image += share * noise / noise.std()
    image += np.linspace(0, 1, width, dtype=np.float32)
    return (image - image.min()) / np.ptp(image)


def view(image: np.ndarray, valid: np.ndarray | None = None) -> View:
    valid = np.ones(image.shape, bool) if valid is None else valid
    return View(np.where(valid, image, 0).astype(np.float32), valid, np.eye(3))


def inverted(image: np.ndarray) -> np.ndarray:
    """What another sensor might see: dark is bright, and not in proportion."""
    return (1 - image) ** 1.5


def folded(image: np.ndarray) -> np.ndarray:
    """Contrast that is not even monotone: both ends dark, the middle bright."""
    return 1 - 4 * (image - np.median(image)) ** 2


def pose(width: int, height: int, *, turn_deg=0.0, scale=1.0, shift=(0.0, 0.0), mirror=False) -> np.ndarray:
    """(3, 3) similarity about the middle of a width x height view, corner-counted px."""
    c, s = scale * np.cos(np.radians(turn_deg)), scale * np.sin(np.radians(turn_deg))
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
    middle = np.array([width / 2, height / 2])
    matrix[:2, 2] = middle + shift - matrix[:2, :2] @ middle
    return matrix


def seen_from(image: np.ndarray, matrix: np.ndarray) -> View:
    """The moving view, of the image's size, that `matrix` (moving px -> image px) lays back onto `image`."""
    height, width = image.shape
    onto = to_centre_matrix(np.linalg.inv(matrix))[:2]
    seen = cv2.warpAffine(image.astype(np.float32), onto, (width, height), flags=cv2.INTER_CUBIC)
    valid = cv2.warpAffine(np.ones_like(image, np.float32), onto, (width, height)) > 0.99
    return view(np.clip(seen, 0, 1), valid)


def corner_error_px(found: np.ndarray, truth: np.ndarray, moving: View) -> float:
    """Largest distance of moving's corners under two maps, fixed px."""
    outline = np.column_stack([corners(moving.width, moving.height), np.ones(4)])
    return float(np.linalg.norm((outline @ (found - truth).T)[:, :2], axis=1).max())
