"""Transforms: each does what its name says, its inverse undoes it, and JSON keeps it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmatch.coords import pixel_centres
from xmatch.geometry import (
    TRANSFORMS,
    Chain,
    DisplacementGrid,
    Linear,
    ThinPlateSpline,
    Transform,
    affine,
    compose,
    homography,
    rescaled,
    similarity,
    transform_from_dict,
    translation,
)
from xmatch.geometry.matrices import apply_affine, nearest_affine

WIDTH, HEIGHT = 80, 60
CONTROL = np.array([[0, 0], [80, 0], [80, 60], [0, 60], [40, 30]], float)
ONE_OF_EACH = {
    "translation": translation(3, -2),
    "similarity": similarity(17, 1.2, (5, 6)),
    "affine": affine([[1.1, 0.2, 3], [-0.1, 0.9, 4]]),
    "homography": homography([[1.1, 0.1, 2], [0.05, 0.9, 5], [1e-3, 5e-4, 1]]),
    "tps": ThinPlateSpline(CONTROL, CONTROL + [[0, 0], [1, 2], [-2, 1], [0, 0], [3, -2]]),
    "grid": DisplacementGrid.sampled(lambda xy: xy * 1.1 + np.sin(xy[:, ::-1] / 9), WIDTH, HEIGHT, 8),
}
every_kind = pytest.mark.parametrize("transform", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
inside = st.tuples(st.floats(1, WIDTH - 1), st.floats(1, HEIGHT - 1))


def test_every_kind_is_tried_here():
    assert list(ONE_OF_EACH) == list(TRANSFORMS)
    assert all(isinstance(t, Transform) and t.kind == kind for kind, t in ONE_OF_EACH.items())


@every_kind
@given(points=st.lists(inside, min_size=1, max_size=5))
def test_the_inverse_undoes(transform, points):
    xy = np.array(points)
    assert np.abs(transform.inverse(transform(xy)) - xy).max() < 1e-3
    assert transform.inverse.inverse(xy) == pytest.approx(transform(xy), abs=1e-9)


@every_kind
def test_json_keeps_it(transform):
    xy = pixel_centres(WIDTH, HEIGHT, step=7).reshape(-1, 2)
    again = transform_from_dict(json.loads(json.dumps(transform.as_dict())))
    assert again.kind == transform.kind and np.array_equal(again(xy), transform(xy))


@every_kind
def test_the_shape_of_points_is_kept(transform):
    image = pixel_centres(6, 5)
    assert transform(image).shape == (5, 6, 2) and transform.inverse(image).shape == (5, 6, 2)
    assert np.allclose(transform(image).reshape(-1, 2), transform(image.reshape(-1, 2)))
    assert transform(np.zeros((0, 2))).shape == (0, 2)


def test_a_quarter_turn_takes_the_x_axis_to_the_y_axis():
    assert np.allclose(similarity(90)(np.array([[1.0, 0.0], [0.0, 1.0]])), [[0, 1], [-1, 0]])


def test_points_behind_the_horizon_have_no_image():
    tilted = homography([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    assert np.isfinite(tilted(np.array([[99.0, 5.0]]))).all()
    assert np.isnan(tilted(np.array([[100.0, 5.0], [120.0, 5.0]]))).all()


def test_an_inverse_whose_origin_lies_behind_the_horizon_still_undoes():
    """Fixed (0, 0) is not seen by the tilted camera; scaling the inverse to matrix[2, 2] = 1 flips its sign there."""
    tilted = translation(150, 0).after(homography([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]]))
    xy = np.array([[10.0, 5.0], [90.0, 30.0], [-20.0, 8.0]])
    assert np.isnan(tilted.inverse(np.array([[0.0, 0.0]]))).all()
    assert np.allclose(tilted.inverse(tilted(xy)), xy)
    again = transform_from_dict(json.loads(json.dumps(tilted.inverse.as_dict())))
    assert np.allclose(again(tilted(xy)), xy)
    assert np.allclose(similarity(9).after(tilted.inverse)(tilted(xy)), similarity(9)(xy))


def test_after_applies_the_first_one_first_and_is_of_the_freer_kind():
    first, then = similarity(30, 2, (5, 0)), translation(1, 1)
    xy = np.array([[3.0, 4.0]])
    assert np.allclose(then.after(first)(xy), then(first(xy))) and then.after(first).kind == "similarity"


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan), np.diag([1, 0, 1])])
def test_a_matrix_that_maps_no_plane_is_refused(matrix):
    with pytest.raises(ValueError, match="invertible"):
        Linear(matrix)


@pytest.mark.parametrize("data", [{}, [], {"kind": "rubber"}, {"kind": "affine"}, {"kind": "tps", "moving_xy": 3}])
def test_a_dict_that_is_no_transform_is_refused(data):
    with pytest.raises(ValueError):
        transform_from_dict(data)


def test_a_spline_passes_through_its_control_points():
    spline = ONE_OF_EACH["tps"]
    assert np.allclose(spline(spline.moving_xy), spline.fixed_xy)
    line = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(ValueError, match="line"):
        ThinPlateSpline(line + 0.1, line)


def test_a_grid_is_exact_at_its_nodes_and_linear_beyond():
    grid = ONE_OF_EACH["grid"]
    assert np.allclose(grid(grid.nodes_xy), grid.target_xy)
    beyond = DisplacementGrid.sampled(ONE_OF_EACH["affine"], WIDTH, HEIGHT, 8)(np.array([[-50.0, 200.0]]))
    assert np.allclose(beyond, ONE_OF_EACH["affine"](np.array([[-50.0, 200.0]])))


def test_composing_maps_of_matrices_gives_one_matrix_and_bent_ones_a_chain():
    xy = pixel_centres(WIDTH, HEIGHT, step=9).reshape(-1, 2)
    shift, turn, spline = ONE_OF_EACH["translation"], ONE_OF_EACH["similarity"], ONE_OF_EACH["tps"]
    assert isinstance(compose(shift, turn), Linear) and np.allclose(compose(shift, turn)(xy), turn(shift(xy)))
    chain = compose(shift, spline, turn)
    assert isinstance(chain, Chain) and chain.kind == "tps" and chain.matrix is None
    assert np.allclose(chain(xy), turn(spline(shift(xy))))
    assert np.abs(chain.inverse(chain(xy)) - xy).max() < 1e-3
    with pytest.raises(TypeError):
        chain.as_dict()


@every_kind
def test_a_band_of_another_pixel_size_goes_to_the_same_places(transform):
    """The corner of a half-size band's pixel (10, 5) is the corner of the full-size pixel (20, 10)."""
    half = rescaled(transform, (WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 3))
    assert np.allclose(half(np.array([[10.0, 5.0]])), transform(np.array([[20.0, 15.0]])))
    assert rescaled(transform, (WIDTH, HEIGHT), (WIDTH, HEIGHT)) is transform


