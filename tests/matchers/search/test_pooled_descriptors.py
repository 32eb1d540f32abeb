"""Fields for the search: pooled, blind to what is not valid, and turning with the image."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import inverted, scene

from xmatch.matchers.search.pooled_descriptors import CELL_PX, pooled_edge_descriptors


@pytest.mark.parametrize("shape", [(48, 66), (49, 64), (16, 31)])
def test_images_of_any_size_are_pooled_into_cells(shape):
    found = pooled_edge_descriptors(scene(shape[1], shape[0]), np.ones(shape, bool))
    assert found.planes.shape == (-(-shape[0] // CELL_PX), -(-shape[1] // CELL_PX), 2 * len(found.orders))
    assert found.valid.shape == found.planes.shape[:2] and found.orders == (2, 0)


def test_what_is_not_valid_has_no_say():
    image, valid = scene(90, 90), np.ones((90, 90), bool)
    valid[:, :30] = False
    other = np.where(valid, image, np.random.default_rng(0).random((90, 90), np.float32)).astype(np.float32)
    one, two = pooled_edge_descriptors(image, valid), pooled_edge_descriptors(other, valid)
    assert np.array_equal(one.planes, two.planes)
    assert one.planes[:, :10].any() == 0 and one.planes[:, 12:].std() > 0.1


def test_a_quarter_turn_turns_directions_and_leaves_amounts():
    image, valid = scene(90, 90), np.ones((90, 90), bool)
    upright = np.rot90(pooled_edge_descriptors(image, valid).planes, 1)
    turned = pooled_edge_descriptors(np.ascontiguousarray(np.rot90(image, 1)), valid).planes
    assert np.allclose(turned[..., :2], -upright[..., :2], atol=1e-4)
    assert np.allclose(turned[..., 2:], upright[..., 2:], atol=1e-4)


def test_inverted_contrast_hardly_changes_anything():
    image, valid = scene(90, 90), np.ones((90, 90), bool)
    one, two = (pooled_edge_descriptors(x, valid).planes.ravel() for x in (image, inverted(image)))
    assert np.corrcoef(one, two)[0, 1] > 0.8


def test_the_rim_of_what_is_valid_is_no_edge():
    image, valid = scene(120, 120), np.ones((120, 120), bool)
    whole = pooled_edge_descriptors(image, valid)
    valid[:, :45] = False
    cut = pooled_edge_descriptors(image, valid)
    rim = np.s_[5:-5, 16:18, 3]  # the amount of large edges
    assert cut.planes[rim].mean() < whole.planes[rim].mean() + 0.15
