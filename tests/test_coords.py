"""Half pixels: one convention inside, and exact ways to those of OpenCV, ITK and torch."""

import cv2
import numpy as np
import pytest

from xmatch.coords import (
    corners,
    from_centre_matrix,
    from_centre_xy,
    from_normalised,
    pixel_centres,
    to_centre_matrix,
    to_centre_xy,
    to_normalised,
)

POINTS = np.array([[0.0, 0.0], [0.5, 0.5], [12.25, 7.0], [-3.0, 90.5]])


def test_the_first_pixel_is_centred_at_one_half():
    assert pixel_centres(3, 2)[0, 0].tolist() == [0.5, 0.5]
    assert pixel_centres(3, 2).shape == (2, 3, 2)
    assert pixel_centres(3, 2)[1, 2].tolist() == [2.5, 1.5]


def test_a_window_has_the_centres_of_the_whole():
    assert np.array_equal(pixel_centres(4, 3, 10, 20), pixel_centres(40, 40)[20:23, 10:14])
    assert np.array_equal(pixel_centres(7, 5, 2, 1, step=3), pixel_centres(40, 40)[1:6:3, 2:9:3])


def test_opencv_and_itk_call_the_first_centre_zero():
    assert to_centre_xy(np.array([0.5, 0.5])).tolist() == [0, 0]
    assert np.array_equal(from_centre_xy(to_centre_xy(POINTS)), POINTS)


def test_a_matrix_of_opencv_maps_the_same_points():
    """OpenCV's own idea of doubling an image's size, and ours, agree on where its pixels go."""
    ours = np.diag([2.0, 2.0, 1.0])
    image = np.zeros((8, 8), np.float32)
    image[3, 5] = 1
    big = cv2.warpPerspective(image, to_centre_matrix(ours), (16, 16), flags=cv2.INTER_LINEAR)
    ys, xs = np.mgrid[:16, :16] + 0.5
    centre_of_mass = np.array([(xs * big).sum(), (ys * big).sum()]) / big.sum()
    assert np.allclose(centre_of_mass, 2 * np.array([5.5, 3.5]))


def test_matrices_come_back():
    matrix = np.array([[1.1, 0.1, 5], [-0.2, 0.9, 3], [1e-3, 2e-3, 1]])
    assert np.allclose(from_centre_matrix(to_centre_matrix(matrix)), matrix)


def test_normalised_positions_run_from_border_to_border():
    assert to_normalised(corners(40, 30), 40, 30).tolist() == [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    assert np.allclose(from_normalised(to_normalised(POINTS, 40, 30), 40, 30), POINTS)


def test_normalised_positions_are_those_of_grid_sample():
    torch = pytest.importorskip("torch")
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    grid = torch.from_numpy(to_normalised(pixel_centres(4, 3), 4, 3)).float()[None]
    sampled = torch.nn.functional.grid_sample(image, grid, align_corners=False)
    assert torch.allclose(sampled, image, atol=1e-5)
