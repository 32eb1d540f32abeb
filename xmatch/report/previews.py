"""Small pictures of a registration: both images, the warped one, and the matches to draw over them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xmatch.coords import corners, pixel_centres, to_centre_xy
from xmatch.geometry import DisplacementGrid, Transform
from xmatch.io.rasters.source import Header, Source, Window
from xmatch.raster import Raster
from xmatch.report.sample import spread
from xmatch.result import Registration

MOST_INLIERS, MOST_OUTLIERS = 120, 40
"""Matches drawn: more of them hide the image."""

WARP_STEP_PX = 8.0
"""Bending maps are inverted on a lattice this wide; at preview scale the error stays below a tenth of a pixel."""

MARGIN = 0.05
"""Kept around the overlap, as a share of its sides."""


@dataclass(frozen=True)
class Frame:
    """Which part of an image a preview shows, and how large."""

    window: Window
    """(x0, y0, width, height), px of the full image."""
    size: tuple[int, int]
    """(width, height) of the preview."""

    @property
    def scale(self) -> np.ndarray:
        """(2,) preview px per full px, along x and y."""
        return np.array(self.size) / np.array(self.window[2:])

    def to_preview(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) full px -> preview px, both corner-counted."""
        return (np.asarray(xy, dtype=np.float64) - self.window[:2]) * self.scale

    def to_full(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) preview px -> full px."""
        return np.asarray(xy, dtype=np.float64) / self.scale + self.window[:2]


@dataclass(frozen=True)
class Previews:
    """All that the page draws. Pictures are uint8, (h, w) grey or (h, w, 3) RGB; positions are full px."""

    fixed: np.ndarray
    fixed_valid: np.ndarray
    """(h, w) bool."""
    fixed_frame: Frame
    moving: np.ndarray
    """As it is in its file."""
    moving_valid: np.ndarray
    moving_frame: Frame
    moving_warped: np.ndarray | None = None
    """Laid onto `fixed`, of its size; None when no transform was found."""
    warped_valid: np.ndarray | None = None
    fixed_xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(K, 2) the drawn sample of the correspondences, in the fixed image."""
    moving_xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(K, 2) the same in the moving image."""
    mapped_xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(K, 2) where the transform puts `moving_xy`, fixed px; NaN without a transform."""
    inliers: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    """(K,) bool."""

    @property
    def overlap(self) -> float | None:
        """Share of the fixed image's valid pixels, within what is shown, that the warped image covers."""
        if self.warped_valid is None or not self.fixed_valid.any():
            return None
        return float((self.warped_valid & self.fixed_valid).sum() / self.fixed_valid.sum())


def make_previews(fixed: Source, moving: Source, registration: Registration, max_side: int = 900) -> Previews:
    """Pictures of at most `max_side` px a side, of the part where both images lie when that part is small.

    Raises:
        InputError, ResourceError: as `Source.read` does.
    """
    transform = registration.transform
    fixed_window, moving_window = _whole(fixed.header), _whole(moving.header)
    if transform is not None and registration.verdict.accepted:
        fixed_window = _reach(transform, moving_window, fixed_window)
        moving_window = _reach(transform.inverse, fixed_window, moving_window)
    fixed_frame = _frame(fixed_window, max_side)
    # More moving pixels than the fixed preview can take would only alias when they are warped.
    moving_frame = _frame(moving_window, min(max_side, round(1.5 * max(fixed_frame.size))))
    fixed_picture, fixed_valid = _picture(fixed, fixed_frame)
    moving_picture, moving_valid = _picture(moving, moving_frame)
    warped = warped_valid = None
    if transform is not None:
        warped, warped_valid = _warp(moving_picture, moving_valid, moving_frame, transform, fixed_frame)
    return Previews(
        fixed_picture,
        fixed_valid,
        fixed_frame,
        moving_picture,
        moving_valid,
        moving_frame,
        warped,
        warped_valid,
        *_matches(registration, fixed_frame, moving_frame),
    )


