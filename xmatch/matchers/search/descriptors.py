"""Descriptors that survive a change of sensor: where edges run, and how surely, but not which side is brighter.

A gradient (gx, gy) of length m and angle phi is written as the complex numbers m' exp(2i phi) and m' exp(4i phi).
Doubling the angle makes them blind to contrast inversion; m' is m divided by its local mean, so that a faint
edge in a dark field counts as much as a bright one. The products of two such fields, summed over the overlap,
are the low Fourier orders of correlating oriented-gradient histograms (CFOG: Ye et al., TGRS 57, 2019; gradient
fields in Fourier space: Fitch et al., BMVC 2002), and turning the image by t only multiplies order k by exp(ikt).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from xmatch.coords import Floats, Image, Mask, as_image
from xmatch.geometry.masked import LEAST_COVER

ORDERS = (2, 4)
"""Multiples of the gradient's angle: even, so that contrast may be inverted."""
WEIGHTS = (1.0, 0.5)
"""Share of each order in the score: the second sharpens the direction, the first is steadier. Not tuned."""

SMOOTHING_PX = 1.0
"""Of the image, before gradients are taken. Not tuned."""
NEIGHBOURHOOD_PX = 6.0
"""An edge's strength is relative to the mean this far around. Not tuned."""
NOISE_FLOOR = 0.1
"""Share of the image's own mean that keeps sensor noise in flat areas from passing for structure. Not tuned."""
STRONGEST = 2.5
"""No edge counts for more. Not tuned."""
TRUSTED_RIM_PX = int(np.ceil(2 * SMOOTHING_PX)) + 1
"""Gradients this near to what is not valid are dropped."""


@dataclass(frozen=True, eq=False)
class DescriptorMap:
    """What is where in an image of (h, w) px or cells: planes that turn with it."""

    planes: Image
    """(h, w, 2 k) float32: real and imaginary part for each of `orders`, by weight; 0 where not valid."""
    valid: Image
    """(h, w) float32, 1 where the planes are to be believed."""
    orders: tuple[int, ...] = ORDERS
    """By how many times the image's turn each pair of planes turns; 0: two planes of plain numbers. All are even."""


def edge_descriptors(image: Image, valid: Mask, orders: int = 2) -> DescriptorMap:
    """Where edges of `image` run and how strong they are; `image` (h, w) float32 in [0, 1] where `valid` (h, w) bool.

    What lies outside `valid` has no say: it is filled smoothly and an edge's breadth along it is dropped, so
    neither a black collar nor whatever stands in it leaves a trace.
    """
    root = as_image(cv2.GaussianBlur(rooted(image, valid, 4 * SMOOTHING_PX), (0, 0), SMOOTHING_PX))
    gx = as_image(cv2.Scharr(root, cv2.CV_32F, 1, 0, scale=1 / 32))
    gy = as_image(cv2.Scharr(root, cv2.CV_32F, 0, 1, scale=1 / 32))
    trusted = _shrunk(valid, TRUSTED_RIM_PX).astype(np.float32)
    squared = (gx * gx + gy * gy) * trusted
    around = mean_around(squared, trusted, NEIGHBOURHOOD_PX)
    floor = squared.sum() / max(float(trusted.sum()), 1.0)
    strength = np.sqrt(squared) / (np.sqrt(around) + NOISE_FLOOR * np.sqrt(floor) + 1e-6)
    strength = np.minimum(np.sqrt(strength), STRONGEST) * trusted
    length = np.sqrt(squared) + 1e-9
    cos1, sin1 = gx * trusted / length, gy * trusted / length
    cos2, sin2 = cos1 * cos1 - sin1 * sin1, 2 * cos1 * sin1
    parts = [strength * cos2, strength * sin2]
    if orders > 1:
        weighted = strength * np.float32(np.sqrt(WEIGHTS[1]))
        parts += [weighted * (cos2 * cos2 - sin2 * sin2), weighted * (2 * cos2 * sin2)]
    return DescriptorMap(np.dstack(parts).astype(np.float32, copy=False), trusted, ORDERS[:orders])


