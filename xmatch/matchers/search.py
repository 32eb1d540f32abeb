"""Search over all turns, scales and shifts at once: correlation of structure fields in Fourier space.

Every turn and scale is one correlation, and each correlation tries every shift. The score of a pose is the normalised
correlation over the overlap times the square root of the overlap's area: how many standard deviations of a
chance alignment it stands above zero, up to a constant factor.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import scipy.fft

from xmatch.coords import to_centre_matrix
from xmatch.matchers.structure import Structure, centred, structure, turned
from xmatch.raster import View

HALF_TURN = np.array([[-1.0, 0.0, 1.0], [0.0, -1.0, 1.0], [0.0, 0.0, 1.0]])

MIN_OVERLAP = 0.4
"""Share of the smaller footprint that must lie on the other image."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One guess of where the moving view lies on the fixed view."""

    matrix: np.ndarray
    """(3, 3) moving view px -> fixed view px, corner-counted; a similarity, mirrored or not."""
    score: float
    """Chance-normalised correlation of the structure fields."""

    @property
    def scale(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))


@dataclass(frozen=True, eq=False)
class _Frame:
    """The fixed image's side of a correlation, transformed once and used for every pose of one size."""

    fixed: Structure
    canvas: int
    """Side of the square that the turned moving image lies in, px."""

    @cached_property
    def shape(self) -> tuple[int, int]:
        # Shifts that leave too little overlap may wrap around; the rest needs this much room.
        room = int((1 - MIN_OVERLAP) * self.canvas)
        return tuple(scipy.fft.next_fast_len(n + room, real=True) for n in self.fixed.valid.shape)

    @cached_property
    def spectra(self) -> np.ndarray:
        """(C + 1, H, W / 2 + 1): the fields, then the validity."""
        return self._transform(self.fixed)

    @cached_property
    def half_turn(self) -> np.ndarray:
        """Phase that, with the conjugate, turns a real canvas by 180 degrees about its centre."""
        height, width = self.shape
        ky = np.fft.fftfreq(height)[:, None] * (self.canvas - 1)
        kx = np.fft.rfftfreq(width)[None, :] * (self.canvas - 1)
        return np.exp(-2j * np.pi * (ky + kx)).astype(np.complex64)

    def _transform(self, side: Structure) -> np.ndarray:
        planes = [*np.moveaxis(side.fields, -1, 0), side.valid]
        return np.stack([scipy.fft.rfft2(plane, self.shape) for plane in planes])

    def correlate(self, moving: Structure) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) score of every cyclic shift of `moving`, and of `moving` turned by 180 degrees; -1 where the
        overlap is too small. Orders 2 and 4 come back to themselves after half a turn, so the second is nearly free."""
        spectra = np.conj(self._transform(moving))
        needed = max(1.0, MIN_OVERLAP * min(self.fixed.valid.sum(), moving.valid.sum()))
        return tuple(
            self._score(turned, needed) for turned in (spectra, np.conj(spectra * self.half_turn))
        )

    def _score(self, spectra: np.ndarray, needed: float) -> np.ndarray:
        product = self.spectra * spectra
        numerator = scipy.fft.irfft2(product[:-1].sum(axis=0), self.shape)
        overlap = scipy.fft.irfft2(product[-1], self.shape)
        return np.where(overlap > needed, numerator / np.sqrt(np.maximum(overlap, 1.0)), -1.0)


def search(
    fixed: View,
    moving: View,
    *,
    angles_deg: np.ndarray,
    scales: np.ndarray,
    side_px: int = 96,
    mirror: bool = False,
    keep: int = 12,
    threads: int = 1,
) -> list[Hypothesis]:
    """The `keep` best poses of `moving` on `fixed`, best first, no two nearly alike.

    Args:
        angles_deg: turns to try, within half a circle: each is tried turned by 180 degrees too.
        scales: size of a moving view px in fixed view px, each to try.
        side_px: the fixed view is reduced to side_px^2 pixels for this; the cost grows with its square and more.
    """
    reduction = side_px / np.sqrt(fixed.width * fixed.height)
    fixed_small, fixed_scale = resized(fixed, reduction)
    fixed_structure = centred(structure(*fixed_small, orders=1))
    jobs = []
    for scale in scales:
        small, moving_scale = resized(moving, reduction * scale)
        if min(small[0].shape) >= 16 and max(small[0].shape) < 6 * side_px:
            jobs.append((small, moving_scale))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = pool.map(lambda job: _one_scale(fixed_structure, *job, angles_deg, mirror), jobs)
        poses = [pose for poses in found for pose in poses]
    poses.sort(key=lambda pose: -pose.score)
    to_fixed_view = np.diag([1 / fixed_scale[0], 1 / fixed_scale[1], 1.0])
    poses = [Hypothesis(to_fixed_view @ pose.matrix, pose.score) for pose in poses[: 20 * keep]]
    return distinct(poses, moving, limit=keep, apart=0.08)


def distinct(poses: list[Hypothesis], moving: View, *, limit: int, apart: float) -> list[Hypothesis]:
    """The first `limit` poses whose corners lie further from all better ones than `apart` of the image's side."""
    outline = np.array([[0, 0, 1], [moving.width, 0, 1], [moving.width, moving.height, 1], [0, moving.height, 1]])
    kept: list[tuple[np.ndarray, Hypothesis]] = []
    for pose in poses:
        corners = (outline @ pose.matrix.T)[:, :2]
        side = np.sqrt(moving.width * moving.height) * pose.scale
        if all(np.linalg.norm(corners - other, axis=1).mean() > apart * side for other, _ in kept):
            kept.append((corners, pose))
            if len(kept) == limit:
                break
    return [pose for _, pose in kept]


