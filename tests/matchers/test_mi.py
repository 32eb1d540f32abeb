"""Mutual information: indifferent to how grey levels map onto each other, and able to start from nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import corner_error_px, folded, inverted, pose, scene, seen_from, view

from xmatch.matchers.base import SearchRange
from xmatch.matchers.mi import MutualInformationMatcher

WIDTH, HEIGHT = 128, 112


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(WIDTH, HEIGHT, seed=7)


def match(image, moving, **within):
    return MutualInformationMatcher()(view(image), moving, SearchRange(**within), seed=0, threads=1)


def test_an_unlike_view_is_found_at_any_turn(image):
    truth = pose(WIDTH, HEIGHT, turn_deg=-110, scale=1.2, shift=(5, -7))
    moving = seen_from(folded(image), truth)
    best, *others = match(image, moving, min_scale=0.8, max_scale=1.4).proposals
    assert corner_error_px(best.matrix, truth, moving) < 1
    assert all(best.score > 2 * other.score for other in others)


def test_the_scale_is_found_too(image):
    truth = pose(WIDTH, HEIGHT, turn_deg=12, scale=0.6)
    moving = seen_from(inverted(image), truth)
    best = match(image, moving, max_angle_deg=20).proposals[0]
    assert best.scale == pytest.approx(0.6, rel=0.01)
    assert corner_error_px(best.matrix, truth, moving) < 1


def test_a_mirrored_view_is_found_when_asked_for(image):
    truth = pose(WIDTH, HEIGHT, turn_deg=25, shift=(-4, 3), mirror=True)
    moving = seen_from(folded(image), truth)
    best = match(image, moving, mirror=True, max_angle_deg=30, min_scale=0.95, max_scale=1.05).proposals[0]
    assert corner_error_px(best.matrix, truth, moving) < 1


def test_a_prior_is_followed(image):
    """A patch that occurs twice: the prior says which of the two is meant."""
    twice = image.copy()
    twice[60:110, 70:120] = image[2:52, 4:54]
    moving = view(1 - image[2:52, 4:54])
    narrow = {"max_angle_deg": 5, "min_scale": 0.97, "max_scale": 1.03, "near": True, "max_shift": 0.15}
    for x, y in ((4, 2), (70, 60)):
        centre = np.array([[1.0, 0.0, x + 6], [0.0, 1.0, y - 5], [0.0, 0.0, 1.0]])
        found = match(twice, moving, centre=centre, **narrow).proposals[0].matrix
        assert np.allclose(found[:2, 2], (x, y), atol=1)
