"""What is tried, and what stands in the end, with matchers that answer as they are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scenes import SIDE, distance_px, georeferenced, ground, optical, placed, radar, registered, seen, to_fixed, write

from xmatch.geometry import homography, translation
from xmatch.io import open_source
from xmatch.matchers.base import Matches, PlanStage, Proposal
from xmatch.matchers.registry import MATCHERS
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register

LAND = ground(4)
AWAY = placed(angle_deg=40.0, shift_px=(6.0, -4.0))
TRUE = to_fixed(AWAY)


class Knowing:
    """A matcher that knows the truth, and says it where `allowed` thinks it may."""

    name = "knowing"
    wants_colour = False

    def __init__(self, pose, allowed):
        self.pose, self.allowed, self.asked = pose, allowed, []

    def __call__(self, fixed, moving, within, *, seed=0, threads=1, earlier=None):
        self.asked.append(within)
        away = np.array([[1.0, 0.0, 60.0], [0.0, 1.0, -50.0], [0.0, 0.0, 1.0]])
        right = np.linalg.inv(fixed.to_pixel) @ self.pose @ moving.to_pixel
        return Matches((Proposal(right if self.allowed(within) else away, 1.0),))


@pytest.fixture
def asked(monkeypatch):
    def register_by(matcher, fixed, moving):
        monkeypatch.setitem(MATCHERS, "knowing", lambda *built_from: matcher)
        with open_source(fixed) as one, open_source(moving) as other:
            return register(one, other, RegisterOptions("knowing", threads=1))

    return register_by


def test_where_nothing_convinces_near_the_georeferencing_every_turn_is_searched(tmp_path, asked):
    """Moving says that it lies upright; its content is turned by 40 degrees, further than a prior is believed."""
    fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())), **georeferenced(placed()))
    moving = write(tmp_path / "moving.tif", radar(seen(LAND, AWAY)), **georeferenced(placed()))
    # With a prior, views of moving lead to px of fixed: what is found corrects the georeferencing, here the identity.
    matcher = Knowing(TRUE.matrix, lambda within: not within.near)
    found = asked(matcher, fixed, moving)
    assert [within.near for within in matcher.asked] == [True, False]
    assert matcher.asked[0].max_angle_deg < 40 < matcher.asked[1].max_angle_deg
    assert found.verdict.accepted and distance_px(found.transform, TRUE) < 1
    assert any("searched every turn" in note for note in found.notes)


def test_a_georeferencing_that_tie_points_confirm_stands_to_the_digit(tmp_path, asked):
    at = placed(shift_px=(3.0, 2.0))
    fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())), **georeferenced(placed()))
    moving = write(tmp_path / "moving.tif", radar(seen(LAND, at)), **georeferenced(at))
    # What is found is half a px off: no better than the georeferencing, which is right.
    found = asked(Knowing(translation(0.5, -0.3).matrix, lambda within: True), fixed, moving)
    np.testing.assert_allclose(found.transform.matrix, to_fixed(at).matrix, atol=1e-6)
    assert any("as it is" in note for note in found.notes)


def test_a_georeferencing_that_tie_points_contradict_is_corrected(tmp_path, asked):
    at, told = placed(), placed(shift_px=(3.0, 2.0))
    fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())), **georeferenced(placed()))
    moving = write(tmp_path / "moving.tif", radar(seen(LAND, at)), **georeferenced(told))
    found = asked(Knowing(translation(-3.0, -2.0).matrix, lambda within: True), fixed, moving)
    assert found.verdict.accepted and distance_px(found.transform, to_fixed(at), (SIDE, SIDE)) < 0.7


def test_inliers_lie_within_two_px_of_where_the_map_puts_them(tmp_path, asked):
    fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())))
    moving = write(tmp_path / "moving.tif", radar(seen(LAND, AWAY)))
    found = asked(Knowing(TRUE.matrix, lambda within: True), fixed, moving)
    residual = np.linalg.norm(found.transform(found.correspondences.moving_xy) - found.correspondences.fixed_xy, axis=1)
    np.testing.assert_allclose(found.residual_px, residual)
    assert residual[found.inliers].max() < 2 <= residual[~found.inliers].min()
    assert 0 < found.inliers.sum() < len(residual)


def test_a_right_georeferencing_stands_for_election_though_no_matcher_says_so(tmp_path, asked):
    at = placed(shift_px=(3.0, 2.0))
    fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())), **georeferenced(placed()))
    moving = write(tmp_path / "moving.tif", radar(seen(LAND, at)), **georeferenced(at))
    found = asked(Knowing(np.eye(3), lambda within: False), fixed, moving)
    assert found.verdict.accepted and distance_px(found.transform, to_fixed(at)) < 0.1


# A plan: keypoints, then others.


class Told:
    """A stage that says what it is told to, and remembers what it was handed."""

    wants_colour = False

    def __init__(self, name, matches):
        self.name, self.matches, self.handed = name, matches, []

    def __call__(self, fixed, moving, within, *, seed=0, threads=1, earlier=None):
        self.handed.append(earlier)
        return self.matches


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """(registration of radar on optical by two stages, the second one)."""

    def run(first, second):
        stages = Told("first", first), Told("second", second)
        plan = tuple(PlanStage.ready(stage) for stage in stages)
        monkeypatch.setitem(MATCHERS, "planned", lambda *built_from: plan)
        fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())))
        moving = write(tmp_path / "moving.tif", radar(seen(LAND, AWAY)))
        return registered(fixed, moving, matcher="planned"), stages[1]

    return run


RIGHT, WRONG = (
    Matches((Proposal(pose, 30.0),)) for pose in (TRUE.matrix, np.array([[0.0, -1.0, 256.0], [1.0, 0, 0], [0, 0, 1]]))
)


def test_a_stage_that_is_sure_stops_the_line(planned):
    found, second = planned(RIGHT, WRONG)
    assert found.verdict.accepted and found.verdict.matcher == "first" and not second.handed


def test_a_wrong_stage_is_followed_by_the_next_which_says_so(planned):
    found, second = planned(WRONG, RIGHT)
    assert found.verdict.accepted and found.verdict.matcher == "second" and len(second.handed) == 1
    assert any("first was not sure: this is what second found" in note for note in found.notes)


@pytest.mark.parametrize("faint", [False, True])
def test_what_a_stage_finds_is_weighed_with_what_the_next_one_finds(planned, faint):
    found, second = planned(replace(RIGHT, is_faint=faint), WRONG)
    if faint:
        assert found.verdict.accepted and found.verdict.matcher == "second" and second.handed
        assert distance_px(found.transform, TRUE) < 1
        assert not any("was not sure" in note for note in found.notes)
    else:
        assert not second.handed


def test_a_faint_find_is_verified_where_nothing_follows(planned):
    found, _ = planned(WRONG, replace(RIGHT, is_faint=True))
    assert found.verdict.matcher == "second" and found.verdict.accepted


@pytest.mark.parametrize("matcher", ["auto", "sift"])
def test_images_of_one_sensor_need_keypoints_only(tmp_path, matcher):
    aside = homography(np.array([[0.9, 0.05, 8.0], [-0.04, 0.95, 12.0], [3e-4, 1e-4, 1.0]]))
    fixed = write(tmp_path / "fixed.tif", optical(seen(LAND, placed())))
    moving = write(tmp_path / "moving.tif", optical(seen(LAND, placed().after(aside))))
    found = registered(fixed, moving, matcher=matcher)
    assert found.verdict.accepted and found.verdict.matcher == "sift" and found.transform.kind == "homography"
    assert distance_px(found.transform, aside) < 0.3
    stiffer = registered(fixed, moving, matcher=matcher, transform="affine").transform
    assert stiffer is None or stiffer.kind == "affine"


def test_unrelated_images_of_one_sensor_are_refused_by_keypoints(tmp_path):
    paths = (write(tmp_path / f"{seed}.tif", optical(seen(ground(seed), placed()))) for seed in (4, 77))
    assert not registered(*paths, matcher="sift").verdict.accepted
