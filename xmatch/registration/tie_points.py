"""Tie points around a known alignment: small windows of structure, each free to move a little.

What a whole-image pose cannot say: where it fits and where it does not, how far off it is there, and whether a
freer transform is called for.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from xmatch.coords import CENTRE, Floats, Image, Mask, as_image, to_centre_matrix
from xmatch.correspondences import Correspondences
from xmatch.geometry import Linear, Transform
from xmatch.geometry.matrices import scale_of
from xmatch.geometry.outlines import finite
from xmatch.matchers.search.descriptors import DescriptorMap, edge_descriptors, warped
from xmatch.matchers.search.fourier import resized
from xmatch.matchers.search.seen_through import seen_through
from xmatch.raster import View
from xmatch.registration.windows import MIN_COVER, NARROW, Matched, Windows, taper, tapered, window_lattice

D = TypeVar("D")

WINDOWS_A_TASK = 8
"""Windows that a thread is given at a time: handing over one takes a tenth as long as matching it."""


class Looks(Protocol[D]):
    """One pair on the grid of its fixed view: how that is computed, and where."""

    def through(self, to_fixed: Floats | Transform) -> D:
        """Moving's descriptors on the grid of the fixed view, under a pose (3, 3) or through a map."""

    def matched(self, there: D, windows: Windows) -> Matched:
        """Windows of fixed, matched with what lies around them there, and back."""


class TiePointFinder:
    """Tie points of one pair. What belongs to the fixed view is computed once, and so is what belongs to the pose or
    map that was asked for last: asking for the same again costs nothing.

    Args:
        threads: at most so many match windows.
        device: where; "cpu" is OpenCV.
    """

    def __init__(self, fixed: View, moving: View, *, threads: int = 1, device: str = "cpu") -> None:
        self.fixed, self.moving = fixed, moving
        self._looks: Looks[Any] = OpenCVLooks(fixed, moving, threads)
        if device != "cpu":
            from xmatch.registration.tie_points_on_device import DeviceLooks

            self._looks = DeviceLooks(fixed, moving, device)
        self._seen: tuple[Floats | Transform, Any] | None = None
        self._found: dict[Windows, tuple[Correspondences, Floats]] = {}

    def __call__(self, to_fixed: Floats | Transform, windows: Windows = NARROW) -> tuple[Correspondences, Floats]:
        """Windows on a regular lattice, matched forward and backward around a pose or a map of any kind.

        Args:
            to_fixed: moving view px -> fixed view px, corner-counted, right to within the windows' reach: a pose
                (3, 3), whose turn moving's descriptors are given, or a map, through which moving is looked at first.

        Returns:
            Correspondences in view px, certainty in [0, 1] being the forward correlation's height above its
            surroundings, and the (N,) forward-backward distance, fixed view px.
        """
        if self._seen is None or self._seen[0] is not to_fixed:
            self._seen, self._found = (to_fixed, self._looks.through(to_fixed)), {}
        if windows not in self._found:
            self._found[windows] = tied(self._looks.matched(self._seen[1], windows), to_fixed)
        return self._found[windows]


def tied(found: Matched, to_fixed: Floats | Transform) -> tuple[Correspondences, Floats]:
    """Correspondences of the views, and the (N,) forward-backward distance."""
    # Moving content at c + d looks like fixed content at c; the way back should undo it.
    fixed_xy = found.centres + CENTRE
    back = Linear(to_fixed, "affine").inverse if isinstance(to_fixed, np.ndarray) else to_fixed.inverse
    moving_xy = back(fixed_xy + found.forward)
    known = finite(moving_xy)
    there_and_back = np.linalg.norm(found.forward + found.backward, axis=1)
    return Correspondences(fixed_xy, moving_xy, found.certainty)[known], there_and_back[known]


class OpenCVLooks:
    """`Looks` on a CPU."""

    def __init__(self, fixed: View, moving: View, threads: int) -> None:
        self._fixed, self._moving, self._threads = fixed, moving, threads

    def through(self, to_fixed: Floats | Transform) -> DescriptorMap:
        size = (self._fixed.width, self._fixed.height)
        if not isinstance(to_fixed, np.ndarray):
            return edge_descriptors(*seen_through(self._moving, to_fixed, size))
        small, factors = resized(self._moving, scale_of(to_fixed))
        pose = to_fixed @ np.diag([1 / factors[0], 1 / factors[1], 1.0])
        return warped(edge_descriptors(*small), to_centre_matrix(pose)[:2], size)

    def matched(self, there: DescriptorMap, windows: Windows) -> Matched:
        here = self._here
        centres = _centres(here.valid * there.valid, windows)
        if len(centres) == 0:
            return Matched.none()
        with ThreadPoolExecutor(min(2, max(1, self._threads))) as pool:
            both_ways = pool.map(lambda a, b: displacements(a, b, centres, windows), (here, there), (there, here))
            (forward, certainty), (backward, _) = both_ways
        return Matched(centres, forward, certainty, backward)

    @cached_property
    def _here(self) -> DescriptorMap:
        return edge_descriptors(self._fixed.image, self._fixed.valid)


def tie_points(
    fixed: View, moving: View, to_fixed: Floats | Transform, windows: Windows = NARROW
) -> tuple[Correspondences, Floats]:
    """The tie points around one pose or map, as a `TiePointFinder` finds them."""
    return TiePointFinder(fixed, moving)(to_fixed, windows)