def rooted(image: Image, valid: Mask, reach_px: float) -> Image:
    """Square root of `image` (h, w): halfway to the logarithm that turns speckle additive, without its trouble at 0.

    What is not valid goes on smoothly from what is, over `reach_px`.
    """
    root = as_image(np.sqrt(np.clip(np.where(valid, image, 0.0), 0.0, 1.0)))
    if valid.all():
        return root
    return as_image(np.where(valid, root, mean_around(root, valid.astype(np.float32), reach_px)))


def centred(source: DescriptorMap) -> DescriptorMap:
    """The descriptors without their mean: a town's street grid must not match another's for its direction alone."""
    mean = source.planes.sum(axis=(0, 1)) / max(float(source.valid.sum()), 1.0)
    return replace(source, planes=source.planes - mean * source.valid[..., None])


def blurred(source: DescriptorMap, sigma_px: float) -> DescriptorMap:
    """The descriptors smoothed by a Gaussian of `sigma_px`, within what is valid."""
    if sigma_px <= 0:
        return source
    cover = np.maximum(as_image(cv2.GaussianBlur(source.valid, (0, 0), sigma_px)), LEAST_COVER)
    smooth = as_image(cv2.GaussianBlur(source.planes, (0, 0), sigma_px))
    return replace(source, planes=as_image(smooth / cover[..., None]))


def warped(source: DescriptorMap, matrix_2x3: Floats, size: tuple[int, int]) -> DescriptorMap:
    """The descriptors as they would look after the affine map `matrix_2x3` (centre-counted px) onto (width, height) px.

    The turn is read from the map; its scale is left to the caller, who resizes the image first when it matters.
    """
    a, b, c, d = matrix_2x3[0, 0], matrix_2x3[0, 1], matrix_2x3[1, 0], matrix_2x3[1, 1]
    mirrored = a * d - b * c < 0
    angle = np.arctan2(c - b, a + d) if not mirrored else np.arctan2(c + b, a - d)
    parts = []
    # OpenCV warps four planes at a time at most.
    for i in range(0, len(source.orders), 2):
        orders = source.orders[i : i + 2]
        planes = np.ascontiguousarray(source.planes[..., 2 * i : 2 * i + 4])
        mixture = np.zeros((2 * len(orders), 2 * len(orders)), np.float32)
        for k, order in enumerate(orders):
            cos, sin, sign = np.cos(order * angle), np.sin(order * angle), -1 if mirrored and order else 1
            mixture[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[cos, -sin * sign], [sin, cos * sign]]
        parts.append(cv2.transform(cv2.warpAffine(planes, matrix_2x3, size, flags=cv2.INTER_LINEAR), mixture))
    mixed = as_image(parts[0] if len(parts) == 1 else np.dstack(parts))
    valid = as_image(cv2.warpAffine(source.valid, matrix_2x3, size, flags=cv2.INTER_LINEAR))
    return replace(source, planes=mixed, valid=valid)


def agreement(fixed: DescriptorMap, moving_on_fixed: DescriptorMap) -> Floats:
    """(3, planes) sums over the overlap: of the products of the two descriptors' planes, and of each one's squares."""
    weight = (fixed.valid * moving_on_fixed.valid).ravel()
    one, other = (source.planes.reshape(weight.size, -1) for source in (fixed, moving_on_fixed))
    # As products with a vector: numpy's own sums over two axes at once take three times as long.
    return np.stack([weight @ (one * other), weight @ (one * one), weight @ (other * other)]).astype(np.float64)


def mean_around(values: Image, weight: Image, sigma_px: float) -> Image:
    """Gaussian mean that counts only weighted pixels."""
    total = as_image(cv2.GaussianBlur(values * weight, (0, 0), sigma_px))
    return as_image(total / np.maximum(as_image(cv2.GaussianBlur(weight, (0, 0), sigma_px)), LEAST_COVER))


def _shrunk(valid: Mask, radius_px: int) -> Mask:
    """`valid` without a rim of `radius_px`; the image's own edge counts as one too."""
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    return cv2.erode(valid.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)


class Descriptor(Protocol):
    """From an image to the descriptors that are correlated."""

    stride: int
    """Pixels a cell of them."""

    def __call__(self, image: Image, valid: Mask) -> DescriptorMap:
        """Descriptors of an image (h, w) float32 where `valid` (h, w) bool; sides divided by the stride, rounded up."""
