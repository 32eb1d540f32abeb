"""Tie points around a known alignment: small windows of structure, each free to move a little.

What a whole-image pose cannot say: where it fits and where it does not, how far off it is there, and whether a
freer transform is called for.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft

from xmatch.coords import to_centre_matrix
from xmatch.correspondences import Correspondences
from xmatch.matchers.search import resized
from xmatch.matchers.structure import Structure, structure, turned
from xmatch.raster import View

MIN_COVER = 0.7
"""Share of a window that must be valid in both images."""


def tie_points(
    fixed: View, moving: View, matrix: np.ndarray, *, window_px: int = 48, reach_px: int = 8, across: int = 12
) -> tuple[Correspondences, np.ndarray]:
    """Windows on a regular lattice, matched forward and backward around the pose `matrix`.

    Args:
        matrix: (3, 3) moving view px -> fixed view px, corner-counted, right to within `reach_px`.
        window_px: side of a window, fixed view px.
        across: windows along the longer side of the fixed view.

    Returns:
        Correspondences in view px, certainty in [0, 1] being the forward correlation's height above its surroundings,
        and the (N,) forward-backward distance, fixed view px.
    """
    size = (fixed.width, fixed.height)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    small, factors = resized(moving, scale)
    pose = matrix @ np.diag([1 / factors[0], 1 / factors[1], 1.0])
    here = structure(fixed.image, fixed.valid)
    there = turned(structure(*small), to_centre_matrix(pose)[:2], size)
    centres = _lattice(here.valid * there.valid, window_px, reach_px, across)
    if len(centres) == 0:
        return Correspondences.empty(), np.zeros(0)
    forward, certainty = _displacements(here, there, centres, window_px, reach_px)
    backward, _ = _displacements(there, here, centres, window_px, reach_px)
    # Moving content at c + d looks like fixed content at c; the way back should undo it.
    fixed_xy = centres + 0.5
    moving_xy = _apply(np.linalg.inv(matrix), fixed_xy + forward)
    return Correspondences(fixed_xy, moving_xy, certainty), np.linalg.norm(forward + backward, axis=1)


def _lattice(cover: np.ndarray, window_px: int, reach_px: int, across: int) -> np.ndarray:
    """(N, 2) centres (x, y) of windows that lie inside the image and are valid enough in both."""
    height, width = cover.shape
    margin = window_px // 2 + reach_px
    if min(height, width) <= 2 * margin:
        return np.zeros((0, 2))
    step = max(4.0, (max(height, width) - 2 * margin) / max(across - 1, 1))
    columns, rows = (int((n - 2 * margin) / step) + 1 for n in (width, height))
    xs = np.linspace(margin, width - margin, columns) if columns > 1 else np.array([width / 2])
    ys = np.linspace(margin, height - margin, rows) if rows > 1 else np.array([height / 2])
    centres = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).round().astype(int)
    share = cv2.boxFilter(cover, cv2.CV_32F, (window_px, window_px))
    return centres[share[centres[:, 1], centres[:, 0]] > MIN_COVER].astype(np.float64)


def _displacements(
    fixed: Structure, moving: Structure, centres: np.ndarray, window_px: int, reach_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) where around each centre `moving` looks like the window of `fixed` there, and (N,) certainty."""
    half, side = window_px // 2, window_px + 2 * reach_px
    taper = np.outer(np.hanning(window_px + 2)[1:-1], np.hanning(window_px + 2)[1:-1]).astype(np.float32)[..., None]
    template = np.zeros((len(centres), side, side, fixed.fields.shape[2]), np.float32)
    region = np.zeros_like(template)
    for i, (x, y) in enumerate(centres.astype(int)):
        inner = fixed.fields[y - half : y - half + window_px, x - half : x - half + window_px] * taper
        template[i, reach_px : reach_px + window_px, reach_px : reach_px + window_px] = inner
        top, left = y - half - reach_px, x - half - reach_px
        region[i] = moving.fields[top : top + side, left : left + side]
    spectrum = scipy.fft.rfft2(region, axes=(1, 2)) * np.conj(scipy.fft.rfft2(template, axes=(1, 2)))
    product = scipy.fft.irfft2(spectrum.sum(axis=3), (side, side), axes=(1, 2))
    span = np.arange(-reach_px, reach_px + 1)
    product = product[:, span[:, None], span[None, :]]
    weight = np.zeros((side, side), np.float32)
    weight[reach_px : reach_px + window_px, reach_px : reach_px + window_px] = taper[..., 0]
    energy = scipy.fft.irfft2(
        scipy.fft.rfft2((region**2).sum(axis=3), axes=(1, 2)) * np.conj(scipy.fft.rfft2(weight)),
        (side, side),
        axes=(1, 2),
    )[:, span[:, None], span[None, :]]
    own = np.sqrt((template**2).sum(axis=(1, 2, 3)))[:, None, None]
    surface = product / (own * np.sqrt(np.maximum(energy, 1e-6)) + 1e-6)
    return _peaks(surface, reach_px)


def _peaks(surface: np.ndarray, reach_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Sub-pixel maxima (N, 2) and how far each stands above its surface's spread, squashed to [0, 1]."""
    count, side, _ = surface.shape
    best = surface.reshape(count, -1).argmax(axis=1)
    y, x = best // side, best % side
    inside = (y > 0) & (y < side - 1) & (x > 0) & (x < side - 1)
    yc, xc, rows = np.clip(y, 1, side - 2), np.clip(x, 1, side - 2), np.arange(count)
    peak = surface[rows, yc, xc]

    def parabola(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        bend = before - 2 * peak + after
        return np.clip(
            np.where(bend < -1e-9, 0.5 * (before - after) / np.where(bend < -1e-9, bend, 1.0), 0.0), -0.5, 0.5
        )

    dx = xc + parabola(surface[rows, yc, xc - 1], surface[rows, yc, xc + 1]) - reach_px
    dy = yc + parabola(surface[rows, yc - 1, xc], surface[rows, yc + 1, xc]) - reach_px
    height = (peak - surface.mean(axis=(1, 2))) / (surface.std(axis=(1, 2)) + 1e-3)
    certainty = np.where(inside, np.clip((height - 1.0) / 4.0, 0.0, 1.0) * np.clip(peak, 0.0, 1.0) ** 0.5, 0.0)
    return np.column_stack([dx, dy]), np.nan_to_num(certainty)


def _apply(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return xy @ matrix[:2, :2].T + matrix[:2, 2]
