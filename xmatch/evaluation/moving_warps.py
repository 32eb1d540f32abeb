"""What a recipe's `warp` makes of a moving image: a part of it, another pose, a perspective, a bend, other grey values.

    warped px --straight--> bent px --bend--> px of the window that is kept --shift--> px of the image as it was

Pixels are looked up backwards along this chain, so the chain is the truth, in closed form: nothing of it is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import corners, pixel_centres, to_centre_xy
from xmatch.errors import InputError
from xmatch.evaluation.appearance import as_dtype, blurred, noisy, range_of
from xmatch.evaluation.recipe import WarpSpec
from xmatch.geometry import Chain, Linear, ThinPlateSpline, compose, homography, similarity, translation
from xmatch.geometry.matrices import apply_affine, local_scale, nearest_affine
from xmatch.geometry.outlines import border, inside, nodes_over

SHIFT = 0.05
"""Of a pose by chance: the canvas is so much wider on each side, and the image lies anywhere on it."""
KNOTS = 4
"""Of a bend, along the longer side; a wave of it is two thirds of that side or longer."""
LEAST_KNOTS = 3
STEEPEST = 0.2
"""Least area of a px under a bend: below, what it shows is hardly to be seen, and at 0 the image folds."""
NEAREST = 0.1
"""Least distance of a canvas's corner from the horizon, by that of its centre: behind it there is no image."""
DRAWS = 100
OUTLINE = 64
"""Points along a side that bound what a bend makes of the image."""


@dataclass(frozen=True, eq=False)
class WarpedImage:
    pixels: np.ndarray
    """(C, h, w)."""
    valid: np.ndarray
    """(h, w) bool."""
    to_source: Linear | Chain
    """Warped px -> px of the image as it was."""
    corners_xy: np.ndarray
    """(4, 2) warped px: where the corners of what is kept of the image lie."""


def warped(pixels: np.ndarray, valid: np.ndarray, warp: WarpSpec, rng: np.random.Generator) -> WarpedImage:
    """An image (C, H, W) with its validity (H, W), warped on a canvas that holds all of it.

    What is outside is noise of the image's own values, not valid, so that no border tells the warp. Every part of the
    warp draws for itself: what one of them is does not depend on how strong the others are.

    Raises:
        InputError: so strong a bend would fold so small an image.
    """
    bends, places, poses, looks, cuts = rng.spawn(5)
    pixels, valid, corner = _cut(pixels, valid, warp.keep, cuts)
    height, width = valid.shape
    bend = smooth_bend(width, height, warp.bend_px, bends) if warp.bend_px else None
    ends, outline = corners(width, height), border(width, height, OUTLINE)
    if bend is not None:
        ends, outline = bend.inverse(ends), bend.inverse(outline)
    onto, size = _onto_canvas(width, height, outline, warp, places, poses)
    to_source = compose(onto.inverse, bend) if bend is not None else onto.inverse
    found, seen = _looked_up(pixels, valid, to_source, size)
    found = as_dtype(_relit(found, seen, warp, looks), pixels.dtype)
    if seen.any() and not seen.all():
        found[:, ~seen] = looks.choice(found[:, seen], int((~seen).sum()), axis=1)
    return WarpedImage(found, seen, compose(to_source, translation(*corner)), onto(ends))


