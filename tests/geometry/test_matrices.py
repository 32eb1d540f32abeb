import numpy as np
import pytest

from xmatch.geometry import homography, similarity
from xmatch.geometry.matrices import (
    apply_affine,
    apply_projective,
    local_scale,
    nearest_affine,
    scale_of,
    shift_matrix,
)

POINTS = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 4.0], [3.0, 7.0]])
AFFINE = np.array([[1.2, 0.3, 5.0], [-0.1, 0.9, -2.0], [0.0, 0.0, 1.0]])


def test_positions_move_as_the_matrix_says():
    assert apply_affine(AFFINE, np.array([[10.0, 0.0]])) == pytest.approx(np.array([[17.0, -3.0]]))
    assert apply_affine(AFFINE[:2], POINTS) == pytest.approx(apply_projective(AFFINE, POINTS))
    assert apply_affine(shift_matrix((3, -1)), POINTS) == pytest.approx(POINTS + (3, -1))


def test_a_projective_map_divides_by_w():
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.0, 1.0]])
    assert apply_projective(matrix, np.array([[10.0, 4.0]])) == pytest.approx(np.array([[5.0, 2.0]]))


def test_scale_is_that_of_lengths_mirrored_or_not():
    turned = similarity(33.0, 2.5, (4.0, 5.0)).matrix
    assert scale_of(turned) == pytest.approx(2.5)
    assert scale_of(turned @ np.diag([-1.0, 1.0, 1.0])) == pytest.approx(2.5)
    assert local_scale(similarity(33.0, 2.5), (100.0, 50.0)) == pytest.approx(2.5)


def test_the_nearest_affine_of_an_affine_map_is_itself():
    assert nearest_affine(POINTS, apply_affine(AFFINE, POINTS)) == pytest.approx(AFFINE)


def test_the_nearest_affine_of_a_perspective_misses_all_corners_alike():
    bent = homography(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.01, 0.0, 1.0]]))
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    miss = apply_affine(nearest_affine(square, bent(square)), square) - bent(square)
    assert np.abs(miss).max() > 0.1 and miss.mean(axis=0) == pytest.approx((0.0, 0.0))
    assert np.abs(miss[:, 1]) == pytest.approx(np.full(4, np.abs(miss[0, 1])))


def test_two_points_leave_an_affine_map_open():
    assert np.isnan(nearest_affine(POINTS[:2], POINTS[:2])).all()


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_say_in_the_nearest_affine(hole):
    spoilt = apply_affine(AFFINE, POINTS).astype(float)
    spoilt[0, 1] = hole
    assert nearest_affine(POINTS, spoilt) == pytest.approx(nearest_affine(POINTS[1:], apply_affine(AFFINE, POINTS[1:])))
    elsewhere = np.vstack([POINTS, [(hole, 1.0)]])
    assert nearest_affine(elsewhere, apply_affine(AFFINE, np.vstack([POINTS, [(1.0, 1.0)]]))) == pytest.approx(AFFINE)


@pytest.mark.parametrize(("here", "there"), [(1e308, 1.0), (1.0, 1e308), (1e308, 1e308), (1e-300, 1e308)])
def test_the_nearest_affine_comes_to_an_end_on_numbers_whose_squares_no_float_holds(here, there):
    matrix = nearest_affine(POINTS / np.abs(POINTS).max() * here, POINTS / np.abs(POINTS).max() * there)
    assert np.isnan(matrix).all() or matrix[:2, :2] == pytest.approx(
        there / here * np.eye(2), rel=1e-9, abs=1e-9 * there / here
    )
