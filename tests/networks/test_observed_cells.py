"""What a network that draws fields sees: the search's own fields, and what it may need besides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from xmatch.matchers.search.pooled_descriptors import pooled_edge_descriptors
from xmatch.networks.fieldnet.cells import CHANNELS, HAND, STRIDE, observed_cells


def scene(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((150, 180), np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 2) + 3 * cv2.GaussianBlur(noise, (0, 0), 8)
    return (image - image.min()) / np.ptp(image)


def observed(image: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    planes, cover = observed_cells(torch.from_numpy(image)[None, None], torch.from_numpy(valid)[None, None])
    assert planes.shape == (1, CHANNELS, image.shape[0] // STRIDE, image.shape[1] // STRIDE)
    return planes[0].numpy(), cover[0, 0].numpy() > 0


@pytest.mark.parametrize("plane", range(HAND))
def test_the_first_planes_are_those_of_the_search(plane):
    image, valid = scene(), np.ones((150, 180), bool)
    valid[:60, :45] = False
    planes, cover = observed(image, valid)
    wanted = pooled_edge_descriptors(image, valid)
    both = cover & (wanted.valid > 0.9)
    one, other = planes[plane][both], wanted.planes[..., plane][both]
    assert np.corrcoef(one, other)[0, 1] > 0.9
    assert one.std() == pytest.approx(other.std(), rel=0.2)


def test_what_is_not_valid_has_no_say():
    image, valid = scene(), np.ones((150, 180), bool)
    valid[:, :60] = False
    other = np.where(valid, image, scene(1))
    (one, cover), (two, _) = observed(image, valid), observed(other, valid)
    assert np.array_equal(one, two)
    assert not one[:, :, :20].any() and cover[5:-5, 24:-5].all()


def test_brightness_and_texture_do_not_depend_on_the_range():
    image, valid = scene(), np.ones((150, 180), bool)
    (one, _), (two, _) = observed(image, valid), observed(0.5 * image + 0.2, valid)
    assert np.allclose(one[6:8], two[6:8], atol=1e-3) and one[6].std() > 0.5
