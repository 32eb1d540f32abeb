"""From guesses to one alignment, and from it to the transform that was asked for."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scenes import FIXED_AT, SIDE, distance_px, ground, optical, placed, radar, seen, to_fixed

from xmatch.coords import to_centre_matrix
from xmatch.correspondences import Correspondences
from xmatch.geometry import Linear, similarity
from xmatch.matchers.base import Matches, Proposal, ProposedMap, SearchRange
from xmatch.ops.devices import TORCH_ON_CPU
from xmatch.raster import View
from xmatch.registration.ground import GroundSize
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pose_selection import align, corner_distance, refit, similar
from xmatch.registration.tie_points import TiePointFinder
from xmatch.registration.transform_choice import fit_transform
from xmatch.registration.view_planning import FramedPair
from xmatch.registration.windows import NARROW, WIDE

LAND = ground(3)
MOVING_AT = placed(6, 1.05, (9, -14))
TRUE = to_fixed(MOVING_AT)
AWAY = similarity(1.0, 1.01, (2.5, -2.0))
"""About as wrong as a matcher leaves it."""


def view(image: np.ndarray, to_pixel=None) -> View:
    return View(image.astype(np.float32) / 255, np.ones(image.shape, bool), np.eye(3) if to_pixel is None else to_pixel)


FIXED = view(optical(seen(LAND, FIXED_AT)))
MOVING = view(radar(seen(LAND, MOVING_AT)))


def guesses(*transforms: Linear) -> Matches:
    return Matches(tuple(Proposal(t.matrix, float(-i)) for i, t in enumerate(transforms)))


@pytest.fixture(scope="module")
def alignment():
    wrong = similarity(100, 0.9, (240, 30))
    return align(FIXED, MOVING, guesses(wrong, AWAY.after(TRUE)), seed=0, threads=1)


def distance(matrix: np.ndarray, true: Linear = TRUE) -> float:
    return distance_px(Linear(matrix, "affine"), true)


def test_no_guess_no_alignment():
    assert align(FIXED, MOVING, Matches(), seed=0, threads=1) is None


def test_the_right_guess_wins_though_the_matcher_preferred_another_and_is_sharpened(alignment):
    assert distance(AWAY.after(TRUE).matrix) > 2.5
    assert distance(alignment.best.matrix) < 0.6


def test_the_best_other_guess_is_the_rival(alignment):
    assert alignment.best.log_odds > alignment.rivals[0].log_odds + 1
    assert distance(alignment.rivals[0].matrix) > 50


def test_tie_points_lie_on_the_alignment(alignment):
    ties = alignment.ties
    assert len(ties) == len(alignment.forward_backward_px) > 50
    steady = alignment.forward_backward_px < 1
    off = np.linalg.norm(TRUE(ties.moving_xy) - ties.fixed_xy, axis=1)
    assert steady.mean() > 0.5 and np.median(off[steady]) < 1


def test_correspondences_of_a_matcher_are_a_guess_of_their_own():
    moving_xy = np.random.default_rng(0).uniform(10, SIDE - 10, (40, 2))
    matches = Matches((), Correspondences(AWAY.after(TRUE)(moving_xy), moving_xy, np.ones(40)))
    found = align(FIXED, MOVING, matches, seed=0, threads=1)
    assert distance(found.best.matrix) < 0.6


def test_a_whole_map_is_judged_beside_the_poses_and_wins_where_no_pose_holds():
    """Moving as it would be seen from aside: its far side lies a sixth nearer together."""
    tilt = Linear(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [4e-4, -2e-4, 1.0]]))
    seen_aside = view(
        cv2.warpPerspective(optical(seen(LAND, FIXED_AT)), to_centre_matrix(tilt.inverse.matrix), (SIDE, SIDE))
    )
    near = tilt.after(similarity(0.3, 1.004, (1.0, -1.0)))
    matches = replace(guesses(Linear(np.eye(3), "similarity")), maps=(ProposedMap(near, 50.0),))
    found = align(FIXED, seen_aside, matches, seed=0, threads=2)
    assert found.best.refined is not None and found.best.refined.kind == "homography"
    assert distance_px(found.best.refined, tilt) < 0.3 < distance_px(near, tilt)
    alone = align(FIXED, seen_aside, Matches(maps=matches.maps), seed=0, threads=1)
    assert distance_px(alone.best.to_fixed, tilt) < 0.3


def test_a_map_that_does_not_clearly_fit_better_leaves_the_pose(alignment):
    stretched = Linear(np.diag([1.3, 0.8, 1.0]) @ TRUE.matrix, "affine")
    matches = replace(guesses(AWAY.after(TRUE)), maps=(ProposedMap(stretched, 1e3),))
    found = align(FIXED, MOVING, matches, seed=0, threads=1)
    assert found.best.refined is None and distance(found.best.matrix) < 0.6


def test_mirrored_guesses_stay_mirrored():
    at = placed(5, 1.0, (9, 4), mirror=True)
    mirrored = view(radar(seen(LAND, at)))
    found = align(FIXED, mirrored, guesses(AWAY.after(to_fixed(at))), seed=0, threads=1)
    assert np.linalg.det(found.best.matrix[:2, :2]) < 0
    assert distance(found.best.matrix, to_fixed(at)) < 0.6


@pytest.mark.parametrize(
    "trusted, wanted", [((NARROW, WIDE), [NARROW]), ((WIDE,), [NARROW, WIDE]), ((), [NARROW, WIDE])]
)
def test_wide_windows_are_tried_where_narrow_ones_disagree(trusted, wanted, monkeypatch):
    asked = []

    def wary(find, matrix, seed, windows):
        asked.append(windows)
        tied, share = refit(find, matrix, seed, windows)
        return tied, share if windows in trusted else 0.1

    monkeypatch.setattr("xmatch.registration.pose_selection.refit", wary)
    found = align(FIXED, MOVING, guesses(AWAY.after(TRUE)), seed=0, threads=1)
    assert asked == wanted and distance(found.best.matrix) < 0.8


def test_a_flat_moving_image_leaves_the_guess_and_no_tie_points():
    flat = view(np.full((SIDE, SIDE), 128))
    found = align(FIXED, flat, guesses(TRUE), seed=0, threads=1)
    assert refit(TiePointFinder(FIXED, flat), TRUE.matrix, 0)[1] == 0
    assert distance(found.best.matrix) < 1e-6


def test_corner_distance_is_the_mean_over_the_corners():
    shifted = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])
    assert corner_distance(np.eye(3), shifted, FIXED) == pytest.approx(5)
    assert corner_distance(np.eye(3), np.diag([1.1, 1.0, 1.0]), FIXED) == pytest.approx(0.1 * SIDE / 2)


@pytest.mark.parametrize("mirror", [False, True])
def test_the_nearest_similarity_keeps_the_centre_and_the_area(mirror):
    pose = placed(20, 1.3, mirror=mirror).matrix @ np.diag([1.004, 0.996, 1.0])
    found = similar(pose, FIXED)
    middle = np.array([[SIDE / 2, SIDE / 2]])
    np.testing.assert_allclose(Linear(found, "affine")(middle), Linear(pose, "affine")(middle))
    assert np.linalg.det(found[:2, :2]) == pytest.approx(np.linalg.det(pose[:2, :2]))
    gram = found[:2, :2].T @ found[:2, :2]
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(similar(found, FIXED), found, atol=1e-9)


# The transform between the files.

TO_PIXEL = np.array([[2.0, 0.0, 30.0], [0.0, 2.0, -10.0], [0.0, 0.0, 1.0]])
"""Views at half the size of a window of the file."""


def framed(prior: Linear | None = None, fixed_to_pixel: np.ndarray = TO_PIXEL) -> FramedPair:
    """Of views with square pixels; with a prior, moving is seen as that lays it on fixed."""
    fixed = View(FIXED.image, FIXED.valid, fixed_to_pixel)
    moving = MOVING if prior is None else View(MOVING.image, MOVING.valid, prior.matrix)
    ground = GroundSize(None, None)
    return FramedPair(fixed, moving, SearchRange(), prior, (), ground, np.eye(3), np.eye(3))


IN_FILES = Linear(TO_PIXEL @ TRUE.matrix, "affine")


@pytest.mark.parametrize("kind", ["similarity", "affine", "homography", "tps", "grid"])
def test_a_kind_asked_for_by_name_comes_back_as_that_kind_and_fits(alignment, kind):
    found = fit_transform(alignment, framed(), RegisterOptions(transform=kind))
    assert found.transform.kind == kind
    inner = distance_px(found.transform, IN_FILES)
    assert inner < 2.0, "px of the file; a view px is two"


@pytest.mark.parametrize("kind", ["similarity", "affine"])
def test_a_kind_asked_for_is_never_answered_by_a_freer_one(alignment, kind):
    aside = Linear(TRUE.matrix + np.array([[0, 0, 0], [0, 0, 0], [1e-4, 0, 0]]), "homography")
    silent = alignment.ties[np.zeros(len(alignment.ties), bool)]
    freer = replace(
        alignment, best=replace(alignment.best, refined=aside), ties=silent, forward_backward_px=np.zeros(0)
    )
    assert fit_transform(freer, framed(), RegisterOptions(transform=kind)).transform is None
    assert fit_transform(freer, framed(), RegisterOptions(transform="homography")).transform.kind == "homography"


def test_a_translation_is_fitted_when_that_is_all_that_may_move():
    still = align(
        FIXED,
        view(radar(seen(LAND, placed(0, 1, (6, -3))))),
        guesses(Linear(np.eye(3))),
        seed=0,
        threads=1,
    )
    plain = framed(fixed_to_pixel=np.eye(3))
    found = fit_transform(still, plain, RegisterOptions(transform="translation")).transform
    assert found.kind == "translation"
    np.testing.assert_allclose(found.matrix[:2, 2], (6, -3), atol=0.5)


def test_auto_takes_no_freer_kind_than_the_tie_points_need(alignment):
    found = fit_transform(alignment, framed(), RegisterOptions())
    assert found.transform.kind == "similarity"
    assert distance_px(found.transform, IN_FILES) < 1.2


@pytest.mark.parametrize(("follow_the_affine_map", "kind"), [(0.4, "homography"), (1.0, "affine")])
def test_a_stiffer_map_replaces_a_refined_one_only_where_tie_points_lie_nearer_to_it(
    alignment, follow_the_affine_map, kind
):
    aside = Linear(np.array([[1.0, 0, 0], [0, 1.0, 0], [2e-4, 0, 1.0]]), "homography")
    stiffer = Linear(np.array([[1.0, 0.03, 0.0], [0, 0.96, 2.0], [0, 0, 1.0]]), "affine")
    rng = np.random.default_rng(2)
    at = rng.uniform((0, 0), (120, 240), (80, 2))
    nearly = aside(at) + 2.1 * (lambda turn: np.column_stack([np.cos(turn), np.sin(turn)]))(rng.uniform(0, 6.28, 80))
    follows = np.arange(80) < follow_the_affine_map * 80
    ties = Correspondences(np.where(follows[:, None], stiffer(at), nearly), at, np.ones(80))
    refined = replace(alignment.best, matrix=stiffer.matrix, refined=aside)
    found = replace(alignment, best=refined, ties=ties, forward_backward_px=np.zeros(80))
    plain = framed(fixed_to_pixel=np.eye(3))
    assert fit_transform(found, plain, RegisterOptions()).transform.kind == kind


def test_a_prior_is_kept_and_only_what_it_leaves_is_fitted(alignment):
    prior = Linear(np.array([[2.1, 0.0, 55.0], [0.0, 2.1, -60.0], [0.0, 0.0, 1.0]]), "affine")
    for kind in ("auto", "similarity", "affine"):
        found = fit_transform(alignment, framed(prior), RegisterOptions(transform=kind))
        assert distance_px(found.transform, IN_FILES) < 2.0


def test_correspondences_are_in_px_of_the_files(alignment):
    prior = Linear(np.array([[2.1, 0.0, 55.0], [0.0, 2.1, -60.0], [0.0, 0.0, 1.0]]), "affine")
    for frame in (framed(), framed(prior)):
        found = frame.in_files(alignment.ties)
        np.testing.assert_allclose(found.fixed_xy, alignment.ties.fixed_xy * 2 + (30, -10))
        np.testing.assert_allclose(found.moving_xy, alignment.ties.moving_xy)


def test_a_georeferencing_that_nothing_clearly_improves_stays_as_it_is():
    """Moving lies where its prior says, to a few hundredths of a px."""
    prior = Linear(TO_PIXEL @ TRUE.matrix, "affine")
    laid = view(radar(seen(LAND, FIXED_AT)))
    still = align(FIXED, laid, guesses(Linear(np.eye(3))), seed=0, threads=1)
    frame = replace(framed(prior), moving=View(laid.image, laid.valid, TO_PIXEL))
    found = fit_transform(still, frame, RegisterOptions())
    np.testing.assert_allclose(found.transform.matrix, prior.matrix, atol=1e-9)
    assert any("as it is" in note for note in found.notes)


def test_pixels_that_are_not_square_on_the_ground_are_fitted_where_they_are():
    """Fixed's px are twice as wide as tall: what turns the ground is no similarity of px."""
    plane = np.diag([2.0, 1.0, 1.0])
    fixed = View(FIXED.image, FIXED.valid, np.diag([0.5, 1.0, 1.0]))
    frame = replace(framed(), fixed=fixed, fixed_plane=plane)
    still = align(FIXED, MOVING, guesses(TRUE), seed=0, threads=1)
    found = fit_transform(still, frame, RegisterOptions(transform="similarity")).transform
    assert found.kind == "affine"
    assert distance_px(found, Linear(np.diag([0.5, 1.0, 1.0]) @ TRUE.matrix, "affine")) < 0.8


def test_the_alignment_is_the_same_where_poses_are_measured_and_tied_on_a_device():
    matches = guesses(AWAY.after(TRUE), TRUE)
    expected = align(FIXED, MOVING, matches, seed=0, threads=1)
    found = align(FIXED, MOVING, matches, seed=0, threads=1, device=TORCH_ON_CPU)
    assert np.abs(found.best.matrix - expected.best.matrix).max() < 0.02
    assert found.best.measures == pytest.approx(expected.best.measures, rel=0.01, abs=0.01)
    assert len(found.ties) == len(expected.ties) and len(found.regions) == len(expected.regions)
