"""What should not be laid on each other as a whole: refused, or answered by a stiff map that says what it leaves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scenes import FIXED_AT, SIDE, distance_px, ground, optical, placed, radar, registered, seen, to_fixed, write

from xmatch.coords import pixel_centres, to_centre_xy

LAND, ELSEWHERE = ground(11), ground(23)


@pytest.fixture
def laid(tmp_path):
    """Registers pixels of two sensors, and of moving only what is valid."""

    def registers(fixed, moving, valid=None, **options):
        paths = write(tmp_path / "fixed.tif", fixed), write(tmp_path / "moving.tif", moving, valid)
        return registered(*paths, **{"matcher": "structural"} | options)

    return registers


def lattice(shift_px: float, seed: int) -> np.ndarray:
    """Identical marks, 30 px apart each way, under some noise."""
    across, down = (pixel_centres(SIDE, SIDE) - shift_px).transpose(2, 0, 1) % 30 - 15
    marks = cv2.GaussianBlur(((np.abs(across) < 6) & (np.abs(down) < 4)).astype(np.float32), (0, 0), 0.7)
    return np.clip(0.2 + 0.7 * marks + np.random.default_rng(seed).normal(0, 0.03, marks.shape), 0, 1).astype(
        np.float32
    )


def coast(at_px: float, seed: int) -> np.ndarray:
    """A straight line between land and water, neither of which shows anything that is there a second time."""
    beyond = pixel_centres(SIDE, SIDE) @ (np.cos(0.4), np.sin(0.4)) - at_px
    ripples = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 0.09, beyond.shape), (0, 0), 1.5)
    return np.clip(0.2 + 0.6 / (1 + np.exp(-beyond)) + ripples, 0, 1).astype(np.float32)


def test_a_pattern_that_repeats_is_refused_as_such(laid):
    found = laid(optical(lattice(0.0, 1)), radar(lattice(9.0, 2)))
    assert not found.verdict.accepted and "repeats" in found.verdict.reason


def test_one_straight_coast_does_not_say_where_along_it(laid):
    assert not laid(optical(coast(130, 1)), radar(coast(118, 2))).verdict.accepted


@pytest.mark.parametrize("stranger", [ELSEWHERE, LAND], ids=["another place", "the same place, laid otherwise"])
def test_of_a_collage_the_half_that_fits_is_laid_and_the_other_one_is_told(laid, stranger):
    here = placed(shift_px=(12, -8))
    moving = np.hstack([seen(LAND, here)[:, : SIDE // 2], seen(stranger, placed(shift_px=(-30, 24)))[:, SIDE // 2 :]])
    found = laid(optical(seen(LAND, FIXED_AT)), radar(moving))
    assert found.transform.matrix is not None and distance_px(found.transform, to_fixed(here)) < 1
    assert "something else there" in found.verdict.reason


@pytest.mark.parametrize(
    ("parallax_px", "raised"), [(6, np.s_[50:190, 40:200]), (25, np.s_[:, 140:])], ids=["a roof", "a plateau"]
)
def test_two_planes_at_different_depth_are_not_said_to_fit_all_over(laid, parallax_px, raised):
    """Four in ten px stand up: by less than tie points look, and by more."""
    below, above = (seen(LAND, placed(shift_px=(shift, 0))) for shift in (4, 4 + parallax_px))
    moving = below.copy()
    moving[raised] = above[raised]
    found = laid(optical(seen(LAND, FIXED_AT)), radar(moving))
    if parallax_px < 10:
        assert found.verdict.accepted
    if found.verdict.accepted and found.transform.matrix is None:
        # A map that bends follows what stands up as far as it says.
        centres = pixel_centres(SIDE, SIDE)
        true = centres + (4.0, 0.0)
        true[raised] += (parallax_px, 0.0)
        off_px = np.linalg.norm(found.transform(centres.reshape(-1, 2)) - true.reshape(-1, 2), axis=1)
        assert np.quantile(off_px, 0.9) < found.verdict.ce90_px
    else:
        assert not found.verdict.accepted or "in a part of the image" in found.verdict.reason


def test_an_image_that_folds_is_refused(laid):
    true = pixel_centres(SIDE, SIDE)
    true[..., 0] += 40 * np.sin(2 * np.pi * true[..., 0] / 150)
    cells = to_centre_xy(FIXED_AT(true.reshape(-1, 2))).astype(np.float32).reshape(SIDE, SIDE, 2)
    moving = cv2.remap(LAND, cells[..., 0], cells[..., 1], cv2.INTER_LINEAR)
    assert not laid(optical(seen(LAND, FIXED_AT)), radar(moving)).verdict.accepted


@pytest.mark.parametrize("shown", [np.s_[20:80, 150:210], np.s_[:, 110:140]], ids=["a corner", "a strip"])
def test_a_moving_image_that_is_mostly_mask_is_refused_for_showing_too_little(laid, shown):
    valid = np.zeros((SIDE, SIDE), bool)
    valid[shown] = True
    found = laid(optical(seen(LAND, FIXED_AT)), radar(seen(LAND, placed(shift_px=(6, -4)))), valid)
    assert not found.verdict.accepted and "Too few tie points" in found.verdict.reason
