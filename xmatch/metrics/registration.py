"""How far a whole registration is off: at the corners, over the overlap, at landmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xmatch.coords import corners, pixel_centres
from xmatch.geometry import Linear, Transform
from xmatch.geometry.matrices import nearest_affine
from xmatch.metrics.distances import distances_px


def corner_error_px(estimate: Transform | None, truth: Transform, width: int, height: int) -> float:
    """Mean distance between the four outer corners of moving mapped by `estimate` and by `truth`, fixed px.

    As in HPatches homography benchmarks (SuperPoint, DeTone et al. 2018, section 7.3), with corners counted at
    the outer edges of the image. Infinity when there is no estimate or a corner has no finite image.
    """
    return _mean_distance(estimate, truth, corners(width, height))


def mean_error_px(estimate: Transform | None, truth: Transform, moving_xy: np.ndarray) -> float:
    """Mean distance between positions (N, 2) of moving mapped by `estimate` and by `truth`, fixed px.

    Infinity when there is no estimate or it is not finite there. The corner error of an image that was laid onto a
    larger canvas is that of the corners it had.
    """
    return _mean_distance(estimate, truth, moving_xy)


def lattice_step(height: int, width: int, nodes: int = 32) -> int:
    """Distance in px of the nodes that stand for an image: about `nodes` of them lie along its shorter side."""
    return max(1, min(width, height) // nodes)


def overlap_lattice(width: int, height: int) -> np.ndarray:
    """(h, w, 2) centres of the pixels that stand for an image."""
    return pixel_centres(width, height, step=lattice_step(height, width))


def overlap_errors_px(
    estimate: Transform | None,
    truth: Transform,
    moving_size: tuple[int, int],
    fixed_size: tuple[int, int],
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) distances over those of `overlap_lattice` whose true place lies inside fixed, fixed px.

    Unlike the corner error they ask only where both images see the scene. Infinite when there is no estimate, and
    where it is not finite. Sizes are (width, height) px.

    Args:
        seen: (h, w) bool of the lattice: where moving is valid; default everywhere.
    """
    lattice = overlap_lattice(*moving_size)
    xy = lattice.reshape(-1, 2) if seen is None else lattice[seen]
    target = truth(xy)
    inside = ((target >= 0) & (target <= np.array(fixed_size))).all(axis=1)
    if estimate is None:
        return np.full(int(inside.sum()), np.inf)
    return distances_px(estimate(xy[inside]), target[inside])


def grid_error_px(
    estimate: Transform | None,
    truth: Transform,
    moving_size: tuple[int, int],
    fixed_size: tuple[int, int],
    seen: np.ndarray | None = None,
) -> float:
    """Mean of `overlap_errors_px`, fixed px. NaN when the images do not overlap."""
    errors = overlap_errors_px(estimate, truth, moving_size, fixed_size, seen)
    return float(errors.mean()) if len(errors) else float("nan")


def _mean_distance(estimate: Transform | None, truth: Transform, xy: np.ndarray) -> float:
    return float("inf") if estimate is None else float(distances_px(estimate(xy), truth(xy)).mean())


def landmark_errors_px(estimate: Transform | None, moving_xy: np.ndarray, fixed_xy: np.ndarray) -> np.ndarray:
    """(N,) target registration errors of landmarks, fixed px: |estimate(moving_xy) - fixed_xy|.

    Fitzpatrick and West 2001, IEEE TMI 20(9). Infinity when there is no estimate or a landmark has no finite image.

    Args:
        estimate: moving px -> fixed px, or None where the registration failed.
        moving_xy: (N, 2) px.
        fixed_xy: (N, 2) px; row i marks what row i of `moving_xy` marks.
    """
    return distances_px(np.full(np.shape(fixed_xy), np.nan) if estimate is None else estimate(moving_xy), fixed_xy)


def affine_residual_px(moving_xy: np.ndarray, fixed_xy: np.ndarray) -> float:
    """Median distance that the affine map of least squares through landmarks leaves of them, fixed px.

    What no map without a bend does much better; NaN for fewer than four landmarks, which it would pass through.
    """
    if len(moving_xy) < 4:
        return float("nan")
    return float(np.median(distances_px(affine_through(moving_xy, fixed_xy)(moving_xy), fixed_xy)))


def affine_through(moving_xy: np.ndarray, fixed_xy: np.ndarray) -> Transform:
    """The affine map of least squares, moving px -> fixed px, through (N, 2) landmarks."""
    return Linear(nearest_affine(moving_xy, fixed_xy), "affine")


class TargetErrors(NamedTuple):
    """Target registration errors of one pair of images; NaN when it has no landmarks."""

    mean_px: float
    median_px: float
    max_px: float
    mean_relative: float
    """Of the errors divided by the diagonal of fixed, as the two below (rTRE)."""
    median_relative: float
    max_relative: float
    n: int
    """Landmarks."""


def target_errors(errors_px: np.ndarray, fixed_size: tuple[int, int]) -> TargetErrors:
    """The numbers that ANHIR ranks by: rTRE = TRE / sqrt(w^2 + h^2) of the image that the landmarks are compared in.

    Borovec et al. 2020, IEEE TMI 39(10). Over the pairs of a data set ANHIR takes the average and the
    median of `median_relative` and of `max_relative`.

    Args:
        errors_px: (N,) from `landmark_errors_px`.
        fixed_size: (width, height) px.
    """
    errors = np.asarray(errors_px, dtype=np.float64)
    nan = float("nan")
    mean, median, most = (float(of(errors)) if len(errors) else nan for of in (np.mean, np.median, np.max))
    diagonal = float(np.hypot(*fixed_size))
    return TargetErrors(mean, median, most, mean / diagonal, median / diagonal, most / diagonal, len(errors))


def landmark_robustness(errors_px: np.ndarray, before_px: np.ndarray) -> float:
    """Share of landmarks that the registration brought closer, percent; NaN for none.

    Borovec et al. 2020: R = |{l: rTRE_l < initial rTRE_l}| / |L|. Both (N,), in the same unit.
    """
    closer = np.asarray(errors_px) < np.asarray(before_px)
    return float(100.0 * closer.mean()) if len(closer) else float("nan")
