"""Parts of the estimation by themselves, on points whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.correspondences import Correspondences
from xmatch.estimate import explains_better
from xmatch.estimate.bend import fit_spline
from xmatch.estimate.choose import FOLDS, beats, folds, heldout_residuals
from xmatch.estimate.fit import fit_similarity, fit_translation
from xmatch.estimate.model import Model, WeightedPoints, is_plausible
from xmatch.geometry import affine, similarity, translation

RNG = np.random.default_rng(3)
MOVING = RNG.uniform(0, 200, (60, 2))


def points(fixed_xy: np.ndarray, moving_xy: np.ndarray = MOVING) -> WeightedPoints:
    return WeightedPoints(moving_xy, fixed_xy, np.ones(len(moving_xy)))


def test_the_best_similarity_of_a_mirrored_image_is_turned_and_never_turned_over():
    found = fit_similarity(points(MOVING * (-1, 1)))
    assert np.linalg.det(found.matrix[:2, :2]) > 0


def test_a_held_out_point_has_no_say_in_its_own_error():
    """Of a translation fitted to the other folds, one fold's own shift shows in full."""
    _, fold = folds(MOVING, seed=0)
    fixed_xy = MOVING + np.where((fold == 0)[:, None], (30.0, 0.0), (0.0, 0.0))
    model = Model(None, fit_translation, minimum=1, wanted=3)
    residual = heldout_residuals(model, points(fixed_xy), fold)
    assert set(fold) == set(range(FOLDS)) and residual[fold == 0].min() > 29.9


def test_the_map_that_lies_nearer_explains_better_and_not_the_other_way_round():
    right, off = similarity(3.0, 1.01, (4.0, 2.0)), translation(4.0, 2.0)
    ties = Correspondences(right(MOVING) + RNG.normal(0, 0.3, MOVING.shape), MOVING, np.ones(len(MOVING)))
    assert explains_better(right, off, ties, 3.0)
    assert not explains_better(off, right, ties, 3.0)
    assert not explains_better(right, right, ties, 3.0)
    assert not explains_better(right, off, ties[:3], 3.0)  # too few to tell


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_a_splines_smoothness_does_not_hang_on_the_unit(scale):
    bent = MOVING + 3 * np.sin(MOVING[:, ::-1] / 20)
    plain = fit_spline(points(bent), smoothing=1e-2)
    scaled = fit_spline(points(bent * scale, MOVING * scale), smoothing=1e-2)
    np.testing.assert_allclose(scaled(MOVING * scale) / scale, plain(MOVING), atol=1e-3)


def test_a_map_that_turns_the_image_over_is_not_sane():
    frame = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 80.0], [0.0, 80.0]])
    assert is_plausible(affine([[1.1, 0.1, 5.0], [0.0, 0.9, 2.0]]), frame)
    assert not is_plausible(affine([[-1.0, 0.0, 100.0], [0.0, 1.0, 0.0]]), frame)


def test_wild_points_lose_their_voice_in_a_robust_fit():
    fixed_xy = MOVING + (4.0, 2.0) + RNG.normal(0, 0.2, MOVING.shape)
    fixed_xy[:12] += 40.0
    found = Model(None, fit_translation, minimum=1, wanted=3).robust_fit(points(fixed_xy))
    np.testing.assert_allclose(found.matrix[:2, 2], (4.0, 2.0), atol=0.3)


@pytest.mark.parametrize(("spread", "wins"), [(0.1, True), (8.0, False)])
def test_a_freer_kind_must_win_by_more_than_blocks_differ(spread, wins):
    """Ten blocks; the freer kind's error is 1 lower in the mean, whatever the spread between them."""
    block = np.repeat(np.arange(10), 6)
    stiffer = np.full(60, 5.0)
    gain = 1.0 + spread * np.where(np.arange(10) % 2, 1.0, -1.0)
    assert beats(stiffer - gain[block], stiffer, block) == wins
