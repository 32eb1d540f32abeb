"""Mutual information from many starts: the classic of medical imaging (Viola and Wells, IJCV 24, 1997; Maes et al., TMI
16, 1997), freed of its small capture range.

For each turn and scale, joint histograms at all shifts at once are correlations of the images' grey-level indicators
(Öfverstedt, Lindblad and Sladoje, Pattern Recognition Letters 159, 2022). The best few are then climbed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.optimize import minimize

from xmatch.coords import AnyArray, Floats, Image, Mask, to_centre_matrix
from xmatch.geometry.matrices import shift_matrix
from xmatch.matchers.base import Matches, Proposal, SearchRange, has_texture
from xmatch.matchers.search.fourier import MIN_OVERLAP, Factors, distinct, resized
from xmatch.matchers.search.turns_and_scales import turn_about_centre
from xmatch.raster import View

SEARCH_SIDE_PX, SEARCH_BINS = 56, 6
"""The fixed view is reduced to so many px squared and so many grey levels: time goes with the square of both. Not
tuned."""
ANGLE_STEP_DEG, SCALE_STEP = 10.0, 1.2
"""Not tuned: at 56 px, 10 degrees move the border by 5 px."""
CLIMB_SIDE_PX, CLIMB_BINS = 128, 16
"""The same for the climb. Not tuned."""
CLIMBED, KEPT = 6, 4
"""Poses that are climbed from, and handed on. Not tuned."""


class MutualInformationMatcher:
    """Mutual information behind the protocol of all matchers."""

    name = "mi"
    wants_colour = False

    def __call__(
        self,
        fixed: View,
        moving: View,
        within: SearchRange,
        *,
        seed: int = 0,
        threads: int = 1,
        earlier: Matches | None = None,
    ) -> Matches:
        """Matches without correspondences: its evidence is the whole image. Nothing is drawn: `seed` is not used."""
        if not (has_texture(fixed) and has_texture(moving)):
            return Matches()
        with ThreadPoolExecutor(max(1, threads)) as pool:
            scaled = pool.map(lambda scale: _search(fixed, moving, within, scale), _scales(within))
            poses = sorted((pose for found in scaled for pose in found), key=lambda pose: -pose.score)
            chosen = distinct(poses[: 10 * CLIMBED], moving, limit=CLIMBED, apart=0.1)
            climbed = list(pool.map(lambda pose: _climbed(fixed, moving, pose), chosen))
        climbed.sort(key=lambda pose: -pose.score)
        return Matches(tuple(distinct(climbed, moving, limit=KEPT, apart=0.04)))


def _search(fixed: View, moving: View, within: SearchRange, scale: float) -> list[Proposal]:
    """The best shift for each turn at one scale, moving view px -> fixed view px."""
    reduction = SEARCH_SIDE_PX / np.sqrt(fixed.width * fixed.height)
    (image, valid), fixed_factors = resized(fixed, reduction)
    small, factors = resized(moving, reduction * scale)
    (height, width), to_view = small[0].shape, np.diag([1 / fixed_factors[0], 1 / fixed_factors[1], 1.0])
    if min(width, height) < 8 or max(width, height) > 6 * SEARCH_SIDE_PX:
        return []
    canvas = int(np.ceil(np.hypot(width, height)))
    # Shifts that leave too little overlap may wrap round; the rest needs this much room.
    room = int(np.ceil((1 - MIN_OVERLAP / 2) * canvas))
    shape = tuple(scipy.fft.next_fast_len(max(n + room, canvas), real=True) for n in image.shape)
    needed = MIN_OVERLAP * min(valid.sum(), small[1].sum())
    spectra = scipy.fft.rfft2(_indicators(_grades(image, valid)), shape)
    grades = _grades(*small)
    shift_y, shift_x = (_wrapped(n, side) for n, side in zip(shape, image.shape, strict=True))
    middle_x, middle_y = shift_x[None, :] + canvas / 2, shift_y[:, None] + canvas / 2
    allowed = _near(middle_x, middle_y, fixed, moving, within, fixed_factors) if within.near else True
    poses = []
    for flip in (1, -1) if within.mirror else (1,):
        for angle in _angles(within):
            to_canvas = turn_about_centre(width, height, angle, canvas, flip)
            turned = cv2.warpAffine(
                grades, to_centre_matrix(to_canvas)[:2], (canvas, canvas), flags=cv2.INTER_NEAREST, borderValue=0
            )
            own = scipy.fft.rfft2(_indicators(turned), shape)
            joint = np.rint(scipy.fft.irfft2(spectra[:, None] * np.conj(own[None]), shape)).astype(np.int32)
            overlap = joint.sum(axis=(0, 1))
            # A chance alignment finds the more information the less overlaps: small overlaps must show more.
            score = np.where((overlap >= needed) & allowed, _information(joint) * np.sqrt(overlap), 0.0)
            y, x = np.unravel_index(score.argmax(), shape)
            if score[y, x] > 0:
                shift = shift_matrix((shift_x[x], shift_y[y]))
                matrix = to_view @ shift @ to_canvas @ np.diag([*factors, 1.0])
                poses.append(Proposal(matrix, float(score[y, x])))
    return poses


def _information(joint: NDArray[np.integer[Any]]) -> Floats:
    """Mutual information, nats, of counts (K, K, ...); 0 where there are none."""
    total = joint.sum(axis=(0, 1))
    n = np.arange(total.max() + 1, dtype=np.float32)
    n_log_n = n * np.log(np.maximum(n, 1))
    ones, others = (n_log_n[joint.sum(axis=axis)].sum(axis=0) for axis in (0, 1))
    return np.asarray((n_log_n[joint].sum(axis=(0, 1)) - ones - others + n_log_n[total]) / np.maximum(total, 1))


def _climbed(fixed: View, moving: View, pose: Proposal) -> Proposal:
    """The similarity nearby with the most mutual information (Nelder-Mead); its score is comparable among poses."""
    reduction = min(1.0, CLIMB_SIDE_PX / np.sqrt(fixed.width * fixed.height))
    (image, valid), fixed_factors = resized(fixed, reduction)
    (other, other_valid), factors = resized(moving, min(2.0, reduction * pose.scale))
    to_level, to_small = np.diag([*fixed_factors, 1.0]), np.diag([*factors, 1.0])
    start = to_level @ pose.matrix @ np.linalg.inv(to_small)
    height, width = image.shape
    codes = (_grades(image, valid, CLIMB_BINS).astype(np.int32) - 1) * CLIMB_BINS
    levels = np.maximum(_grades(other, other_valid, CLIMB_BINS), 1).astype(np.float32) - 0.5
    cover = other_valid.astype(np.float32)

    def moved(step: Floats) -> Floats:
        """Step: shift (px), turn and zoom (px at the border), about the middle of fixed."""
        turn, zoom = step[2:] * 2 / np.hypot(width, height)
        middle = shift_matrix((width / 2, height / 2))
        c, s = np.exp(zoom) * np.cos(turn), np.exp(zoom) * np.sin(turn)
        about: Floats = np.array([[c, -s, step[0]], [s, c, step[1]], [0.0, 0.0, 1.0]])
        return np.asarray(middle @ about @ np.linalg.inv(middle) @ start)

    def loss(step: Floats) -> float:
        onto = to_centre_matrix(moved(step))[:2]
        both = valid & (cv2.warpAffine(cover, onto, (width, height)) > 0.99)
        moved_codes = cv2.warpAffine(levels, onto, (width, height)).astype(np.int32)
        joint = np.bincount((codes + moved_codes)[both], minlength=CLIMB_BINS**2).reshape(CLIMB_BINS, CLIMB_BINS)
        return -float(_information(joint)) * float(np.sqrt(both.sum()))

    simplex = np.vstack([np.zeros(4), np.diag([3.0, 3.0, 4.0, 4.0])])
    found = minimize(
        loss, np.zeros(4), method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 0.05, "fatol": 1e-3}
    )
    return Proposal(np.linalg.inv(to_level) @ moved(found.x) @ to_small, -float(found.fun))


def _grades(image: Image, valid: Mask, bins: int = SEARCH_BINS) -> NDArray[np.uint8]:
    """(h, w) uint8: 1 .. bins, of about equal population, where valid; 0 elsewhere."""
    edges = np.quantile(image[valid], np.linspace(0, 1, bins + 1)[1:-1]) if valid.any() else np.zeros(bins - 1)
    return np.where(valid, 1 + np.searchsorted(edges, image), 0).astype(np.uint8)


def _indicators(grades: AnyArray) -> Image:
    """(bins, h, w) float32: where each grade is."""
    return np.asarray(grades == np.arange(1, SEARCH_BINS + 1, dtype=np.uint8)[:, None, None], np.float32)


def _wrapped(period: int, size: int) -> NDArray[np.intp]:
    """Shifts that the elements of a cyclic correlation stand for; the far half wraps round to negative ones."""
    n = np.arange(period)
    return np.where(n > size, n - period, n)


def _angles(within: SearchRange) -> Floats:
    middle = within.middle_angle_deg
    if within.max_angle_deg >= 180:
        return middle + np.arange(-180.0, 180.0, ANGLE_STEP_DEG)
    count = int(np.ceil(within.max_angle_deg / ANGLE_STEP_DEG))
    return middle + np.linspace(-within.max_angle_deg, within.max_angle_deg, 2 * count + 1)


def _scales(within: SearchRange) -> Floats:
    count = int(np.ceil(np.log(within.max_scale / within.min_scale) / np.log(SCALE_STEP) - 1e-6))
    return within.middle_scale * np.geomspace(within.min_scale, within.max_scale, count + 1 + count % 2)


def _near(x: AnyArray, y: AnyArray, fixed: View, moving: View, within: SearchRange, factors: Factors) -> Mask:
    """Whether moving's middle, px of the reduced fixed view, lies where the prior puts it."""
    expected = (within.centre @ (moving.width / 2, moving.height / 2, 1.0))[:2] * factors
    reach = within.max_shift * max(fixed.width * factors[0], fixed.height * factors[1])
    return np.asarray(np.hypot(x - expected[0], y - expected[1]) <= reach)