def picture(raster: Raster) -> np.ndarray:
    """(h, w) or (h, w, 3) uint8 for the eye: the 2nd to 98th percentile of the valid values fill the range, and complex
    pixels show their amplitude in dB. Eight-bit colours are stretched together, so that their balance stays."""
    pixels = raster.pixels[: 3 if len(raster.pixels) >= 3 else 1]
    if np.iscomplexobj(pixels):
        amplitude = np.abs(pixels)
        positive = amplitude[np.isfinite(amplitude) & (amplitude > 0)]
        floor = positive.min() if positive.size else 1.0
        pixels = 20 * np.log10(np.maximum(amplitude, floor))
    masks = np.broadcast_to(raster.masks[: len(pixels)], pixels.shape)
    values = np.where(masks, pixels, 0).astype(np.float64)
    together = raster.pixels.dtype == np.uint8
    for group, mask in [(values, masks)] if together else zip(values, masks, strict=True):
        sample = group[mask]
        low, high = np.percentile(sample, (2, 98)) if sample.size else (0.0, 0.0)
        if high <= low:
            group[...] = 0.5
        else:
            group -= low
            group /= high - low
    shown = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return shown[0] if len(shown) == 1 else np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def _picture(source: Source, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    raster = source.read(frame.window, frame.size, bands=_colour_bands(source.header.bands))
    return picture(raster), raster.valid


def _colour_bands(names: tuple[str, ...]) -> tuple[int, ...]:
    """Red, green and blue by name, whatever their order; else the first three, or the first alone."""
    lower = [name.strip().lower() for name in names]
    for wanted in (("red", "green", "blue"), ("r", "g", "b"), ("b04", "b03", "b02"), ("b4", "b3", "b2")):
        if all(name in lower for name in wanted):
            return tuple(lower.index(name) for name in wanted)
    return (0, 1, 2) if len(names) >= 3 else (0,)


def _whole(header: Header) -> Window:
    return 0, 0, header.width, header.height


def _reach(transform: Transform, window: Window, onto: Window) -> Window:
    """The part of `onto` that `transform` reaches from `window`, with a margin; all of it when most is reached."""
    x0, y0, width, height = window
    along = np.linspace(0, 1, 17)[:, None]
    box = corners(width, height) + (x0, y0)
    border = np.concatenate([a + (b - a) * along for a, b in zip(box, np.roll(box, -1, axis=0), strict=True)])
    reached = transform(border)
    reached = reached[np.isfinite(reached).all(axis=1)]
    left, top, right, bottom = onto[0], onto[1], onto[0] + onto[2], onto[1] + onto[3]
    # A horizon or a fold inside the image makes its outline say little about where its inside goes.
    if len(reached) < len(border):
        return onto
    low, high = reached.min(axis=0), reached.max(axis=0)
    margin = MARGIN * (high - low)
    x_low, y_low = np.floor(np.clip(low - margin, (left, top), (right, bottom))).astype(int).tolist()
    x_high, y_high = np.ceil(np.clip(high + margin, (left, top), (right, bottom))).astype(int).tolist()
    inside = max(0, x_high - x_low) * max(0, y_high - y_low)
    if inside == 0 or inside > 0.6 * onto[2] * onto[3]:
        return onto
    return x_low, y_low, x_high - x_low, y_high - y_low


def _frame(window: Window, max_side: int) -> Frame:
    scale = min(1.0, max_side / max(window[2:]))
    return Frame(window, (max(1, round(window[2] * scale)), max(1, round(window[3] * scale))))


def _warp(
    pixels: np.ndarray, valid: np.ndarray, moving_frame: Frame, transform: Transform, fixed_frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    width, height = fixed_frame.size
    backwards = transform.inverse

    def to_moving(xy: np.ndarray) -> np.ndarray:
        return moving_frame.to_preview(backwards(fixed_frame.to_full(xy)))

    bends = transform.matrix is None
    look_up = DisplacementGrid.sampled(to_moving, width, height, WARP_STEP_PX) if bends else to_moving
    where = to_centre_xy(look_up(pixel_centres(width, height).reshape(-1, 2))).reshape(height, width, 2)
    where = np.where(np.isfinite(where), np.clip(where, -1e4, 1e5), -1e4).astype(np.float32)
    x, y = np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])
    warped = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.remap(valid.astype(np.uint8), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return warped, inside.astype(bool)


def _matches(registration: Registration, fixed_frame: Frame, moving_frame: Frame) -> tuple[np.ndarray, ...]:
    """The drawn sample: fixed_xy, moving_xy, mapped_xy, inliers."""
    matches = registration.correspondences
    shown = _within(matches.fixed_xy, fixed_frame) & _within(matches.moving_xy, moving_frame)
    chosen = np.concatenate(
        [
            spread(matches.fixed_xy, np.flatnonzero(shown & group), most)
            for group, most in ((registration.inliers, MOST_INLIERS), (~registration.inliers, MOST_OUTLIERS))
        ]
    )
    drawn = matches[chosen]
    mapped = np.full((len(drawn), 2), np.nan)
    if registration.transform is not None and len(drawn):
        mapped = registration.transform(drawn.moving_xy)
    return drawn.fixed_xy, drawn.moving_xy, mapped, registration.inliers[chosen]


def _within(xy: np.ndarray, frame: Frame) -> np.ndarray:
    preview_xy = frame.to_preview(xy)
    return np.asarray(((preview_xy >= 0) & (preview_xy <= frame.size)).all(axis=-1))
