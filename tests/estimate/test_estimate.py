"""Estimation: known maps come back from noisy points most of which are wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmatch.coords import corners, pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.estimate import ESTIMATORS, estimate
from xmatch.estimate.model import WeightedPoints, is_plausible
from xmatch.geometry import TRANSFORMS, Linear, ThinPlateSpline, affine, compose, homography, similarity, translation
from xmatch.metrics import corner_error_px

WIDTH, HEIGHT = 400, 300
SIZE = (WIDTH, HEIGHT)


def bent(seed=0, size_px=8.0):
    """A map that bends by some px about a similarity."""
    rng = np.random.default_rng(seed)
    nodes = np.stack(np.meshgrid(np.linspace(0, WIDTH, 5), np.linspace(0, HEIGHT, 4)), axis=-1).reshape(-1, 2)
    moved = similarity(20, 1.1, (30, -10))(nodes) + rng.uniform(-size_px, size_px, nodes.shape)
    return ThinPlateSpline(nodes, moved)


KNOWN = {
    "translation": translation(17.3, -8.6),
    "similarity": similarity(35, 1.3, (-12, 40)),
    "affine": affine([[1.1, 0.15, 5], [-0.1, 0.85, -20]]),
    "homography": homography(np.array([[0.95, 0.1, 12], [-0.05, 1.05, 7], [4e-4, -3e-4, 1]])),
    "tps": bent(),
}


def matches(truth, n=400, outliers=0.6, noise_px=0.3, seed=0):
    """n correspondences of `truth`, a share of them at random places; the wrong ones are a little less certain."""
    rng = np.random.default_rng(seed)
    moving = rng.uniform((0, 0), SIZE, (n, 2))
    fixed = truth(moving) + rng.normal(0, noise_px, (n, 2))
    wrong = np.arange(n) < round(outliers * n)
    fixed[wrong] = rng.uniform(fixed.min(axis=0), fixed.max(axis=0), (wrong.sum(), 2))
    certainty = np.where(wrong, rng.uniform(0.2, 0.8, n), rng.uniform(0.4, 1.0, n))
    return Correspondences(fixed, moving, certainty), ~wrong


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_known_map_comes_back_despite_noise_and_outliers(kind, seed):
    points, right = matches(KNOWN[kind], seed=seed)
    found = estimate(points, kind, moving_size=SIZE, seed=seed)
    assert found.kind == found.transform.kind == kind
    # A spline is known only as well as the points near by; its corners lie beyond them.
    corner_px, inner_px, share = (6.0, 0.6, 0.9) if kind == "tps" else (0.3, 0.1, 0.97)
    assert corner_error_px(found.transform, KNOWN[kind], *SIZE) < corner_px
    inner = np.stack(np.meshgrid(np.linspace(40, 360, 9), np.linspace(40, 260, 7)), -1).reshape(-1, 2)
    assert np.linalg.norm(found.transform(inner) - KNOWN[kind](inner), axis=1).mean() < inner_px
    assert (found.inliers & right).sum() >= share * right.sum()
    assert (found.inliers & ~right).sum() <= 0.05 * right.sum()


@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.3, 3),
    dx=st.floats(-500, 500),
    dy=st.floats(-500, 500),
    seed=st.integers(0, 99),
)
def test_any_similarity_comes_back(angle, scale, dx, dy, seed):
    truth = similarity(angle, scale, (dx, dy))
    points, _ = matches(truth, n=150, seed=seed)
    found = estimate(points, "similarity", moving_size=SIZE)
    assert corner_error_px(found.transform, truth, *SIZE) < 0.6


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("seed", [0, 1])
def test_auto_picks_the_kind_that_is_true(kind, seed):
    points, _ = matches(KNOWN[kind], seed=seed)
    found = estimate(points, moving_size=SIZE, seed=seed)
    assert found.kind == kind, found.heldout_px


@pytest.mark.parametrize("noise_px", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["translation", "similarity", "affine"])
def test_auto_does_not_take_noise_for_bending(kind, noise_px):
    for seed in range(4):
        points, _ = matches(KNOWN[kind], n=120, outliers=0.3, noise_px=noise_px, seed=seed)
        assert estimate(points, moving_size=SIZE).kind == kind


def test_auto_on_pure_noise_is_never_free():
    for seed in range(5):
        points, _ = matches(KNOWN["translation"], n=300, outliers=1.0, seed=seed)
        found = estimate(points, moving_size=SIZE)
        assert found.transform is None or found.kind != "tps"
        assert found.inliers.sum() < 20


@pytest.mark.parametrize("kind", ["similarity", "affine", "homography"])
def test_a_tenth_of_the_points_is_enough(kind):
    for seed in range(4):
        points, _ = matches(KNOWN[kind], n=300, outliers=0.9, seed=seed)
        found = estimate(points, moving_size=SIZE, seed=seed)
        assert found.kind == kind and corner_error_px(found.transform, KNOWN[kind], *SIZE) < 1


def test_a_result_explains_at_least_the_points_that_determine_it():
    for seed in range(6):
        points, _ = matches(KNOWN["affine"], n=60, outliers=0.93, noise_px=1.0, seed=seed)
        found = estimate(points, moving_size=SIZE, seed=seed)
        assert found.transform is None or found.inliers.sum() >= ESTIMATORS[found.kind].minimum


def test_auto_keeps_within_its_bounds():
    points, _ = matches(KNOWN["homography"])
    assert estimate(points, moving_size=SIZE, freest="affine").kind == "affine"
    points, _ = matches(KNOWN["translation"])
    assert estimate(points, moving_size=SIZE, stiffest="similarity").kind == "similarity"


def test_the_held_out_error_is_the_noise_of_the_points():
    """RMS of 2-D noise of 0.5 px per axis is 0.71 px; a too stiff kind errs by more."""
    points, _ = matches(KNOWN["similarity"], n=500, outliers=0.3, noise_px=0.5)
    found = estimate(points, moving_size=SIZE)
    assert found.heldout_px["similarity"] == pytest.approx(0.71, rel=0.1)
    assert found.heldout_px["translation"] > 3 * found.heldout_px["similarity"]


def test_where_there_is_one_kind_nothing_is_held_out():
    points, _ = matches(KNOWN["similarity"], n=500, outliers=0.3, noise_px=0.5)
    assert estimate(points, "affine", moving_size=SIZE).heldout_px == {}
    assert estimate(points, "tps", moving_size=SIZE).heldout_px.keys() == {"tps"}


def test_residuals_and_inliers_are_those_of_the_transform():
    points, _ = matches(KNOWN["affine"])
    found = estimate(points, moving_size=SIZE, tolerance_px=2.0)
    distance = np.linalg.norm(found.transform(points.moving_xy) - points.fixed_xy, axis=1)
    assert found.residual_px == pytest.approx(distance)
    assert (found.inliers == (distance <= 2)).all()


@pytest.mark.parametrize("kind", [*KNOWN, "grid", "auto"])
def test_the_same_input_gives_the_same_bits(kind):
    points, _ = matches(KNOWN["affine"], n=150)
    once, again = (estimate(points, kind, moving_size=SIZE, seed=5) for _ in range(2))
    assert once.transform.as_dict() == again.transform.as_dict()
    assert (once.residual_px == again.residual_px).all() and once.heldout_px == again.heldout_px


def test_a_grid_is_the_spline_sampled():
    points, right = matches(KNOWN["tps"], seed=1)
    grid, spline = (estimate(points, kind, moving_size=SIZE) for kind in ("grid", "tps"))
    assert grid.kind == grid.transform.kind == "grid"
    inner = np.array([[50.0, 60.0], [200, 150], [333, 222]])
    assert grid.transform(inner) == pytest.approx(spline.transform(inner), abs=0.2)


def test_certain_points_weigh_more():
    """Two camps 1 px apart, all within the tolerance; the certain camp is believed."""
    rng = np.random.default_rng(0)
    moving = rng.uniform((0, 0), SIZE, (100, 2))
    fixed = moving + np.where(np.arange(100) < 50, 0.0, 1.0)[:, None] * (1, 0)
    certainty = np.where(np.arange(100) < 50, 0.9, 0.05)
    found = estimate(Correspondences(fixed, moving, certainty), "translation", moving_size=SIZE)
    assert found.transform.matrix[0, 2] < 0.2


@pytest.mark.parametrize("kind", [*ESTIMATORS, "grid", "auto"])
def test_too_little_is_an_empty_result_not_a_crash(kind):
    """Nothing, fewer points than determine the map, one place, one line, NaN: no exception."""
    line = np.column_stack([np.linspace(0, 100, 30), np.linspace(0, 50, 30)])
    here = np.full((30, 2), 7.0)
    bad = np.full((30, 2), np.nan)
    for xy in (np.zeros((0, 2)), line[:1], line[:2], line[:3], line, here, bad, np.full((30, 2), np.inf)):
        found = estimate(Correspondences(xy, xy.copy(), np.ones(len(xy))), kind)
        assert found.inliers.shape == found.residual_px.shape == (len(xy),)
        if found.transform is None:
            assert not found.inliers.any() and np.isinf(found.residual_px).all() and found.kind == kind
    assert estimate(Correspondences.empty(), kind).transform is None


@pytest.mark.parametrize("kind", ["affine", "homography", "tps", "grid"])
def test_points_on_a_line_do_not_determine_a_free_map(kind):
    line = np.column_stack([np.linspace(0, 100, 30), np.linspace(0, 50, 30)])
    assert estimate(Correspondences(line + 3, line, np.ones(30)), kind).transform is None


@pytest.mark.parametrize("kind", ["translation", "similarity", "affine", "homography"])
def test_the_least_number_of_points_is_enough(kind):
    least = ESTIMATORS[kind].minimum
    moving = np.array([[10.0, 20.0], [350, 40], [60, 280], [320, 250]])[:least]
    found = estimate(Correspondences(KNOWN[kind](moving), moving, np.ones(least)), kind, moving_size=SIZE)
    assert corner_error_px(found.transform, KNOWN[kind], *SIZE) < 1e-3
    assert estimate(Correspondences(moving[1:], moving[1:], np.ones(least - 1)), kind).transform is None


def test_some_points_that_are_not_finite_do_no_harm():
    points, _ = matches(KNOWN["affine"])
    points.fixed_xy[::7] = np.nan
    points.moving_xy[3] = np.inf
    found = estimate(points, "affine", moving_size=SIZE)
    assert corner_error_px(found.transform, KNOWN["affine"], *SIZE) < 0.3
    assert not found.inliers[::7].any() and np.isinf(found.residual_px[::7]).all()


def test_many_duplicates_do_no_harm():
    points, _ = matches(KNOWN["affine"], n=200)
    index = np.concatenate([np.arange(200), np.full(100, 150)])
    found = estimate(points[index], moving_size=SIZE)
    assert corner_error_px(found.transform, KNOWN["affine"], *SIZE) < 1


def test_a_mirrored_image_is_found_only_when_allowed():
    for kind in ("similarity", "affine", "tps", "auto"):
        truth = compose(affine([[-1, 0, WIDTH], [0, 1, 0]]), similarity(30, 1.2))
        points, right = matches(truth, outliers=0.3)
        refused = estimate(points, kind, moving_size=SIZE)
        assert refused.transform is None or refused.inliers.sum() < 0.2 * right.sum()
        allowed = estimate(points, kind, moving_size=SIZE, allow_mirror=True)
        assert corner_error_px(allowed.transform, truth, *SIZE) < 1
        assert (allowed.inliers & right).sum() > 0.95 * right.sum()


def test_a_homography_whose_horizon_crosses_the_frame_is_refused():
    """WeightedPoints only where the map is sane; the frame reaches beyond the horizon at x = 200."""
    truth = homography(np.array([[1, 0, 0], [0, 1, 0], [-1 / 200, 0, 1.0]]))
    rng = np.random.default_rng(0)
    moving = rng.uniform((0, 0), (120, HEIGHT), (80, 2))
    points = Correspondences(truth(moving), moving, np.ones(80))
    assert estimate(points, "homography", moving_size=SIZE).transform is None
    assert estimate(points, "homography", moving_size=(130, HEIGHT)).transform is not None


@pytest.mark.parametrize("scale", [1 / 30, 30])
def test_an_absurd_scale_is_refused(scale):
    points, _ = matches(similarity(10, scale), outliers=0.0, noise_px=0)
    assert estimate(points, "similarity", moving_size=SIZE, tolerance_px=0.1).transform is None


def test_far_origins_cost_no_precision():
    """Full-size rasters count in ten thousands; OpenCV computes in single precision."""
    far = translation(60_000, 90_000)
    truth = compose(far.inverse, KNOWN["homography"], far)
    points, _ = matches(KNOWN["homography"], outliers=0.4)
    moved = Correspondences(points.fixed_xy + (60_000, 90_000), points.moving_xy + (60_000, 90_000), points.certainty)
    found = estimate(moved, "homography")
    assert np.linalg.norm(found.transform(moved.moving_xy) - truth(moved.moving_xy), axis=1).max() < 0.3


def test_every_kind_can_be_estimated_and_an_unknown_one_is_told():
    assert [*ESTIMATORS, "grid"] == list(TRANSFORMS)
    with pytest.raises(ValueError, match="wobble"):
        points, _ = matches(KNOWN["affine"], n=20)
        estimate(points, "wobble")


def test_a_spline_that_folds_in_a_small_part_is_not_plausible():
    nodes = np.stack(np.meshgrid(np.linspace(0, WIDTH, 9), np.linspace(0, HEIGHT, 7)), axis=-1).reshape(-1, 2)
    for past_its_neighbour, plausible in ((False, True), (True, False)):
        moved = nodes.copy()
        moved[30, 0] += 90 if past_its_neighbour else 10
        assert is_plausible(ThinPlateSpline(nodes, moved), corners(WIDTH, HEIGHT)) is plausible


def test_a_strong_bend_is_estimated_about_a_map_that_is_near_to_it():
    wave = np.stack(np.meshgrid(np.linspace(0, WIDTH, 9), np.linspace(0, HEIGHT, 7)), axis=-1).reshape(-1, 2)
    known = ThinPlateSpline(wave, wave + 25 * np.sin(2 * np.pi * wave[:, ::-1] / WIDTH))
    near = compose(known, translation(3.0, -2.0))
    points, right = matches(known, outliers=0.2)
    stiff, about = (estimate(points, "tps", moving_size=SIZE, about=one) for one in (None, near))
    assert about.inliers[right].mean() > 0.9 > stiff.inliers[right].mean() + 0.1
    turned = Correspondences(points.fixed_xy, points.moving_xy * (-1, 1) + (WIDTH, 0), points.certainty)
    over = compose(Linear(np.array([[-1.0, 0, WIDTH], [0, 1, 0], [0, 0, 1]]), "similarity"), near)
    mirrored = estimate(turned, "tps", moving_size=SIZE, about=over, allow_mirror=True)
    assert mirrored.inliers[right].mean() > 0.9


@pytest.mark.parametrize("kind", ["tps", "auto"])
@pytest.mark.parametrize("seed", range(6))
def test_fields_that_would_fold_are_refused_or_stiffened(kind, seed):
    """Waves so steep that they fold, or nearly, seen by points that are off by 2 px; the tolerance takes them all."""
    rng = np.random.default_rng(seed)
    moving = rng.uniform(0, (WIDTH, HEIGHT), (150, 2))
    length = rng.choice([WIDTH / 3, WIDTH / 2])
    waves = (
        length
        / (2 * np.pi)
        * rng.uniform(0.8, 1.5)
        * np.sin(2 * np.pi * moving[:, ::-1] / length + rng.uniform(0, 6, 2))
    )
    waves += 0.5 * waves[:, ::-1]
    points = Correspondences(moving + waves + rng.normal(0, 2, moving.shape), moving, np.ones(150))
    found = estimate(points, kind, tolerance_px=20.0, moving_size=(WIDTH, HEIGHT)).transform
    if kind == "tps":
        assert found is not None, "a stiffer spline does not fold"
    if found is not None:
        at = np.concatenate([pixel_centres(WIDTH, HEIGHT, step=2).reshape(-1, 2), getattr(found, "moving_xy", moving)])
        sides = np.stack([found(at + axis) - found(at - axis) for axis in np.eye(2) / 20], -1) * 10
        assert np.linalg.det(sides).min() > 0


def test_a_spline_that_would_fold_is_stiffened():
    rng = np.random.default_rng(3)
    moving = rng.uniform(0, (WIDTH, HEIGHT), (150, 2))
    waves = 40 * np.sin(2 * np.pi * moving[:, ::-1] / 130 + (1.0, 2.0))
    points = Correspondences(moving + waves, moving, np.ones(150))
    model = ESTIMATORS["tps"]
    frame = corners(WIDTH, HEIGHT)
    as_it_is = model.try_fit(WeightedPoints.of(points))
    found = estimate(points, "tps", tolerance_px=60.0, moving_size=(WIDTH, HEIGHT)).transform
    assert not is_plausible(as_it_is, frame) and is_plausible(found, frame)
    assert found.smoothing > 5 * as_it_is.smoothing
