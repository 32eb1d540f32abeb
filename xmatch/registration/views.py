"""Match views: what a matcher sees of a raster, and the way back to its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from xmatch.coords import AnyArray, Floats, Image, Mask, as_image, pixel_centres, to_centre_matrix, to_centre_xy
from xmatch.errors import InputError
from xmatch.geometry import Transform
from xmatch.geometry.masked import remapped_masked, warped_masked
from xmatch.geometry.windows import Window
from xmatch.io.rasters.source import Source
from xmatch.raster import Raster, View
from xmatch.registration.collar import collar

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of 8-bit red, green and blue (ITU-R BT.601)."""
STRETCH_PERCENT = (1.0, 99.0)
"""Percentiles that become 0 and 1. Not tuned."""
MIN_SIDE_PX = 16
"""Windows that are narrower show too little to match. Not tuned."""


@dataclass(frozen=True)
class Framing:
    """Which part of a file a view shows, and how large."""

    window: Window
    size: tuple[int, int]
    """(width, height) of the view."""

    @property
    def to_pixel(self) -> Floats:
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


def make_view(source: Source, frame: Framing, *, with_colour: bool = False) -> View:
    """Read a window of a file as one stretched channel.

    Args:
        with_colour: fill `View.colour`, too.

    Raises:
        InputError: nothing in the window is valid.
    """
    # Reading never enlarges; a view with square pixels may need to.
    read_size = min(frame.size[0], frame.window[2]), min(frame.size[1], frame.window[3])
    raster = source.read(frame.window, size=read_size)
    if not raster.valid.any():
        raise InputError(
            "no valid pixels where the images overlap: 0 % of the window is data",
            hint="--nodata and --moving-nodata tell which value means no data in FIXED and in MOVING; --mask, "
            "--moving-mask and --roi leave out what they do not name",
            path=source.header.path,
        )
    raster = replace(raster, valid=where_seen(raster))
    black = 0.0
    if raster.valid.all() and (frame_of_black := collar(raster.pixels)) is not None:
        raster, black = replace(raster, valid=~frame_of_black), float(frame_of_black.mean())
    image = channel(raster)
    valid = raster.valid
    seen = colour(raster) if with_colour else None
    if read_size != frame.size:
        image = as_image(cv2.resize(image, frame.size, interpolation=cv2.INTER_LINEAR))
        valid = cv2.resize(valid.astype(np.uint8), frame.size, interpolation=cv2.INTER_NEAREST).astype(bool)
        seen = None if seen is None else as_image(cv2.resize(seen, frame.size, interpolation=cv2.INTER_LINEAR))
    return View(image, valid, frame.to_pixel, black, seen)


def where_seen(raster: Raster) -> Mask:
    """(H, W) bool, where a matcher looks: all bands hold data or, if these have less than half of their data in common,
    at least one does. Then the borders between different choices of bands are left out, which content did not draw.

    In 8-bit colour one value without data is a colour (pure red), so that one band suffices there.
    """
    masks = raster.masks
    everywhere = np.asarray(masks.all(axis=0))
    if _is_colour(raster.pixels) or 2 * np.count_nonzero(everywhere) >= np.count_nonzero(raster.valid):
        return raster.valid if _is_colour(raster.pixels) else everywhere
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    between = [cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, cross) for mask in masks]
    return np.asarray(raster.valid & ~np.any(between, axis=0))


def channel(raster: Raster) -> Image:
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
        return np.asarray(np.mean([_stretched(band, raster.valid) for band in pixels], axis=0, dtype=np.float32))
    masks = raster.band_valid & raster.valid
    total = np.sum([_stretched(*band) for band in zip(pixels, masks, strict=True) if band[1].any()], axis=0)
    return as_image(total / np.maximum(np.count_nonzero(masks, axis=0), 1))


def colour(raster: Raster) -> Image:
    """(H, W, 3) float32 in [0, 1]: 8-bit red, green and blue as they are, the one channel three times of all else; 0
    where invalid. What networks that learned from photographs expect."""
    if _is_colour(raster.pixels):
        return np.ascontiguousarray((raster.pixels * raster.valid).transpose(1, 2, 0), np.float32) / np.float32(255)
    return np.repeat(channel(raster)[..., None], 3, axis=2)


def _is_colour(pixels: AnyArray) -> bool:
    return len(pixels) == 3 and pixels.dtype == np.uint8


def _stretched(band: AnyArray, valid: Mask) -> Image:
    # float64 first: int64 and uint32 do not fit into float32 without loss of the differences that matter.
    values = np.where(valid, band, 0).astype(np.float64)
    low, high = np.percentile(values[valid], STRETCH_PERCENT)
    if high <= low:
        low, high = values[valid].min(), values[valid].max()
    if high <= low:
        return np.zeros(band.shape, np.float32)
    return np.where(valid, np.clip((values - low) / (high - low), 0.0, 1.0), 0.0).astype(np.float32)


def warped_view(view: View, to_grid: Floats, size: tuple[int, int]) -> View:
    """The view on another grid of (width, height) px, by the affine (3, 3) `to_grid`, view px -> grid px."""
    onto = to_centre_matrix(to_grid)
    image, cover = warped_masked(view.image, view.valid, onto, size)
    colour = [warped_masked(plane, view.valid, onto, size)[0] for plane in _colour_planes(view)]
    return _where_covered(image, cover, colour, replace(view, to_pixel=view.to_pixel @ np.linalg.inv(to_grid)))


def remapped_view(view: View, backward: Transform, size: tuple[int, int]) -> View:
    """The view on another grid of (width, height) px, by a map of any kind, grid px -> view px.

    Where the map is not finite nothing is valid. `to_pixel` still leads from the view that was given: the caller knows
    what the grid's own is.
    """
    at = to_centre_xy(backward(pixel_centres(*size)))
    image, cover = remapped_masked(view.image, view.valid, at)
    colour = [remapped_masked(plane, view.valid, at)[0] for plane in _colour_planes(view)]
    return _where_covered(image, cover, colour, view)


def _colour_planes(view: View) -> list[Image]:
    return [] if view.colour is None else [np.ascontiguousarray(plane) for plane in view.colour.transpose(2, 0, 1)]


def _where_covered(image: Image, cover: Image, colour: list[Image], view: View) -> View:
    """`view` with interpolated planes, valid where more than half of a pixel comes from what was."""
    valid = cover > 0.5
    planes = [np.where(valid, plane, np.float32(0)) for plane in (image, *colour)]
    return replace(view, image=planes[0], valid=valid, colour=np.dstack(planes[1:]) if colour else None)
