"""RIFT, written from the paper alone: what it scores is not what its authors' code would score.

Li, Hu and Ai, "RIFT: Multi-modal image matching based on radiation-variation insensitive feature transform", IEEE
Trans. Image Processing 29, 2020. Log-Gabor filters give phase congruency (Kovesi, "Image features from phase
congruency", Videre 1(3), 1999, and "Phase congruency detects corners and edges", DICTA 2003). Its least moment shows
corners and its greatest edges; keypoints are found on both. Described is the maximum index map: which orientation
answers most at each pixel, whatever the sensor made of its brightness. As in the paper there is one scale only, so
images of unlike resolution are beyond it.

Where this leaves the paper:
- Turns. The paper keeps several index maps of one image, one for each orientation that the ring of filters may start
  with. A turned image also needs a turned patch, and a ring of half a turn cannot tell up from down. So twelve turns of
  30 degrees are tried, ring and patch together and all keypoints alike, and the one with most inliers is kept. That
  asks for one turn in the whole image, which a registration has; no image is filtered twice.
- Cells of a patch are round and soft, as wide as the paper's squares, which would have to turn as well.
- Nearest descriptors must be mutual, and `xmatch.estimate` finds the outliers, as for the other keypoints here.
- Invalid pixels have no say, and a patch may hang over the border.
- The constants of phase congruency are Kovesi's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy import fft

from xmatch.coords import from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.fitting import explained
from xmatch.evaluation.peers.images import Grey, flat_reason, read_grey

SCALES, ORIENTATIONS = 4, 6
"""Of the filters, as in the paper."""
SHORTEST_PX, RATIO = 3.0, 1.6
"""Wavelength of the finest filters, and from scale to scale."""
BANDWIDTH = 0.75
"""Kovesi's sigmaOnf: an octave or so, which a ratio of 1.6 between wavelengths covers evenly."""
NOISE_SIGMAS = 2.0
"""Kovesi's k: energy up to so many deviations above the mean of noise is taken for noise."""
SPREAD_CUTOFF, SPREAD_GAIN = 0.5, 10.0
"""Kovesi's weight against responses of a single scale."""
PATCH_PX, CELLS = 96, 6
"""Side of a patch, and its cells to a side, as in the paper."""
CELL_PX = PATCH_PX // CELLS
TURNS = 2 * ORIENTATIONS
KEYPOINTS = 2500
"""At most so many per image, half of them corners and half of them points of edges."""
MARGIN_PX = CELL_PX
"""No keypoint is nearer to what is invalid, or outside: it would fill the inner cells of the patch."""
FAST_THRESHOLD = 2
"""Grey levels of 255 that the ring must differ by, low enough that `KEYPOINTS` decides."""


@dataclass(frozen=True, eq=False)
class Congruency:
    """Phase congruency of an image of (H, W) px."""

    edges: np.ndarray
    """(H, W) float32: greatest moment over the orientations."""
    corners: np.ndarray
    """(H, W) float32: least moment."""
    index: np.ndarray
    """(H, W) uint8 below ORIENTATIONS: maximum index map. Orientation i is of waves that run 180 i / ORIENTATIONS
    degrees from x towards y."""


@dataclass(frozen=True, eq=False)
class Described:
    """What can be compared of an image."""

    xy: np.ndarray
    """(N, 2) int64 px, centre-counted."""
    cells: np.ndarray
    """(H + 2 PATCH_PX, W + 2 PATCH_PX, ORIENTATIONS) float32: histogram of the index map in the cell about each px."""

    @staticmethod
    def of(seen: Grey) -> Described:
        found = congruency(seen)
        xy = keypoints(found, _inside(seen.valid))
        is_it = (found.index[..., None] == np.arange(ORIENTATIONS, dtype=np.uint8)) & seen.valid[..., None]
        padded = np.pad(is_it.astype(np.float32), ((PATCH_PX, PATCH_PX), (PATCH_PX, PATCH_PX), (0, 0)))
        # The deviation of a square of CELL_PX.
        return Described(xy, cv2.GaussianBlur(padded, (0, 0), CELL_PX / np.sqrt(12)))

    def descriptors(self, turn: int) -> np.ndarray:
        """(N, CELLS^2 * ORIENTATIONS) float32 of length 1: those that the image would have after `turn` turns of
        180 / ORIENTATIONS degrees from x towards y."""
        angle = np.pi * turn / ORIENTATIONS
        back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        steps = (np.arange(CELLS) - (CELLS - 1) / 2) * CELL_PX
        offset = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        at = np.rint(self.xy[:, None] + offset @ back.T).astype(np.int64) + PATCH_PX
        # The paper weights pixels, by the same Gaussian.
        weight = np.exp(-(offset**2).sum(axis=1) / (2 * (PATCH_PX / 2) ** 2)).astype(np.float32)
        histograms = np.roll(self.cells[at[..., 1], at[..., 0]], turn, axis=-1) * weight[:, None]
        flat = histograms.reshape(len(self.xy), -1)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


