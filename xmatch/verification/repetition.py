"""Does the content repeat? Rows of trees, roofs and waves fit just as well one row further on."""

from __future__ import annotations

import cv2
import numpy as np

from xmatch.coords import Floats, to_centre_matrix
from xmatch.geometry import Linear, Transform, compose
from xmatch.geometry.matrices import scale_of
from xmatch.matchers.search.descriptors import DescriptorMap, centred, edge_descriptors, warped
from xmatch.matchers.search.fourier import resized
from xmatch.matchers.search.seen_through import seen_through
from xmatch.raster import View

SIDE_PX = 180
"""The fixed view is reduced to so many px squared. Not tuned."""
PEAK_PX = 3
"""The alignment itself is sought this far around its place, at the reduced size. Not tuned."""
APART_PX = 8
"""Shifts beyond this are other places. Not tuned."""
MIN_SHARE = 0.4
"""Shifts that keep less of the overlap are left out: as `MIN_OVERLAP` of the search."""


def repetition(fixed: View, moving: View, to_fixed: Floats | Transform) -> float:
    """Score of the best other place against that of an alignment: a pose (3, 3) or a map of any kind, moving view px ->
    fixed view px.

    All shifts of moving as the alignment lays it are tried; the score is the search's, normalised correlation
    of structure times the square root of the overlap. Near 1: the same pattern comes again. 0 without overlap.
    """
    small, factors = resized(fixed, SIDE_PX / np.sqrt(fixed.width * fixed.height))
    to_small = np.diag([*factors, 1.0])
    here = centred(edge_descriptors(*small, orders=1))
    size = here.valid.shape[::-1]
    if isinstance(to_fixed, np.ndarray):
        moving_small, moving_factors = resized(moving, scale_of(to_small @ to_fixed))
        onto = to_small @ to_fixed @ np.diag([1 / moving_factors[0], 1 / moving_factors[1], 1.0])
        there = warped(centred(edge_descriptors(*moving_small, orders=1)), to_centre_matrix(onto)[:2], size)
    else:
        seen = seen_through(moving, compose(to_fixed, Linear(to_small, "affine")), size)
        there = centred(edge_descriptors(*seen, orders=1))
    score = _scores_at_all_shifts(here, there)
    rows, columns = (np.abs(np.fft.fftfreq(n, 1 / n)) for n in score.shape)
    distance = np.hypot(rows[:, None], columns)
    best = score[distance <= PEAK_PX].max()
    return float(np.clip(score[distance > APART_PX].max() / best, 0.0, 1.0)) if best > 0 else 0.0


def _scores_at_all_shifts(here: DescriptorMap, there: DescriptorMap) -> Floats:
    """(h, w) with shift (0, 0) first and negative shifts wrapped around; 0 where too little overlaps."""
    shape = [2 * cv2.getOptimalDFTSize(n) for n in here.valid.shape]
    (valid, strength, *planes), (other_valid, other_strength, *other_planes) = (
        np.fft.rfft2(np.stack([one.valid, (one.planes**2).sum(axis=2), *cv2.split(one.planes)]), shape)
        for one in (here, there)
    )
    product = sum(plane * other.conj() for plane, other in zip(planes, other_planes, strict=True))
    others = other_valid.conj(), other_valid.conj(), other_strength.conj()
    spectra = [product, *(one * other for one, other in zip((valid, strength, valid), others, strict=True))]
    product, area, own, other = np.fft.irfft2(np.stack(spectra), shape)
    enough = area >= max(1.0, MIN_SHARE * area[0, 0])
    score = np.zeros(area.shape)
    norm = np.maximum(own[enough] * other[enough], 1e-6)
    score[enough] = product[enough] / np.sqrt(norm) * np.sqrt(area[enough])
    return score