def resized(view: View, factor: float) -> tuple[tuple[np.ndarray, np.ndarray], tuple[float, float]]:
    """(image, valid) of the view at `factor` times its size, and the exact factors (x, y) after rounding."""
    width, height = max(1, round(view.width * factor)), max(1, round(view.height * factor))
    weight = view.valid.astype(np.float32)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    cover = cv2.resize(weight, (width, height), interpolation=method)
    image = cv2.resize(view.image * weight, (width, height), interpolation=method) / np.maximum(cover, 1e-3)
    return (image, cover > 0.5), (width / view.width, height / view.height)


def _one_scale(fixed: Structure, small, moving_scale, angles_deg: np.ndarray, mirror: bool) -> list[Hypothesis]:
    source = centred(structure(*small, orders=1))
    height, width = source.valid.shape
    frame = _Frame(fixed, int(np.ceil(np.hypot(width, height))))
    poses = []
    for flip in (1, -1) if mirror else (1,):
        for angle in angles_deg:
            to_canvas = turn_about_centre(width, height, angle, frame.canvas, flip)
            scores = frame.correlate(turned(source, to_centre_matrix(to_canvas)[:2], (frame.canvas, frame.canvas)))
            for half_turn, score in zip((np.eye(3), HALF_TURN), scores, strict=True):
                y, x = np.unravel_index(np.argmax(score), score.shape)
                dx, dy = (n - size if n > limit else n for n, size, limit in
                          ((x, score.shape[1], fixed.valid.shape[1]), (y, score.shape[0], fixed.valid.shape[0])))
                shift = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])
                about_centre = half_turn.copy()
                about_centre[:2, 2] *= frame.canvas
                matrix = shift @ about_centre @ to_canvas @ np.diag([*moving_scale, 1.0])
                poses.append(Hypothesis(matrix, float(score[y, x])))
    return poses


def turn_about_centre(width: int, height: int, angle_deg: float, canvas: int, flip: int = 1) -> np.ndarray:
    """(3, 3) turn of a width x height image about its centre into the middle of a square canvas, corner-counted px."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = np.array([[c * flip, -s, 0.0], [s * flip, c, 0.0], [0.0, 0.0, 1.0]])
    turn[:2, 2] = canvas / 2 - turn[:2, :2] @ (width / 2, height / 2)
    return turn
