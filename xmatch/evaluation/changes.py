"""What a robustness sweep does to an aligned pair: one factor at a time, by so much; and the factors that need none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xmatch.coords import corners, to_centre_matrix
from xmatch.evaluation.appearance import as_dtype, blurred, noisy, range_of
from xmatch.geometry import Linear, similarity, translation

TURN_DEG, STRETCH, SHIFT = 15.0, 1.1, 0.05
"""A pair that stands still would make "nothing moves" the right answer: whatever is swept, moving is also turned by up
to so many degrees, scaled by up to so much, and shifted by up to this share of its sides, by the seed."""


@dataclass(frozen=True, eq=False)
class AlignedImages:
    """Two images of one size that show the same place pixel by pixel."""

    fixed: np.ndarray
    """(C, H, W)."""
    moving: np.ndarray
    """(B, H, W)."""


@dataclass(frozen=True, eq=False)
class ChangedPair:
    fixed: np.ndarray
    moving: np.ndarray
    moving_valid: np.ndarray
    """(h, w) bool."""
    truth: Linear
    """Moving px -> fixed px."""


@dataclass(frozen=True)
class Factor:
    label: str
    """Of the axis, with its unit."""
    values: tuple[float, ...]
    """Tried unless the recipe says others."""
    low: float
    high: float
    """Between which a value makes sense."""
    change: Callable[[AlignedImages, float, np.random.Generator], ChangedPair] | None = None
    """None: the pair stays as it is, and this is a part of the recipe's `warp` of its moving image."""


def moved(
    aligned: AlignedImages, rng: np.random.Generator, angle_deg: float | None = None, scale: float | None = None
) -> ChangedPair:
    """Moving turned, scaled and shifted; its canvas holds all of it, and what is outside is noise of its own values,
    declared to hold no data, so that no border tells the turn."""
    import cv2

    # All are drawn whether they are needed or not: then the rest is the same for every value.
    turn, stretch, shift = rng.uniform(-TURN_DEG, TURN_DEG), STRETCH ** rng.uniform(-1, 1), rng.uniform(-1, 1, 2)
    pose = similarity(turn if angle_deg is None else angle_deg, stretch if scale is None else scale)
    height, width = aligned.moving.shape[1:]
    outline = pose(corners(width, height))
    low, high = outline.min(axis=0), outline.max(axis=0)
    size = np.ceil((high - low) * (1 + 2 * SHIFT)).astype(int)
    to_moving = translation(*((size - high - low) / 2 + SHIFT * shift * (high - low))).after(pose)
    matrix = to_centre_matrix(to_moving.matrix)[:2]
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    bands = []
    for band in aligned.moving:
        band = band.astype(np.float32)
        if shrink < 1:
            # Half a px of the result, or what is finer than it would come back as false structure.
            band = cv2.GaussianBlur(band, (0, 0), max(0.5 / shrink - 0.5, 1e-3))
        # Replicated: blending with black would leave a dark line along the edge.
        bands.append(cv2.warpAffine(band, matrix, tuple(size), borderMode=cv2.BORDER_REPLICATE))
    inside = cv2.warpAffine(np.ones((height, width), np.uint8), matrix, tuple(size), flags=cv2.INTER_NEAREST) > 0
    pixels = as_dtype(np.stack(bands), aligned.moving.dtype)
    pixels[:, ~inside] = rng.choice(aligned.moving.reshape(len(pixels), -1), int((~inside).sum()), axis=1)
    return ChangedPair(aligned.fixed, pixels, inside, to_moving.inverse)


def _rotation(aligned: AlignedImages, value: float, rng: np.random.Generator) -> ChangedPair:
    return moved(aligned, rng, angle_deg=value)


def _scale(aligned: AlignedImages, value: float, rng: np.random.Generator) -> ChangedPair:
    return moved(aligned, rng, scale=value)


def _appearance(change_pixels: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]):
    """A change of what moving looks like, before it is moved by chance. `change_pixels` takes (B, H, W) float32."""

    def change(aligned: AlignedImages, value: float, rng: np.random.Generator) -> ChangedPair:
        # Draws of their own: the pose by chance stays the same whatever else is drawn.
        pixels = change_pixels(aligned.moving.astype(np.float32), value, rng.spawn(1)[0])
        looks = as_dtype(pixels, aligned.moving.dtype)
        return moved(AlignedImages(aligned.fixed, looks), rng)

    return change


def _noise(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    return noisy(pixels, value * range_of(pixels), rng)


def _blur(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    return blurred(pixels, value)


def _contrast(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    middle = (pixels.max(axis=(1, 2), keepdims=True) + pixels.min(axis=(1, 2), keepdims=True)) / 2
    return middle + value * (pixels - middle)


def _resolution(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    import cv2

    height, width = pixels.shape[1:]
    small = max(1, round(width / value)), max(1, round(height / value))
    bands = (cv2.resize(band, small, interpolation=cv2.INTER_AREA) for band in pixels)
    return np.stack([cv2.resize(band, (width, height), interpolation=cv2.INTER_LINEAR) for band in bands])


def _overlap(aligned: AlignedImages, value: float, rng: np.random.Generator) -> ChangedPair:
    """Two windows of one size, side by side or one above the other, of which so many percent are the same ground.

    Of a side of N px each takes w = N / (2 - overlap), so that together they take all of it.
    """
    axis, flipped = rng.spawn(1)[0].integers(2, size=2) + (1, 0)
    side = aligned.fixed.shape[axis]
    window = round(side / (2 - value / 100.0))
    starts = (0, side - window) if flipped else (side - window, 0)
    fixed, moving = (
        np.take(image, np.arange(start, start + window), axis=axis)
        for image, start in zip((aligned.fixed, aligned.moving), starts, strict=True)
    )
    changed = moved(AlignedImages(fixed, moving), rng)
    apart = np.zeros(2)
    apart[2 - axis] = starts[1] - starts[0]
    return ChangedPair(fixed, changed.moving, changed.moving_valid, translation(*apart).after(changed.truth))


FACTORS: dict[str, Factor] = {
    "rotation": Factor("turn, degrees", (0, 15, 30, 45, 60, 90, 120, 150, 180), -180, 180, _rotation),
    "scale": Factor("scale of moving", (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4), 0.05, 20, _scale),
    "pose": Factor("turn and scale by chance, share of 180 degrees and of 2 x", (0, 0.25, 0.5, 1), 0, 1),
    "corners": Factor("corners of moving moved, share of its shorter side", (0, 0.1, 0.2, 0.3), 0, 0.4),
    "bend_px": Factor("smooth bend, px", (0, 2, 4, 8), 0, 100),
    "noise": Factor("noise, share of the range of values", (0, 0.05, 0.1, 0.2, 0.4, 0.8), 0, 10, _appearance(_noise)),
    "blur": Factor("blur, sigma in px", (0, 1, 2, 4, 8), 0, 100, _appearance(_blur)),
    "contrast": Factor("contrast; below 0 inverted", (1, 0.5, 0.2, -0.2, -0.5, -1), -1, 1, _appearance(_contrast)),
    "resolution": Factor("pixels of moving as coarse as so many", (1, 2, 4, 8, 16), 1, 100, _appearance(_resolution)),
    "overlap": Factor("overlap, %", (100, 80, 60, 40, 30, 20, 10), 1, 100, _overlap),
}
"""Name in recipes -> what it does."""