def _centres(cover: Image, windows: Windows) -> Floats:
    """(N, 2) centres (x, y) of windows that lie inside the image and are valid enough in both."""
    centres = window_lattice(cover.shape[1], cover.shape[0], windows)
    if len(centres) == 0:
        return centres
    share = cv2.boxFilter(cover, cv2.CV_32F, (windows.side_px, windows.side_px))
    x, y = centres.astype(int).T
    enough: Mask = share[y, x] > MIN_COVER
    return centres[enough]


def displacements(
    fixed: DescriptorMap, moving: DescriptorMap, centres: Floats, windows: Windows, *, threads: int = 1
) -> tuple[Floats, Floats]:
    """(N, 2) where around each centre `moving` looks like the window of `fixed` there, and (N,) certainty."""
    surfaces = similarity_surfaces(fixed, moving, centres, windows, threads=threads)
    shifts, best = peaks(surfaces, windows.reach_px)
    return shifts, _certainty(surfaces, best)


def similarity_surfaces(
    fixed: DescriptorMap, moving: DescriptorMap, centres: Floats, windows: Windows, *, threads: int = 1
) -> Image:
    """(N, 2 reach + 1, 2 reach + 1) normalised correlation of windows of `fixed` around (N, 2) centres with `moving` at
    all places up to the reach around."""
    side, reach = windows.side_px, windows.reach_px
    places = centres.astype(int)
    weights = np.repeat(taper(side)[..., None], fixed.planes.shape[2], axis=2)
    surfaces = np.empty((len(centres), 2 * reach + 1, 2 * reach + 1), np.float32)
    lengths = np.empty((len(centres), 1, 1), np.float32)

    def match(first: int) -> None:
        for i in range(first, min(first + WINDOWS_A_TASK, len(places))):
            left, top = places[i] - side // 2
            template = cv2.multiply(fixed.planes[top : top + side, left : left + side], weights)
            region = moving.planes[top - reach : top + side + reach, left - reach : left + side + reach]
            surfaces[i] = cv2.matchTemplate(region, template, cv2.TM_CCORR)
            lengths[i] = cv2.norm(template)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        deque(pool.map(match, range(0, len(places), WINDOWS_A_TASK)), maxlen=0)  # raises what a window raised
    surfaces /= lengths * np.sqrt(np.maximum(_energies(moving, places, windows), 1e-6)) + 1e-6
    return surfaces


def _energies(moving: DescriptorMap, places: NDArray[np.intp], windows: Windows) -> Image:
    """(N, 2 reach + 1, 2 reach + 1) how much of `moving` lies under the taper at each place up to the reach around each
    of (N, 2) places, which lie on a lattice: the taper is applied to its rows and columns, each once."""
    square = as_image(np.square(moving.planes) @ np.ones(moving.planes.shape[2], np.float32))
    (xs, column), (ys, row) = (np.unique(along, return_inverse=True) for along in places.T)
    down, across = (_tapers(at, size, windows) for at, size in zip((ys, xs), square.shape, strict=True))
    reached = 2 * windows.reach_px + 1
    energy = (down @ square @ across.T).reshape(len(ys), reached, len(xs), reached)
    return as_image(energy[row, :, column, :])


def _tapers(centres: NDArray[np.intp], size: int, windows: Windows) -> Image:
    """(K (2 reach + 1), size) the taper along one axis about each place up to the reach around each of K centres."""
    side, reach = windows.side_px, windows.reach_px
    starts = (centres[:, None] + np.arange(-reach, reach + 1) - side // 2).reshape(-1, 1)
    rows = np.zeros((len(starts), size), np.float32)
    np.put_along_axis(rows, starts + np.arange(side), tapered(side)[None], axis=1)
    return rows


def peaks(surfaces: Floats | Image, reach_px: int) -> tuple[Floats, NDArray[np.intp]]:
    """(N, 2) sub-pixel maxima (x, y) from the middle of each surface, and (N,) which of its places is the highest."""
    count, side, _ = surfaces.shape
    best = surfaces.reshape(count, -1).argmax(axis=1)
    y, x = best // side, best % side
    yc, xc, rows = np.clip(y, 1, side - 2), np.clip(x, 1, side - 2), np.arange(count)
    peak = surfaces[rows, yc, xc]

    def parabola(before: Floats, after: Floats) -> Floats:
        bend = before - 2 * peak + after
        return np.clip(
            np.where(bend < -1e-9, 0.5 * (before - after) / np.where(bend < -1e-9, bend, 1.0), 0.0), -0.5, 0.5
        )

    dx = xc + parabola(surfaces[rows, yc, xc - 1], surfaces[rows, yc, xc + 1]) - reach_px
    dy = yc + parabola(surfaces[rows, yc - 1, xc], surfaces[rows, yc + 1, xc]) - reach_px
    return np.column_stack([dx, dy]), best


def _certainty(surfaces: Image, best: NDArray[np.intp]) -> Floats:
    """(N,) how far each maximum stands above its surface's spread, squashed to [0, 1]; 0 on the rim."""
    count, side, _ = surfaces.shape
    y, x = best // side, best % side
    inside = (y > 0) & (y < side - 1) & (x > 0) & (x < side - 1)
    peak = surfaces[np.arange(count), np.clip(y, 1, side - 2), np.clip(x, 1, side - 2)]
    height = (peak - surfaces.mean(axis=(1, 2))) / (surfaces.std(axis=(1, 2)) + 1e-3)
    certainty = np.where(inside, np.clip((height - 1.0) / 4.0, 0.0, 1.0) * np.clip(peak, 0.0, 1.0) ** 0.5, 0.0)
    return np.asarray(np.nan_to_num(certainty), np.float64)