class Rift:
    """Similarities and homographies, as the settings ask."""

    name = "rift"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        cv2.setNumThreads(settings.threads)
        seen = read_grey(fixed), read_grey(moving)
        if reason := flat_reason(*seen):
            return Found(None, reason)
        with fft.set_workers(settings.threads):
            here, there = (Described.of(one) for one in seen)
        for name, described in (("fixed", here), ("moving", there)):
            if not len(described.xy):
                return Found(None, f"The {name} image has no keypoint far enough from its border.")
        descriptors = here.descriptors(0)
        tried = []
        for turn in range(TURNS):
            pairs = _mutual(here.xy, there.xy, descriptors @ there.descriptors(turn).T)
            tried.append(explained(pairs, *seen, settings))
        # The first of equals.
        return max(tried, key=lambda found: found.inliers or 0)


def _mutual(fixed_xy: np.ndarray, moving_xy: np.ndarray, likeness: np.ndarray) -> Correspondences:
    """Keypoints that are each other's most alike, by the (N, M) cosines of their descriptors."""
    nearest = likeness.argmax(axis=1)
    best = likeness[np.arange(len(fixed_xy)), nearest]
    mutual = best == likeness.max(axis=0)[nearest]
    certainty = np.clip(best[mutual].astype(np.float64), 0.0, 1.0)
    return Correspondences(from_centre_xy(fixed_xy[mutual]), from_centre_xy(moving_xy[nearest[mutual]]), certainty)


def keypoints(found: Congruency, allowed: np.ndarray) -> np.ndarray:
    """(N, 2) int64 px, centre-counted: the strongest local maxima of corners, and of FAST on edges.

    Args:
        allowed: (H, W) bool, where keypoints may lie.
    """
    half = KEYPOINTS // 2
    highest_near = cv2.dilate(found.corners, np.ones((5, 5), np.uint8))
    y, x = np.nonzero(allowed & (found.corners > 0) & (found.corners == highest_near))
    strongest = np.argsort(-found.corners[y, x], kind="stable")[:half]
    corners = np.stack([x, y], -1)[strongest]
    highest = max(float(found.edges[allowed].max(initial=0.0)), 1e-12)
    grey = np.rint(np.clip(255 * found.edges / highest, 0, 255)).astype(np.uint8)
    fast = cv2.FastFeatureDetector.create(FAST_THRESHOLD).detect(grey, allowed.astype(np.uint8))
    fast = sorted(fast, key=lambda point: -point.response)[:half]
    edges = np.array([point.pt for point in fast], np.int64).reshape(-1, 2)
    return np.unique(np.concatenate([corners, edges]), axis=0)


def congruency(seen: Grey) -> Congruency:
    """Phase congruency by orientation (Kovesi 1999, weighted and freed of noise) and its moments (Kovesi 2003)."""
    image, window = _extended(seen)
    spectrum = fft.fft2(image)
    radial, angular = _filters(image.shape)
    second = np.zeros((3, seen.height, seen.width), np.float32)
    best, index = np.full(seen.valid.shape, -1.0, np.float32), np.zeros(seen.valid.shape, np.uint8)
    for orientation, spread in enumerate(angular):
        # The real part is the even response, the imaginary one the odd.
        responses = np.stack([fft.ifft2(spectrum * (one * spread))[window] for one in radial])
        amplitudes = np.abs(responses)
        total = amplitudes.sum(axis=0)
        stronger = total > best
        best[stronger], index[stronger] = total[stronger], orientation
        congruent = _congruent(responses, amplitudes, total, seen.valid)
        c, s = np.cos(np.pi * orientation / ORIENTATIONS), np.sin(np.pi * orientation / ORIENTATIONS)
        second += np.array([c * c, 2 * c * s, s * s], np.float32)[:, None, None] * congruent**2
    a, b, c = second
    root = np.sqrt(b**2 + (a - c) ** 2)
    return Congruency((a + c + root) / 2, np.maximum((a + c - root) / 2, 0), index)


