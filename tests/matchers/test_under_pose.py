"""Moving is seen under a pose as fixed is, and what is found there leads back."""

import numpy as np
from made_views import pose, scene, seen_from, view

from xmatch.matchers.under_pose import reduced, under_pose

SIDE = 112
IMAGE = scene(SIDE, SIDE)


def test_a_view_warped_down_by_the_truth_looks_like_the_fixed_one_and_knows_where_it_came_from():
    truth = pose(SIDE, SIDE, turn_deg=20, shift=(4, -3))
    moving = seen_from(IMAGE, truth)
    here = reduced(view(IMAGE), 1.0)
    laid = under_pose(moving, truth, here)
    assert laid.valid.mean() > 0.6
    assert np.abs(laid.image - here.image)[laid.valid].mean() < 0.03
    np.testing.assert_allclose(laid.to_view, np.linalg.inv(truth), atol=1e-9)


def test_what_is_laid_down_by_a_quarter_turn_is_the_same_to_the_px():
    quarter = np.array([[0.0, -1.0, SIDE], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    laid = under_pose(view(np.rot90(IMAGE)), quarter, reduced(view(IMAGE), 1.0))
    np.testing.assert_allclose(laid.image[laid.valid], IMAGE[laid.valid], atol=1e-5)
    assert laid.valid.mean() > 0.97