def _cut(
    pixels: np.ndarray, valid: np.ndarray, keep: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A window of the image by chance, with its validity and its first (column, row)."""
    height, width = valid.shape
    rows, columns = (max(1, round(keep * side)) for side in (height, width))
    top, left = (int(rng.integers(0, spare + 1)) for spare in (height - rows, width - columns))
    inside = np.s_[..., top : top + rows, left : left + columns]
    return pixels[inside], valid[inside], (left, top)


def smooth_bend(width: int, height: int, most_px: float, rng: np.random.Generator) -> ThinPlateSpline:
    """A random smooth map of an image onto itself: no affine part, and no place further from its own than `most_px`.

    Raises:
        InputError: it would fold.
    """
    counts = (max(LEAST_KNOTS, round(KNOTS * side / max(width, height))) for side in (width, height))
    xs, ys = (np.linspace(0, side, count) for side, count in zip((width, height), counts, strict=True))
    knots = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    everywhere = nodes_over(width, height, OUTLINE)
    free = ThinPlateSpline(knots, knots + rng.uniform(-1, 1, knots.shape) * max(width, height) / KNOTS)
    moved = free(everywhere)
    stiff = nearest_affine(everywhere, moved)
    scale = most_px / np.linalg.norm(moved - apply_affine(stiff, everywhere), axis=1).max()
    # A spline less its affine part, scaled, is the spline through its knots less the same, scaled.
    bend = ThinPlateSpline(knots, knots + scale * (free.fixed_xy - apply_affine(stiff, knots)))
    sides = np.stack([bend(everywhere + axis) - bend(everywhere - axis) for axis in np.eye(2) / 2], -1)
    if np.linalg.det(sides).min() < STEEPEST:
        raise InputError(f"a bend of {most_px:g} px would fold an image of {width} x {height} px")
    return bend


def perspective(width: int, height: int, share: float, rng: np.random.Generator) -> Linear:
    """The map of an image that moves each of its corners by chance, by up to `share` of its shorter side."""
    import cv2

    ends = corners(width, height)
    angle, reach = rng.uniform(0, 2 * np.pi, 4), share * min(width, height) * np.sqrt(rng.uniform(0, 1, 4))
    moved = ends + reach[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return homography(cv2.getPerspectiveTransform(ends.astype(np.float32), moved.astype(np.float32)))


def _onto_canvas(
    width: int,
    height: int,
    outline: np.ndarray,
    warp: WarpSpec,
    places: np.random.Generator,
    poses: np.random.Generator,
) -> tuple[Linear, tuple[int, int]]:
    """(map of the bent image onto its canvas, size of the canvas)."""
    turn, stretch = poses.uniform(-1, 1, 2) * warp.pose
    shift = SHIFT * poses.uniform(-1, 1, 2)
    for _ in range(DRAWS):
        laid = similarity(180 * turn, 2**stretch) if warp.pose else translation(0, 0)
        if warp.corners:
            laid = laid.after(perspective(width, height, warp.corners, places))
        found = laid(outline)
        low, high = found.min(axis=0), found.max(axis=0)
        # Rounding of the arithmetic is no further px; where nothing moves, px stay on px.
        low, high = np.floor(low + 1e-6), np.ceil(high - 1e-6)
        onto = translation(*-low).after(laid)
        columns, rows = (high - low).astype(int)
        if warp.pose:
            columns, rows = np.ceil((high - low) * (1 + 2 * SHIFT)).astype(int)
            onto = translation(*((1 + shift / SHIFT) * SHIFT * (high - low))).after(onto)
        if _before_the_horizon(onto, columns, rows):
            break
    return onto, (int(columns), int(rows))


def _before_the_horizon(onto: Linear, columns: int, rows: int) -> bool:
    """Whether all of the canvas shows something of moving's plane."""
    back = onto.inverse
    ends = np.vstack([corners(columns, rows), (columns / 2, rows / 2)])
    depth = back.w_sign * (ends @ back.matrix[2, :2] + back.matrix[2, 2])
    return bool(depth.min() > NEAREST * depth[-1])


def _looked_up(
    pixels: np.ndarray, valid: np.ndarray, to_source: Linear | Chain, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(C, h, w) float32 pixels on a canvas of `size` (width, height), and which of them show valid ones."""
    import cv2

    height, width = valid.shape
    at = to_source(pixel_centres(*size).reshape(-1, 2))
    on = inside(at, width, height)
    column, row = np.clip(np.nan_to_num(at), 0, (width - 1, height - 1)).astype(int).T
    seen = (on & valid[row, column]).reshape(size[::-1])
    x, y = to_centre_xy(np.nan_to_num(at)).astype(np.float32).reshape(*size[::-1], 2).transpose(2, 0, 1)
    shrinks = local_scale(to_source, np.array(size) / 2)
    bands = []
    for band in pixels:
        band = band.astype(np.float32)
        if shrinks > 1:
            # Half a px of the result, or what is finer than it would come back as false structure.
            band = cv2.GaussianBlur(band, (0, 0), max(0.5 * shrinks - 0.5, 1e-3))
        # Replicated: blending with black would leave a dark line along the edge.
        bands.append(cv2.remap(band, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(bands), seen


def _relit(pixels: np.ndarray, seen: np.ndarray, warp: WarpSpec, rng: np.random.Generator) -> np.ndarray:
    """What another exposure, another lens and another detector make of (C, h, w) float32."""
    if not seen.any():
        return pixels
    span = range_of(pixels[:, seen])
    contrast, brightness = rng.uniform(-1, 1, 2)
    if warp.gain:
        middle = pixels[:, seen].mean()
        pixels = middle + (1 + warp.gain) ** contrast * (pixels - middle) + 0.5 * warp.gain * span * brightness
    return noisy(blurred(pixels, warp.blur), warp.noise * span, rng)
