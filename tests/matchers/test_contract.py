"""What every matcher promises, whatever it looks at."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from made_views import corner_error_px, pose, scene, seen_from, view

from xmatch.matchers.base import Matcher, Matches, SearchRange
from xmatch.matchers.correspondence import CorrespondenceMatcher
from xmatch.matchers.registry import MATCHERS, load_matcher, load_plan
from xmatch.networks.keypoints import MutualNearest
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.sift.detector import SiftDetector
from xmatch.networks.weights import shipped

NARROW = SearchRange(max_angle_deg=9, min_scale=0.9, max_scale=1.1)
"""Enough for poses near the identity, and quick."""
SIDE = 112


KEYPOINTS = "keypoints"
"""What runs networks that find correspondences; SIFT takes the place of a published one, which does not come along."""
FETCHED = {entry.matcher for entry in ARCHITECTURES.values()} - {None, *shipped()}


@cache
def loaded(name: str) -> Matcher:
    if name == KEYPOINTS:
        return CorrespondenceMatcher(KEYPOINTS, MutualNearest(SiftDetector("cpu"), least_similarity=0.85))
    return load_matcher(name, device="cpu")


@pytest.fixture(params=[*(name for name in MATCHERS if name not in {"auto", *FETCHED}), KEYPOINTS])
def match(request, monkeypatch):
    # The dense network as it ships, on views of the size that the images here have: a tenth of the time.
    monkeypatch.setattr("xmatch.matchers.dense.SIDE_PX", SIDE)
    monkeypatch.setattr("xmatch.matchers.dense.FINER_PX", ())
    matcher = loaded(request.param)
    assert matcher.name == request.param
    cv2.setNumThreads(1)

    def run(fixed, moving, within=NARROW, seed=3, threads=1) -> Matches:
        return matcher(fixed, moving, within, seed=seed, threads=threads)

    return run


def test_auto_asks_matchers_that_keep_the_contract_one_after_the_other():
    stages = load_plan("auto", device="cpu")
    assert [stage.name for stage in stages] == ["sift", "structural", "xmatch-fields"]
    assert [stage.build().name for stage in stages] == [stage.name for stage in stages]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE)


def ragged(seed: int) -> np.ndarray:
    """(SIDE, SIDE) bool: most of the view, without a slanting corner and with a hole."""
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    return (x + (2 + seed) * y > 30) & (np.hypot(x - 70, y - 40 - 5 * seed) > 9)


def same(one: Matches, other: Matches) -> bool:
    pairs = zip(one.proposals, other.proposals, strict=True)
    return all(a.score == b.score and np.array_equal(a.matrix, b.matrix) for a, b in pairs) and all(
        np.array_equal(getattr(one.correspondences, name), getattr(other.correspondences, name))
        for name in ("fixed_xy", "moving_xy", "certainty")
    )


def assert_sound(matches: Matches) -> None:
    """Finite, in order, and maps that can be inverted."""
    assert all(np.isfinite(h.matrix).all() and np.isfinite(h.score) and h.scale > 1e-3 for h in matches.proposals)
    assert all(np.array_equal(h.matrix[2], [0, 0, 1]) for h in matches.proposals)
    scores = [h.score for h in matches.proposals]
    assert scores == sorted(scores, reverse=True)
    found = matches.correspondences
    assert np.isfinite(found.fixed_xy).all() and np.isfinite(found.moving_xy).all()
    assert ((found.certainty >= 0) & (found.certainty <= 1)).all()


def assert_empty(matches: Matches) -> None:
    assert not matches.proposals and not len(matches.correspondences)


def test_an_image_lies_on_itself(match, image):
    matches = match(view(image), view(image))
    assert_sound(matches)
    assert corner_error_px(matches.proposals[0].matrix, np.eye(3), view(image)) < 1


def test_the_same_input_gives_the_same_output_on_any_number_of_threads(match, image):
    moving = seen_from(image, pose(SIDE, SIDE, turn_deg=6, shift=(4, -3)))
    once = match(view(image), moving)
    assert once.proposals
    assert same(once, match(view(image), moving, threads=2))


def test_what_lies_outside_the_masks_has_no_say(match, image):
    moving = seen_from(image, pose(SIDE, SIDE, turn_deg=-7, shift=(2, 5)))
    pair = [view(image, ragged(0)), view(moving.image, moving.valid & ragged(1))]
    rng = np.random.default_rng(5)
    littered = [view(v.image, v.valid) for v in pair]
    for v in littered:
        v.image[~v.valid] = rng.random((~v.valid).sum()) * 40 - 20
    clean = match(*pair)
    assert clean.proposals
    assert same(clean, match(*littered))


def test_every_correspondence_lies_on_valid_pixels(match, image):
    fixed, moving = view(image, ragged(0)), view(image, ragged(1))
    found = match(fixed, moving).correspondences
    for v, xy in ((fixed, found.fixed_xy), (moving, found.moving_xy)):
        # A keypoint's mask is read at the pixel nearest to it.
        near = cv2.dilate(v.valid.astype(np.uint8), np.ones((3, 3)))
        x, y = np.floor(xy).astype(int).T
        assert near[y, x].all()


def test_a_moving_view_of_another_shape_is_no_trouble(match, image):
    moving = view(image[10:100, 5:])
    found = match(view(image), moving)
    best = found.proposals[0].matrix if found.proposals else found.maps[0].to_fixed.matrix
    truth = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 10.0], [0.0, 0.0, 1.0]])
    # Trained keypoints are whole px, and a match of theirs is right within 3: tie points make it exact later.
    assert corner_error_px(best, truth, moving) < (5.0 if found.maps and not found.proposals else 1.5)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_flat_image_matches_nothing(match, image, level):
    flat = view(np.full_like(image, level))
    assert_empty(match(view(image), flat))
    assert_empty(match(flat, view(image)))


def test_nothing_valid_matches_nothing(match, image):
    nothing = view(image, np.zeros_like(image, bool))
    assert_empty(match(view(image), nothing))
    assert_empty(match(nothing, view(image)))


@pytest.mark.parametrize("size", [(20, 20), (1, 1), (3, 90), (90, 3)])
def test_tiny_and_thin_views_break_nothing(match, image, size):
    tiny = view(image[: size[1], : size[0]])
    for fixed, moving in ((view(image), tiny), (tiny, view(image)), (tiny, tiny)):
        assert_sound(match(fixed, moving))


def test_a_few_stray_valid_pixels_break_nothing(match, image):
    stray = view(image, np.random.default_rng(0).random(image.shape) < 0.06)
    assert_sound(match(view(image), stray))
    assert_sound(match(stray, view(image)))


def test_noise_against_noise_breaks_nothing(match):
    noise = [view(np.random.default_rng(seed).random((96, 96)).astype(np.float32)) for seed in (1, 2)]
    assert_sound(match(*noise, within=replace(NARROW, mirror=True)))


def test_a_prior_that_rules_the_truth_out_is_kept_to(match, image):
    """Moving is the fixed view's lower right; the prior says that it lies in the upper left, within a few pixels."""
    moving = view(image[40:, 40:])
    within = SearchRange(max_angle_deg=10, min_scale=0.95, max_scale=1.05, near=True, max_shift=0.15)
    middle = np.array([moving.width / 2, moving.height / 2, 1.0])
    for pose_found in match(view(image), moving, within).proposals:
        # A matcher may still climb a little way from where it was allowed to start.
        assert np.linalg.norm((pose_found.matrix @ middle - middle)[:2]) < 0.15 * SIDE + 12
