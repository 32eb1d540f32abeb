"""Fourier-Mellin registration (Reddy and Chatterji, IEEE Trans. Image Processing 5, 1996): turn and scale from the
log-polar amplitude spectra, then the shift, both by OpenCV's phase correlation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from xmatch.coords import to_centre_matrix
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.images import Grey, flat_reason, read_grey, unlikely_scale
from xmatch.geometry import Linear

POLAR = (512, 720)
"""(log-radius, angle) px of the log-polar spectra: half a degree, and about 1 % of scale at usual sizes."""
SPECTRUM_SIDE = 512
"""Longest side whose spectrum is taken; larger images are reduced for turn and scale."""


class PhaseCorrelation:
    """Similarities; needs much overlap, as its authors say."""

    name = "phase-correlation"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        cv2.setNumThreads(settings.threads)
        seen = read_grey(fixed), read_grey(moving)
        if reason := flat_reason(*seen):
            return Found(None, reason)
        angle_deg, scale = turn_and_scale(*seen)
        if not np.isfinite((angle_deg, scale)).all():
            return Found(None, "The amplitude spectra have no peak in common.")
        # Amplitudes are the same after half a turn: the shift decides.
        tried = [shifted(*seen, angle_deg + half, scale, settings.max_scale) for half in (0.0, 180.0)]
        matrix, response = max(tried, key=lambda one: one[1])
        reason = unlikely_scale(matrix, seen[0].width, seen[1].width, settings.max_scale)
        if not response > 0:
            reason = reason or "The images have no peak of phase correlation in common."
        return Found(None if reason else Linear(matrix, "similarity"), reason)


def turn_and_scale(fixed: Grey, moving: Grey) -> tuple[float, float]:
    """Turn (degrees, up to half turns) and scale that take moving to fixed."""
    longest = max(fixed.width, fixed.height, moving.width, moving.height)
    reduction = min(1.0, SPECTRUM_SIDE / longest)
    side = cv2.getOptimalDFTSize(int(np.ceil(reduction * longest)))
    here, there = (_log_polar(_windowed(seen, reduction), side) for seen in (fixed, moving))
    (log_radius, angle), _ = cv2.phaseCorrelate(here, there, cv2.createHanningWindow(POLAR, cv2.CV_32F))
    # |M|(u) = |F|(s R u) / s^2: moving's spectrum is fixed's, moved by +log s and by minus the turn.
    scale = np.exp(log_radius * np.log(side / 2) / POLAR[0])
    return -360.0 * angle / POLAR[1], float(scale)


def shifted(fixed: Grey, moving: Grey, angle_deg: float, scale: float, max_scale: float) -> tuple[np.ndarray, float]:
    """(3, 3) moving px -> fixed px with this turn and scale and the best shift, and the height of its peak."""
    clipped = float(np.clip(scale, 0.5 / max_scale, 2 * max_scale))
    side = int(np.ceil(max(fixed.width, fixed.height, clipped * np.hypot(moving.width, moving.height))))
    canvas = (cv2.getOptimalDFTSize(side),) * 2
    to_canvas = [_centred(fixed, 0.0, 1.0, canvas), _centred(moving, angle_deg, scale, canvas)]
    laid = [
        cv2.warpAffine(_windowed(seen, 1.0), to_centre_matrix(onto)[:2], canvas)
        for seen, onto in zip((fixed, moving), to_canvas, strict=True)
    ]
    (x, y), response = cv2.phaseCorrelate(*laid)
    # OpenCV says how far the second lies from the first.
    back = np.array([[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]])
    return np.linalg.inv(to_canvas[0]) @ back @ to_canvas[1], float(np.nan_to_num(response))


def _windowed(seen: Grey, reduction: float) -> np.ndarray:
    """(h, w) float32 of mean 0, faded towards its edges: these would be the strongest lines of a spectrum."""
    size = max(2, round(reduction * seen.width)), max(2, round(reduction * seen.height))
    image = cv2.resize(seen.image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    valid = cv2.resize(seen.valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mean = float(seen.image[seen.valid].mean())
    return (image - mean * valid) * cv2.createHanningWindow(size, cv2.CV_32F)


def _log_polar(image: np.ndarray, side: int) -> np.ndarray:
    """(angle, log-radius) float32: amplitude spectrum, low frequencies held down (Reddy and Chatterji, equation 21)."""
    amplitude = np.fft.fftshift(np.abs(np.fft.fft2(image, (side, side))))
    wave = np.cos(np.pi * (np.arange(side) - side // 2) / side)
    low = np.outer(wave, wave)
    spectrum = np.log1p(amplitude * (1 - low) * (2 - low)).astype(np.float32)
    centre = (float(side // 2), float(side // 2))
    return cv2.warpPolar(spectrum, POLAR, centre, side / 2, cv2.WARP_POLAR_LOG | cv2.INTER_LINEAR)


def _centred(seen: Grey, angle_deg: float, scale: float, canvas: tuple[int, int]) -> np.ndarray:
    """(3, 3) turn and scale of an image into the middle of a canvas."""
    c, s = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = np.array(canvas) / 2 - matrix[:2, :2] @ (seen.width / 2, seen.height / 2)
    return matrix
