"""The search by learned fields finds where a view lies; even chance features know an image again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import corner_error_px, pose, scene, seen_from, view

from tests.models.test_matcher import TINY
from xmatch.matchers import SearchRange
from xmatch.matchers.fields import search_fields
from xmatch.matchers.network import Network
from xmatch.models import XMatch

SIDE = 160
SETTINGS = {"side_px": 128, "angle_step_deg": 30.0, "scale_step": 1.3, "keep": 4}


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(XMatch(TINY))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE)


def error(found, truth: np.ndarray) -> float:
    return corner_error_px(found[0].matrix, truth, view(np.zeros((SIDE, SIDE), np.float32)))


@pytest.mark.parametrize(("turn_deg", "scale"), [(0, 1.0), (90, 1.0), (-120, 1.0), (180, 0.77)])
def test_turned_and_rescaled_views_are_found(network, image, turn_deg, scale):
    truth = pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=(7, -4))
    found = search_fields(
        network, view(image), seen_from(image, truth), SearchRange(min_scale=0.77, max_scale=1.3), **SETTINGS
    )
    assert error(found, truth) < 8
    assert all(a.score >= b.score for a, b in zip(found, found[1:], strict=False))


def test_a_prior_that_is_near_is_kept_to(network, image):
    truth = pose(SIDE, SIDE, shift=(40, 0))
    moving = seen_from(image, truth)
    near = {"max_angle_deg": 0.0, "min_scale": 1.0, "max_scale": 1.0, "near": True, "max_shift": 0.1}
    right = search_fields(network, view(image), moving, SearchRange(centre=truth, **near), **SETTINGS)
    assert error(right, truth) < 8
    elsewhere = SearchRange(centre=pose(SIDE, SIDE, shift=(-40, 0)), **near)
    wrong = search_fields(network, view(image), moving, elsewhere, **SETTINGS)
    assert all(np.hypot(*(p.matrix[:2, 2] - elsewhere.centre[:2, 2])) < 0.1 * SIDE + 8 for p in wrong)


def test_what_is_not_valid_has_no_say(network, image):
    truth = pose(SIDE, SIDE, turn_deg=90)
    moving = seen_from(image, truth)
    valid = moving.valid.copy()
    valid[:, :40] = False
    filled = [np.where(valid, moving.image, fill).astype(np.float32) for fill in (0.0, 1.0)]
    one, other = (
        search_fields(network, view(image), view(plane, valid), SearchRange(max_scale=1.0, min_scale=1.0), **SETTINGS)
        for plane in filled
    )
    assert [p.score for p in one] == pytest.approx([p.score for p in other], abs=1e-4)


def test_mirrored_views_are_found_when_asked_for(network, image):
    over = np.array([[-1.0, 0, SIDE], [0, 1, 0], [0, 0, 1]])
    within = SearchRange(max_angle_deg=0.0, min_scale=1.0, max_scale=1.0, mirror=True)
    found = search_fields(network, view(image), seen_from(image, over), within, **SETTINGS)
    assert error(found, over) < 8