@pytest.mark.timeout(10)
def test_nodes_without_a_place_are_left_out_of_the_inverse():
    """LAPACK's least squares may not come to an end on numbers that are not finite."""

    def half(xy):
        return np.where(xy[:, :1] < 50, xy + [3.0, -2.0], np.inf)

    grid = DisplacementGrid.sampled(half, 100, 80, 10)
    assert np.isnan(grid.target_xy[:, 6:]).all()
    assert np.allclose(grid.inverse(np.array([[23.0, 18.0]])), [[20.0, 20.0]], atol=1e-3)
    nowhere = DisplacementGrid.sampled(lambda xy: xy * np.nan, 100, 80, 10)
    assert np.isnan(nowhere.inverse(np.array([[23.0, 18.0]]))).all()


@pytest.mark.parametrize(
    ("origin", "step", "value"),
    [((0, 0), (10, 10), np.inf), ((np.inf, 0), (10, 10), 0.0), ((0, 0), (0, 10), 0.0), ((0, 0), (10, np.nan), 0.0)],
)
def test_a_grid_that_places_nothing_is_refused(origin, step, value):
    with pytest.raises(ValueError, match="grid"):
        DisplacementGrid(origin, step, np.full((3, 4, 2), value))


def bent_nodes(width, height, rng, amount):
    nodes = pixel_centres(width, height, step=width // 8).reshape(-1, 2)
    return ThinPlateSpline(nodes, nodes + rng.uniform(-amount, amount, nodes.shape))


def test_a_spline_goes_over_into_its_affine_part_without_a_kink():
    turn = similarity(9.0, 1.1, (3.0, 4.0))
    nodes = pixel_centres(100, 80, step=12).reshape(-1, 2)
    spline = ThinPlateSpline(nodes, turn(nodes) + 4 * np.sin(nodes[:, ::-1] / 15))
    far = np.array([[2000.0, 1500.0], [-900.0, 3000.0], [50.0, -1200.0]])
    directions = spline(far + 1.0) - spline(far)
    assert np.allclose(directions, directions[0], atol=1e-6)
    # Along a line that leaves the hull, positions and slopes have no jump that steps of a thousandth would show.
    along = np.column_stack([np.linspace(90, 120, 30_001), np.full(30_001, 41.3)])
    slopes = np.diff(spline(along), axis=0) / 1e-3
    assert np.abs(np.diff(slopes, axis=0)).max() < 1e-3


def test_beyond_its_border_a_grid_keeps_what_it_is_off_from_its_affine_part():
    turn = similarity(9.0, 1.1, (3.0, 4.0))
    grid = DisplacementGrid.sampled(lambda xy: turn(xy) + 4 * np.sin(xy[:, ::-1] / 15), WIDTH, HEIGHT, 4)
    line = np.column_stack([np.linspace(70, 150, 8001), np.full(8001, 33.3)])
    assert np.abs(np.diff(grid(line), axis=0)).max() < 0.03
    far = np.array([[500.0, 33.3], [5000.0, 33.3]])
    stiff = nearest_affine(grid.nodes_xy.reshape(-1, 2), grid.target_xy.reshape(-1, 2))
    off = grid(far) - apply_affine(stiff, far)
    assert np.allclose(off[0], off[1]) and np.abs(off).max() < 5
    inward = np.diff(grid(np.array([[79.0, 33.3], [80.0, 33.3], [80.01, 33.3]])), axis=0) / [[1.0], [0.01]]
    assert np.allclose(inward[0], inward[1], atol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_a_map_that_does_not_fold_inside_does_not_fold_around_it(seed):
    spline = bent_nodes(160, 120, np.random.default_rng(seed), 4.0)
    around = pixel_centres(480, 360, step=6).reshape(-1, 2) - (160, 120)
    for transform in (spline, DisplacementGrid.sampled(spline, 160, 120, 8)):
        sides = np.stack([transform(around + axis) - transform(around - axis) for axis in np.eye(2) / 20], -1) * 10
        assert np.linalg.det(sides).min() > 0


def test_maps_say_where_they_are_only_continued():
    nodes = pixel_centres(100, 80, step=10).reshape(-1, 2)
    spline = ThinPlateSpline(nodes, nodes + np.sin(nodes[:, ::-1] / 15))
    xy = np.array([[50.0, 40.0], [1.0, 1.0], [-20.0, 40.0], [150.0, 90.0], [np.nan, 3.0]])
    assert spline.supported(xy).tolist() == [True, True, False, False, False]
    assert spline.inverse.supported(spline(xy)).tolist() == [True, True, False, False, False]
    shifted = compose(translation(-30, 0), spline)
    assert shifted.supported(xy).tolist() == [True, False, False, False, False]
    grid = DisplacementGrid.sampled(spline, 200, 80, 10, spline.supported)
    again = transform_from_dict(json.loads(json.dumps(grid.as_dict())))
    assert again.supported(xy).tolist() == [True, True, False, False, False]
    everywhere = DisplacementGrid.sampled(spline, 200, 80, 10)
    assert everywhere.supported([[150.0, 70.0], [150.0, 90.0]]).tolist() == [True, False]
    tilted = homography([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    assert tilted.supported(np.array([[50.0, 3.0], [150.0, 3.0]])).tolist() == [True, False]


@pytest.mark.parametrize("amount", [2.0, 6.0])
def test_the_inverse_of_a_bend_is_exact_to_a_hundredth_of_a_px(amount):
    spline = bent_nodes(160, 120, np.random.default_rng(7), amount)
    xy = pixel_centres(160, 120, step=4).reshape(-1, 2)
    for transform in (spline, DisplacementGrid.sampled(spline, 160, 120, 10)):
        assert np.abs(transform.inverse(transform(xy)) - xy).max() < 0.01


def test_where_nothing_lands_the_inverse_is_none():
    """Moving is laid over itself along a line, so that nothing of it comes to lie beyond."""
    folded = DisplacementGrid.sampled(lambda xy: np.column_stack([-((xy[:, 0] - 50) ** 2) / 50, xy[:, 1]]), 100, 80, 5)
    nowhere, somewhere = np.array([[3.0, 40.0], [20.0, 10.0]]), np.array([[-20.0, 40.0]])
    assert np.isnan(folded.inverse(nowhere)).all() and np.allclose(folded(folded.inverse(somewhere)), somewhere)
