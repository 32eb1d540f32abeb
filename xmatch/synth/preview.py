"""A picture of some pairs, to see at a glance whether they are what was meant."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from xmatch.synth.samples import StoredPair

TILE_PX = 192
"""Side of an image on the sheet; not tuned, three stand side by side on any screen."""
CHECKER_TILES = 6
"""Squares along a side of the checkerboard; not tuned."""
LABEL_PX = 18
"""Height of the line of text above a row."""


def contact_sheet(samples: Sequence[StoredPair]) -> np.ndarray:
    """(H, W, 3) uint8, red first: a row per pair: fixed, moving, and a checkerboard of both on fixed's grid.

    The checkerboard is grey where moving does not show what fixed shows.
    """
    return np.concatenate([_row(sample) for sample in samples], axis=0)


def warped_onto_fixed(sample: StoredPair) -> np.ndarray:
    """Moving on fixed's grid by the stored truth, (H, W[, 3]) uint8."""
    places = sample.moving_xy - 0.5  # OpenCV counts from the centre of the first px
    return cv2.remap(sample.moving, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _row(sample: StoredPair) -> np.ndarray:
    fixed, moving, warped = map(_colour, (sample.fixed, sample.moving, warped_onto_fixed(sample)))
    height, width = fixed.shape[:2]
    cell = max(1, height // CHECKER_TILES)
    rows, columns = np.indices((height, width)) // cell
    board = np.where(((rows + columns) % 2 == 0)[..., None], fixed, warped)
    board = np.where(sample.covisible[..., None], board, 128).astype(np.uint8)
    tiles = [cv2.resize(tile, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA) for tile in (fixed, moving, board)]
    label = np.full((LABEL_PX, 3 * TILE_PX, 3), 255, np.uint8)
    text = f"{' - '.join(sample.facts['modalities'])}   {sample.facts['covisible_share']:.0%} seen in both"
    cv2.putText(label, text, (4, LABEL_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([label, np.concatenate(tiles, axis=1)], axis=0)


def _colour(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
