"""A pattern that comes again is told from one that is there once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xmatch.geometry import similarity
from xmatch.raster import View
from xmatch.verification.repetition import repetition

SIDE = 200
SHIFT = similarity(0, 1.0, (7, -4)).matrix


def view(image: np.ndarray, valid: np.ndarray | None = None) -> View:
    valid = np.ones(image.shape, bool) if valid is None else valid
    return View(np.where(valid, image, 0).astype(np.float32), valid, np.eye(3))


def rows_of_trees(period_px: float, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    ys, xs = np.mgrid[:SIDE, :SIDE] + 0.5
    trees = np.sign(np.sin(2 * np.pi * (xs + x0) / period_px) * np.sin(2 * np.pi * (ys + y0) / period_px))
    return np.clip(0.5 + 0.3 * trees + np.random.default_rng(int(x0)).normal(0, 0.03, trees.shape), 0, 1)


def scene(x0: int = 0, y0: int = 0) -> np.ndarray:
    land = cv2.resize(np.random.default_rng(2).uniform(0, 1, (30, 30)), (300, 300), interpolation=cv2.INTER_CUBIC)
    return np.clip(land, 0, 1)[50 + y0 : 50 + y0 + SIDE, 50 + x0 : 50 + x0 + SIDE]


@pytest.mark.parametrize("period_px", [10, 16, 30])
def test_rows_repeat(period_px):
    assert repetition(view(rows_of_trees(period_px)), view(rows_of_trees(period_px, 7, -4)), SHIFT) > 0.85


@pytest.mark.parametrize("contrast", [1, -1])
def test_a_scene_does_not_in_either_contrast(contrast):
    moving = scene(7, -4) if contrast > 0 else 1 - scene(7, -4)
    assert repetition(view(scene()), view(moving), SHIFT) < 0.5


def test_a_turned_and_mirrored_scene_is_compared_as_the_alignment_lays_it():
    mirrored = cv2.resize(scene()[:, ::-1], (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    back = np.array([[-2.0, 0, SIDE], [0, 2.0, 0], [0, 0, 1]])
    assert repetition(view(scene()), view(mirrored), back) < 0.5
    assert repetition(view(scene()), view(mirrored), np.diag([2.0, 2.0, 1.0])) > 0.85, "a wrong pose has equals"


def test_nothing_to_compare_is_zero():
    flat = view(np.full((SIDE, SIDE), 0.5))
    assert repetition(flat, flat, np.eye(3)) == 0
    assert repetition(view(scene()), view(scene()), similarity(0, 1.0, (10 * SIDE, 0)).matrix) == 0
    empty = view(scene(), np.zeros((SIDE, SIDE), bool))
    assert repetition(view(scene()), empty, np.eye(3)) == 0