def _congruent(responses: np.ndarray, amplitudes: np.ndarray, total: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 1]: phase congruency of one orientation, from its (SCALES, H, W) complex responses."""
    mean = responses.sum(axis=0)
    mean /= np.maximum(np.abs(mean), 1e-6)
    along = responses * mean.conj()
    energy = (along.real - np.abs(along.imag)).sum(axis=0)
    # White noise has Rayleigh amplitudes: told by the median at the finest scale, a RATIO-th less at each next one.
    rayleigh = np.median(amplitudes[0][valid]) / np.sqrt(np.log(4))
    rayleigh *= (1 - RATIO**-SCALES) / (1 - 1 / RATIO)
    noise = rayleigh * (np.sqrt(np.pi / 2) + NOISE_SIGMAS * np.sqrt(2 - np.pi / 2))
    spread = (total / np.maximum(amplitudes.max(axis=0), 1e-6) - 1) / (SCALES - 1)
    weight = 1 / (1 + np.exp(SPREAD_GAIN * (SPREAD_CUTOFF - spread)))
    return (weight * np.maximum(energy - noise, 0) / np.maximum(total, 1e-6)).astype(np.float32)


def _filters(shape: tuple[int, int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(h, w) float32 transfer functions: of the scales, finest first, and of the orientations, each of half a plane.

    A log-Gabor filter is one times the other; the angular part is a raised cosine as wide as four orientations.
    """
    v, u = (fft.fftfreq(side).astype(np.float32) for side in shape)
    u, v = np.meshgrid(u, v)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    radius[0, 0] = 1.0
    # Beyond half a cycle per px there are diagonal frequencies only (Kovesi's low pass).
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    low_pass[0, 0] = 0.0
    radial = [
        low_pass * np.exp(-(np.log(radius * SHORTEST_PX * RATIO**scale) ** 2) / (2 * np.log(BANDWIDTH) ** 2))
        for scale in range(SCALES)
    ]
    angular = []
    for orientation in range(ORIENTATIONS):
        off = np.pi - np.abs(np.pi - np.abs(angle - np.pi * orientation / ORIENTATIONS))
        angular.append((1 + np.cos(np.minimum(off * ORIENTATIONS / 2, np.pi))) / 2)
    return radial, angular


def _extended(seen: Grey) -> tuple[np.ndarray, tuple[slice, slice]]:
    """(h, w) float32, larger than the image, and where it lies in there: the nearest valid px wherever there is none.

    Black or wrapped around, what is not there would answer like an edge.
    """
    margin = int(np.ceil(4 * SHORTEST_PX * RATIO ** (SCALES - 1)))
    size = [fft.next_fast_len(side + margin) for side in seen.valid.shape]
    below, right = (a - b for a, b in zip(size, seen.valid.shape, strict=True))
    frame = (below // 2, below - below // 2), (right // 2, right - right // 2)
    missing = np.pad(~seen.valid, frame, constant_values=True).astype(np.uint8)
    image = np.pad(seen.image, frame)
    _, label = cv2.distanceTransformWithLabels(missing, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value = np.zeros(label.max() + 1, np.float32)
    value[label[missing == 0]] = image[missing == 0]
    (y, _), (x, _) = frame
    return value[label], (slice(y, y + seen.height), slice(x, x + seen.width))


def _inside(valid: np.ndarray) -> np.ndarray:
    """(H, W) bool: px farther than `MARGIN_PX` from what is invalid or outside."""
    return cv2.distanceTransform(np.pad(valid, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] > MARGIN_PX
