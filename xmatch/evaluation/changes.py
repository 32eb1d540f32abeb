"""What a robustness sweep does to an aligned pair: one factor at a time, by so much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xmatch.coords import corners, pixel_centres, to_centre_matrix, to_centre_xy
from xmatch.geometry import DisplacementGrid, Linear, Transform, similarity, translation

TURN_DEG, STRETCH, SHIFT = 15.0, 1.1, 0.05
"""A pair that stands still would make "nothing moves" the right answer: whatever is swept, moving is also turned by up
to so many degrees, scaled by up to so much, and shifted by up to this share of its sides, by the seed."""

BEND_STEP_PX = 8
"""Between the nodes of a truth that bends; its waves are a hundred px and more long."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two images of one size that show the same place pixel by pixel."""

    fixed: np.ndarray
    """(C, H, W)."""
    moving: np.ndarray
    """(B, H, W)."""


@dataclass(frozen=True, eq=False)
class Changed:
    fixed: np.ndarray
    moving: np.ndarray
    moving_valid: np.ndarray
    """(h, w) bool."""
    truth: Transform
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
    change: Callable[[Aligned, float, np.random.Generator], Changed]


def moved(
    aligned: Aligned, rng: np.random.Generator, angle_deg: float | None = None, scale: float | None = None
) -> Changed:
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
    pixels = _as(np.stack(bands), aligned.moving.dtype)
    pixels[:, ~inside] = rng.choice(aligned.moving.reshape(len(pixels), -1), int((~inside).sum()), axis=1)
    return Changed(aligned.fixed, pixels, inside, to_moving.inverse)


def _rotation(aligned: Aligned, value: float, rng: np.random.Generator) -> Changed:
    return moved(aligned, rng, angle_deg=value)


def _scale(aligned: Aligned, value: float, rng: np.random.Generator) -> Changed:
    return moved(aligned, rng, scale=value)


def _pose(aligned: Aligned, value: float, rng: np.random.Generator) -> Changed:
    # Draws of their own: the shift by chance stays the same whatever the value.
    turn, stretch = rng.spawn(1)[0].uniform(-1, 1, 2) * value
    return moved(aligned, rng, angle_deg=180 * turn, scale=2**stretch)


def _bend(aligned: Aligned, value: float, rng: np.random.Generator) -> Changed:
    """Moving bent by a smooth field of up to `value` px each way, of 0.75 to 1.5 waves over its longer side."""
    import cv2

    if not value:
        return moved(aligned, rng)
    # Draws of their own: the pose by chance stays the same whatever the value.
    own = rng.spawn(1)[0]
    height, width = aligned.moving.shape[1:]
    waves = 2 * np.pi * own.uniform(0.75, 1.5, (2, 2)) / max(width, height)
    phases = own.uniform(0, 2 * np.pi, (2, 2))

    def straight(xy: np.ndarray) -> np.ndarray:
        """Where the content of a bent px lay."""
        turns = xy[..., None, :] * waves + phases
        return xy + value * np.sin(turns[..., 0]) * np.cos(turns[..., 1])

    x, y = to_centre_xy(straight(pixel_centres(width, height))).astype(np.float32).transpose(2, 0, 1)
    bands = [
        cv2.remap(band.astype(np.float32), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for band in aligned.moving
    ]
    changed = moved(Aligned(aligned.fixed, _as(np.stack(bands), aligned.moving.dtype)), rng)
    rows, columns = changed.moving_valid.shape

    def truth(xy: np.ndarray) -> np.ndarray:
        return straight(changed.truth(xy))

    return replace(changed, truth=DisplacementGrid.sampled(truth, columns, rows, BEND_STEP_PX))


def _seen(look: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]):
    """A change of what moving looks like, before it is moved by chance. `look` takes (B, H, W) float32."""

    def change(aligned: Aligned, value: float, rng: np.random.Generator) -> Changed:
        # Draws of their own: the pose by chance stays the same whatever else is drawn.
        pixels = look(aligned.moving.astype(np.float32), value, rng.spawn(1)[0])
        looks = _as(pixels, aligned.moving.dtype)
        return moved(Aligned(aligned.fixed, looks), rng)

    return change


def _noise(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    return pixels + value * _range(pixels) * rng.standard_normal(pixels.shape, dtype=np.float32)


def _blur(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    import cv2

    return np.stack([cv2.GaussianBlur(band, (0, 0), value) for band in pixels]) if value else pixels


def _contrast(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    middle = (pixels.max(axis=(1, 2), keepdims=True) + pixels.min(axis=(1, 2), keepdims=True)) / 2
    return middle + value * (pixels - middle)


def _resolution(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    import cv2

    height, width = pixels.shape[1:]
    small = max(1, round(width / value)), max(1, round(height / value))
    bands = (cv2.resize(band, small, interpolation=cv2.INTER_AREA) for band in pixels)
    return np.stack([cv2.resize(band, (width, height), interpolation=cv2.INTER_LINEAR) for band in bands])


def _overlap(aligned: Aligned, value: float, rng: np.random.Generator) -> Changed:
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
    changed = moved(Aligned(fixed, moving), rng)
    assert isinstance(changed.truth, Linear)  # what was moved alone has not been bent
    apart = np.zeros(2)
    apart[2 - axis] = starts[1] - starts[0]
    return Changed(fixed, changed.moving, changed.moving_valid, translation(*apart).after(changed.truth))


def _range(pixels: np.ndarray) -> float:
    low, high = np.percentile(pixels, (2, 98))
    return float(high - low)


def _as(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)
    return pixels.astype(dtype)


FACTORS: dict[str, Factor] = {
    "rotation": Factor("turn, degrees", (0, 15, 30, 45, 60, 90, 120, 150, 180), -180, 180, _rotation),
    "scale": Factor("scale of moving", (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4), 0.05, 20, _scale),
    "pose": Factor("turn and scale by chance, share of 180 degrees and of 2 x", (0, 0.25, 0.5, 1), 0, 1, _pose),
    "noise": Factor("noise, share of the range of values", (0, 0.05, 0.1, 0.2, 0.4, 0.8), 0, 10, _seen(_noise)),
    "blur": Factor("blur, sigma in px", (0, 1, 2, 4, 8), 0, 100, _seen(_blur)),
    "contrast": Factor("contrast; below 0 inverted", (1, 0.5, 0.2, -0.2, -0.5, -1), -1, 1, _seen(_contrast)),
    "resolution": Factor("pixels of moving as coarse as so many", (1, 2, 4, 8, 16), 1, 100, _seen(_resolution)),
    "bend": Factor("smooth bend, px", (0, 2, 4, 8), 0, 100, _bend),
    "overlap": Factor("overlap, %", (100, 80, 60, 40, 30, 20, 10), 1, 100, _overlap),
}
"""Name in recipes -> what it does."""
