"""Black collars that no file declares: the frame around an image that was turned inside its own canvas.

A matcher that sees one locks onto its edge, which repeats the turn of the canvas and says nothing of the content.
"""

from __future__ import annotations

import cv2
import numpy as np

from xmatch.coords import AnyArray, Mask

DARK = (0.04, 0.02, 0.01, 0.0)
"""Shares of the bright end (99th percentile) up to which a pixel may belong to a collar, tried in turn: JPEG leaves
ringing there, and dark content that touches the collar is told from it by a stricter bound only. Not tuned."""
MIN_SHARE = 0.005
"""Of the image: a thinner frame misleads nobody. Not tuned."""
MIN_SOLIDITY = 0.97
"""What is left of the image must fill its convex hull so far: a turned frame does, a night skyline does not. Not
tuned."""
RIM_PX = 2
"""Of the frame's border, which resampling has blurred. Not tuned."""
LEAST_REST = 0.2
"""Share of the image that must be left: more collar than that is a dark image. Not tuned."""


def collar(pixels: AnyArray) -> Mask | None:
    """(H, W) bool, True on the collar of `pixels` (C, H, W), or None when there is none.

    A collar is dark in all bands, reaches the image's border, and leaves one convex region.
    """
    brightest = np.abs(pixels).max(axis=0).astype(np.float32)
    bright_end = np.percentile(brightest, 99)
    for share in DARK:
        found = _convex_rest(brightest <= share * bright_end)
        if found is not None:
            return found
    return None


def _convex_rest(dark: Mask) -> Mask | None:
    """What lies outside the convex region that `dark` leaves, when it leaves one and reaches the border."""
    _, labels = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    found = np.isin(labels, np.unique(rim[rim > 0]))
    if found.mean() < MIN_SHARE:
        return None
    kernel = np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)
    # Dark specks inside touch the collar here and there; closing what is left keeps them from counting as dents.
    rest = cv2.morphologyEx((~found).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    outlines, _ = cv2.findContours(rest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)
    hull = cv2.convexHull(largest)
    if (
        cv2.contourArea(largest) < MIN_SOLIDITY * cv2.contourArea(hull)
        or cv2.contourArea(hull) < LEAST_REST * rest.size
    ):
        return None
    inside = cv2.fillConvexPoly(np.zeros(rest.shape, np.uint8), hull, 1)
    inside = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    outside = inside == 0
    return outside if outside.mean() >= MIN_SHARE else None
