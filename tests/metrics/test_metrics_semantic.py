"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math

import numpy as np
import pytest

from xmatch import metrics

INF = float("inf")


def test_scales_are_the_longer_sides():
    assert metrics.box_scale_px((10, 20, 40, 120)) == 100
    assert metrics.box_scale_px((10, 20, 70, 30)) == 60
    assert metrics.image_scale_px(30, 50) == 50


def test_keypoints_are_right_up_to_alpha_times_the_box():
    """Box of 100 px: errors 5, 10 and 10.1 px."""
    true = np.array([[50.0, 50], [60, 60], [70, 70]])
    errors = metrics.keypoint_errors(true + [[3, 4], [10, 0], [0, 10.1]], true, metrics.box_scale_px((0, 0, 100, 40)))
    found = metrics.pck([errors], (0.01, 0.05, 0.1))
    assert found.per_image == pytest.approx([0, 100 / 3, 200 / 3])
    assert (found.images, found.points) == (1, 3)


def test_per_image_and_per_point_differ_where_images_have_unlike_many_keypoints():
    """One image with one right keypoint, one with three wrong ones, one without any."""
    found = metrics.pck([np.array([0.0]), np.full(3, 0.5), np.zeros(0)], [0.1])
    assert found.per_image == pytest.approx([50]) and found.per_point == pytest.approx([25])
    assert (found.images, found.points) == (2, 4)


def test_a_keypoint_without_prediction_is_wrong():
    assert metrics.keypoint_errors(np.array([[np.nan, 1.0]]), np.array([[1.0, 1.0]]), 10).tolist() == [INF]


def test_pck_of_nothing_and_of_an_empty_box():
    assert math.isnan(metrics.pck([], [0.1]).per_image[0]) and math.isnan(metrics.pck([], [0.1]).per_point[0])
    with pytest.raises(ValueError, match="scale above 0"):
        metrics.keypoint_errors(np.zeros((1, 2)), np.zeros((1, 2)), metrics.box_scale_px((5, 5, 5, 5)))


def test_pck_agrees_with_loops_over_images_and_keypoints():
    """As DIFT's evaluation of SPair-71k counts: a counter an image, and one for all."""
    rng = np.random.default_rng(0)
    images = [(rng.uniform(0, 200, (2, n, 2)), rng.uniform(80, 200)) for n in (3, 8, 20)]
    errors = [metrics.keypoint_errors(predicted, true, scale) for (predicted, true), scale in images]
    for alpha in (0.1, 0.3, 0.6):
        shares, right = [], 0
        for (predicted, true), scale in images:
            correct = sum(math.dist(a, b) / scale <= alpha for a, b in zip(predicted, true, strict=True))
            shares.append(correct / len(true))
            right += correct
        found = metrics.pck(errors, [alpha])
        assert found.per_image[0] == pytest.approx(100 * sum(shares) / 3, abs=1e-6)
        assert found.per_point[0] == pytest.approx(100 * right / 31, abs=1e-6)
