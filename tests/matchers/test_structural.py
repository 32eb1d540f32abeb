"""The structural matcher finds a view wherever it lies, though the other sensor shows dark for bright."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from made_views import corner_error_px, inverted, pose, scene, seen_from, view

from xmatch.matchers import structural
from xmatch.matchers.base import Matches, SearchRange
from xmatch.matchers.registry import load_matcher, load_plan
from xmatch.matchers.search.fourier import distinct, search
from xmatch.matchers.search.turns_and_scales import scales_within
from xmatch.matchers.structural import Structural

SIDE = 112
NARROW = {"max_angle_deg": 12, "min_scale": 0.95, "max_scale": 1.05}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE, seed=2)


def match(fixed, moving, **within):
    cv2.setNumThreads(1)
    return Structural()(fixed, moving, SearchRange(**within), seed=0, threads=1)


@pytest.mark.parametrize("turn_deg, scale", [(70, 1.3), (-110, 0.8), (180, 1.0)])
def test_a_turned_and_scaled_view_of_inverted_contrast_is_found(image, turn_deg, scale):
    truth = pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=(4, -6))
    moving = seen_from(inverted(image), truth)
    best, *others = match(view(image), moving, min_scale=0.75, max_scale=1.35).proposals
    assert corner_error_px(best.matrix, truth, moving) < 2
    assert all(other.score < 0.5 * best.score for other in others)


def test_a_mirrored_view_is_found_when_asked_for(image):
    truth = pose(SIDE, SIDE, turn_deg=35, shift=(3, 5), mirror=True)
    moving = seen_from(inverted(image), truth)
    found = match(view(image), moving, mirror=True, max_angle_deg=40, min_scale=0.95, max_scale=1.05)
    assert corner_error_px(found.proposals[0].matrix, truth, moving) < 2


def test_no_mirrored_pose_is_offered_unasked(image):
    moving = seen_from(image, pose(SIDE, SIDE, mirror=True))
    assert all(np.linalg.det(h.matrix[:2, :2]) > 0 for h in match(view(image), moving, **NARROW).proposals)


@pytest.mark.parametrize("x, y", [(4, 2), (58, 50)])
def test_of_two_like_places_the_prior_picks_its_own(image, x, y):
    twice = image.copy()
    twice[50:106, 58:108] = image[2:58, 4:54]
    moving = view(1 - image[2:58, 4:54])
    centre = np.array([[1.0, 0.0, x + 5], [0.0, 1.0, y - 4], [0.0, 0.0, 1.0]])
    found = match(view(twice), moving, centre=centre, near=True, max_shift=0.15, **NARROW).proposals[0].matrix
    assert np.allclose(found[:2, 2], (x, y), atol=1)


def test_the_range_is_relative_to_the_prior_turn_and_scale(image):
    truth = pose(SIDE, SIDE, turn_deg=140, scale=1.25, shift=(2, 3))
    moving = seen_from(inverted(image), truth)
    centre = pose(SIDE, SIDE, turn_deg=148, scale=1.22)
    assert corner_error_px(match(view(image), moving, centre=centre, **NARROW).proposals[0].matrix, truth, moving) < 2


def test_views_of_unlike_shapes_are_matched(image):
    """Moving is a narrow strip of fixed, seen at twice the resolution."""
    strip = cv2.resize(image[20:60, 8:104], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    truth = np.array([[0.5, 0.0, 8.0], [0.0, 0.5, 20.0], [0.0, 0.0, 1.0]])
    found = match(view(image), view(1 - strip), centre=np.diag([0.52, 0.52, 1.0]), **NARROW)
    assert corner_error_px(found.proposals[0].matrix, truth, view(strip)) < 1


def test_a_collar_that_is_declared_leaves_no_trace(image):
    """A bright frame that stands still while the scene below it has moved: the strongest edges there are."""
    truth = pose(SIDE, SIDE, turn_deg=9, shift=(7, -5))
    moving = seen_from(image, truth)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[14:-14, 14:-14] = True
    pair = [view(v.image, v.valid & inside) for v in (view(image), moving)]
    framed = [view(v.image, v.valid) for v in pair]
    for v in framed:
        v.image[~inside] = 1.0 + 0.5 * np.indices(inside.shape).sum(axis=0)[~inside] % 2
    clean, found = match(*pair, **NARROW), match(*framed, **NARROW)
    assert corner_error_px(clean.proposals[0].matrix, truth, moving) < 2
    assert [h.score for h in found.proposals] == [h.score for h in clean.proposals]


def test_search_offers_distinct_poses_best_first_and_no_more_than_asked(image):
    moving = view(image[::-1, ::-1])
    wide = SearchRange(min_scale=0.9, max_scale=1.1)
    poses = search(view(image), moving, wide, side_px=64, angle_step_deg=8, scale_step=1.1, keep=5)
    assert 1 < len(poses) <= 5
    assert [p.score for p in poses] == sorted((p.score for p in poses), reverse=True)
    assert len(distinct(poses, moving, limit=5, apart=0.08)) == len(poses)
    assert corner_error_px(poses[0].matrix, pose(SIDE, SIDE, turn_deg=180), moving) < 6


@pytest.mark.parametrize("bounds", [(1.2, 1.9), (0.4, 0.7), (0.9, 0.9), (1.0, 1.0)])
def test_a_range_ofscales_within_without_one_in_it_is_covered_from_end_to_end(bounds):
    low, high = bounds
    scales = scales_within(SearchRange(centre=np.diag([2.0, 2.0, 1.0]), min_scale=low, max_scale=high), 1.1)
    assert (scales.min(), scales.max()) == (pytest.approx(2 * low), pytest.approx(2 * high))
    assert (np.diff(np.log(np.sort(scales))) < np.log(1.1) + 1e-9).all()


def test_a_search_that_was_made_is_not_made_again(image, monkeypatch):
    asked = []
    monkeypatch.setattr(structural, "search", lambda *a, **k: asked.append(k["descriptor"]) or search(*a, **k))
    _, first, second = (stage.build() for stage in load_plan("auto"))
    views = view(image), seen_from(inverted(image), pose(SIDE, SIDE, turn_deg=5))
    within = SearchRange(**NARROW)
    found = second(*views, within, earlier=first(*views, within))
    assert len(asked) == 2 and asked[0] is not asked[1], "by edges once, and by the network once"
    alone = load_matcher("xmatch-fields")(*views, within)
    assert [p.matrix.tolist() for p in found.proposals] == [p.matrix.tolist() for p in alone.proposals]
    asked.clear()
    second(*views, within, earlier=Matches(found.proposals))
    assert len(asked) == 2, "another kind of matcher has not searched by edges"


@pytest.mark.parametrize("name, stage", [("structural", 0), ("auto", 1)])
def test_edges_are_searched_on_the_device_that_is_asked_for(image, monkeypatch, name, stage):
    asked = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr(
        "xmatch.matchers.search.on_device.propose",
        lambda pairs, settings, device, describe: asked.append(device) or [[] for _ in pairs],
    )
    matcher = load_plan(name, device="cuda:0")[stage].build()
    assert matcher(view(image), view(image), SearchRange(**NARROW)).edge_proposals == () and asked == ["cuda:0"]
    assert match(view(image), view(image), **NARROW).proposals and asked == ["cuda:0"]
