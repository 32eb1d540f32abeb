"""Match views: what a matcher sees of a raster, and the way back to its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from xmatch.coords import pixel_centres, to_centre_matrix, to_centre_xy
from xmatch.errors import InputError
from xmatch.geometry import Transform
from xmatch.io.rasters.source import Source, Window
from xmatch.raster import Raster, View
from xmatch.registration.collar import collar

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of 8-bit red, green and blue (ITU-R BT.601)."""
STRETCH_PERCENT = (1.0, 99.0)
MIN_SIDE_PX = 16


@dataclass(frozen=True)
class Framing:
    """Which part of a file a view shows, and how large."""

    window: Window
    size: tuple[int, int]
    """(width, height) of the view."""

    @property
    def to_pixel(self) -> np.ndarray:
        """(3, 3) view px -> px of the file."""
        x0, y0, width, height = self.window
        return np.array([[width / self.size[0], 0.0, x0], [0.0, height / self.size[1], y0], [0.0, 0.0, 1.0]])


def framing(window: Window, view_px: float, shape: tuple[float, float] = (1.0, 1.0)) -> Framing:
    """The view of `window` whose longest side is `view_px` at most; never larger than the window itself.

    Args:
        shape: length of a pixel in x and y, in any unit: views have square pixels on the ground.
    """
    width, height = window[2] * shape[0] / min(shape), window[3] * shape[1] / min(shape)
    factor = min(1.0, view_px / max(width, height))
    return Framing(window, (max(1, round(width * factor)), max(1, round(height * factor))))


def make_view(source: Source, frame: Framing) -> View:
    """Read a window of a file as one stretched channel.

    Raises:
        InputError: nothing in the window is valid.
    """
    # Reading never enlarges; a view with square pixels may need to.
    read_size = tuple(min(wanted, has) for wanted, has in zip(frame.size, frame.window[2:], strict=True))
    raster = source.read(frame.window, size=read_size)
    if not raster.valid.any():
        raise InputError(
            "no valid pixels where the images overlap: 0 % of the window is data",
            hint="--nodata and --moving-nodata tell which value means no data in FIXED and in MOVING",
            path=source.header.path,
        )
    raster = replace(raster, valid=where_seen(raster))
    black = 0.0
    if raster.valid.all() and (frame_of_black := collar(raster.pixels)) is not None:
        raster, black = replace(raster, valid=~frame_of_black), float(frame_of_black.mean())
    image = channel(raster)
    valid = raster.valid
    if read_size != frame.size:
        image = cv2.resize(image, frame.size, interpolation=cv2.INTER_LINEAR)
        valid = cv2.resize(valid.astype(np.uint8), frame.size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return View(image, valid, frame.to_pixel, black)


def where_seen(raster: Raster) -> np.ndarray:
    """(H, W) bool, where a matcher looks: all bands hold data or, if these have less than half of their data in common,
    at least one does. Then the borders between different choices of bands are left out, which content did not draw.

    In 8-bit colour one value without data is a colour (pure red), so that one band suffices there.
    """
    masks = raster.masks
    everywhere = masks.all(axis=0)
    if _is_colour(raster.pixels) or 2 * np.count_nonzero(everywhere) >= np.count_nonzero(raster.valid):
        return raster.valid if _is_colour(raster.pixels) else everywhere
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    between = [cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, cross) for mask in masks]
    return raster.valid & ~np.any(between, axis=0)


def channel(raster: Raster) -> np.ndarray:
    """(H, W) float32 in [0, 1]: all bands as one, each stretched between its 1st and 99th percentile; 0 where invalid.

    8-bit colour is weighted as the eye does, complex radar becomes amplitude in decibels. Where bands have holes of
    their own, the others speak for them.
    """
    pixels = raster.pixels
    if np.iscomplexobj(pixels):
        pixels = 20 * np.log10(np.abs(pixels).astype(np.float32) + 1e-6)
    if raster.band_valid is None or _is_colour(pixels):
        if _is_colour(pixels):
            pixels = np.tensordot(LUMA, pixels.astype(np.float32), 1)[None]
        return np.mean([_stretched(band, raster.valid) for band in pixels], axis=0, dtype=np.float32)
    masks = raster.band_valid & raster.valid
    total = np.sum([_stretched(*band) for band in zip(pixels, masks, strict=True) if band[1].any()], axis=0)
    return (total / np.maximum(np.count_nonzero(masks, axis=0), 1)).astype(np.float32)


def _is_colour(pixels: np.ndarray) -> bool:
    return len(pixels) == 3 and pixels.dtype == np.uint8


def _stretched(band: np.ndarray, valid: np.ndarray) -> np.ndarray:
    # float64 first: int64 and uint32 do not fit into float32 without loss of the differences that matter.
    values = np.where(valid, band, 0).astype(np.float64)
    low, high = np.percentile(values[valid], STRETCH_PERCENT)
    if high <= low:
        low, high = values[valid].min(), values[valid].max()
    if high <= low:
        return np.zeros(band.shape, np.float32)
    return np.where(valid, np.clip((values - low) / (high - low), 0.0, 1.0), 0.0).astype(np.float32)


def warped_view(view: View, to_grid: np.ndarray, size: tuple[int, int]) -> View:
    """The view laid onto another grid of (width, height) px by the affine (3, 3) `to_grid`, view px -> grid px."""
    onto = to_centre_matrix(to_grid)[:2]
    cover = cv2.warpAffine(view.valid.astype(np.float32), onto, size)
    image = cv2.warpAffine(view.image * view.valid, onto, size)
    return _where_covered(image, cover, replace(view, to_pixel=view.to_pixel @ np.linalg.inv(to_grid)))


def remapped_view(view: View, backward: Transform, size: tuple[int, int]) -> View:
    """The view laid onto another grid of (width, height) px by a map of any kind, grid px -> view px.

    Where the map is not finite nothing is valid. `to_pixel` still leads from the view that was given: the caller knows
    what the grid's own is.
    """
    at = to_centre_xy(backward(pixel_centres(*size)))
    # OpenCV takes positions far outside for nothing, but not those that are no number.
    x, y = np.nan_to_num(at, nan=-1e4).astype(np.float32).transpose(2, 0, 1)
    cover = cv2.remap(view.valid.astype(np.float32), x, y, cv2.INTER_LINEAR)
    image = cv2.remap(view.image * view.valid, x, y, cv2.INTER_LINEAR)
    return _where_covered(image, cover, view)


def _where_covered(image: np.ndarray, cover: np.ndarray, view: View) -> View:
    """An interpolated image that was 0 where nothing is valid, freed of the share that came from there."""
    valid = cover > 0.5
    return replace(view, image=np.where(valid, image / np.maximum(cover, 1e-3), 0.0).astype(np.float32), valid=valid)
