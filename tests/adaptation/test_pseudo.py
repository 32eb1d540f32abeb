"""Pseudo-labels on hand-made predictions: what is resized, what is chosen, what carries no gradient."""

import numpy as np
import pytest
import torch

from xmatch.adaptation.pseudo import (
    finest_labels,
    fitted_labels,
    fitted_transforms,
    own_labels,
    pseudo_labels,
    seen_at,
)
from xmatch.adaptation.thresholds import Bounds
from xmatch.geometry import similarity
from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import cell_centres

BOUNDS = Bounds(0.8, 0.2)
SIDE = 64


def predicted(strides=(8, 8, 4), shift=0.0, logits=4.0) -> Prediction:
    """Every scale says the same: moved to the right by `shift`, equally sure."""
    scales = []
    for stride in strides:
        n = SIDE // stride
        warp = (cell_centres(n, n, torch.zeros(1)) + torch.tensor([shift, 0.0])).expand(2, n, n, 2)
        scales.append(DenseWarp(stride, warp.clone().requires_grad_(), torch.full((2, n, n), logits)))
    return Prediction(tuple(scales), torch.zeros(0), tuple(s.warp for s in scales[1:]))


def everywhere(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


def test_the_finest_scale_is_averaged_down_to_a_coarser_grid():
    warp = torch.zeros(1, 4, 4, 2)
    warp[0, :2, :2, 0] = torch.tensor([[0.0, 0.2], [0.4, 0.6]])
    logits = torch.full((1, 4, 4), -9.0)
    logits[0, :2, :2] = 9.0
    labels = finest_labels(DenseWarp(4, warp, logits), (2, 2), BOUNDS, everywhere(1, 2, 2))
    assert labels.warp[0, 0, 0, 0] == pytest.approx(0.3)
    assert labels.positive[0].tolist() == [[True, False], [False, False]]
    assert labels.chosen.all()


def test_between_the_bounds_a_cell_is_left_alone_and_unseen_cells_always_are():
    logits = torch.logit(torch.tensor([[[0.9, 0.5, 0.1, 0.9]]]))
    found = DenseWarp(4, torch.zeros(1, 1, 4, 2), logits)
    labels = own_labels(found, BOUNDS, torch.tensor([[[True, True, True, False]]]))
    assert labels.positive[0, 0].tolist() == [True, False, False, False]
    assert labels.chosen[0, 0].tolist() == [True, False, True, False]


@pytest.mark.parametrize("scheme", ["pl-f", "pl", "pl-ema", "pl-ema-f", "pl-t"])
def test_no_scheme_lets_a_gradient_through_and_each_has_the_grids_of_the_scales(scheme):
    own, teacher = predicted(), predicted(shift=0.25)
    valid = everywhere(2, 1, SIDE, SIDE)
    labels = pseudo_labels(scheme, own, teacher, BOUNDS, valid, valid)
    assert [tuple(target.warp.shape[1:3]) for target in labels] == [(8, 8), (8, 8), (16, 16)]
    assert not any(target.warp.requires_grad for target in labels)


def test_the_moving_average_supervises_where_the_scheme_says_so():
    own, teacher = predicted(shift=0.0), predicted(shift=0.25)
    valid = everywhere(2, 1, SIDE, SIDE)
    for scheme, shift in {"pl-f": 0.0, "pl": 0.0, "pl-ema": 0.25, "pl-ema-f": 0.25}.items():
        label = pseudo_labels(scheme, own, teacher, BOUNDS, valid, valid)[0]
        off = label.warp - cell_centres(8, 8, label.warp)
        assert off[..., 0].mean() == pytest.approx(shift, abs=1e-5)


def test_the_finest_schemes_ignore_what_coarser_scales_say():
    own = predicted(strides=(8, 4))
    odd = DenseWarp(8, own.scales[0].warp + 0.5, own.scales[0].certainty)
    mixed = Prediction((odd, own.scales[1]), own.scores, own.guesses)
    valid = everywhere(2, 1, SIDE, SIDE)
    by_finest = pseudo_labels("pl-f", mixed, None, BOUNDS, valid, valid)[0]
    by_itself = pseudo_labels("pl", mixed, None, BOUNDS, valid, valid)[0]
    assert torch.allclose(by_finest.warp, own.scales[0].warp, atol=1e-5)
    assert torch.allclose(by_itself.warp, odd.warp)


def test_a_transform_is_fitted_through_sure_cells_and_wrong_unsure_ones_do_not_matter():
    truth = similarity(10.0, 1.1, (3.0, -2.0))
    n = SIDE // 4
    px = (cell_centres(n, n, torch.zeros(1)).numpy() + 1) / 2 * SIDE
    there = truth(px.reshape(-1, 2)).reshape(n, n, 2)
    warp = torch.from_numpy(there / SIDE * 2 - 1).float()[None]
    logits = torch.full((1, n, n), 5.0)
    warp[0, :4], logits[0, :4] = 0.7, -5.0
    (found,) = fitted_transforms(DenseWarp(4, warp, logits), BOUNDS, everywhere(1, n, n), (SIDE, SIDE), "similarity")
    places = np.array([[5.0, 6.0], [50.0, 20.0]])
    np.testing.assert_allclose(found(places), truth(places), atol=0.01)
    labels = fitted_labels([found], everywhere(1, 1, SIDE, SIDE), 4, everywhere(1, n, n))
    inside = ((there > 0) & (there < SIDE)).all(-1)
    assert (labels.positive[0].numpy() == inside).mean() > 0.98  # cells on the very edge may fall to either side
    assert labels.chosen.all()


def test_where_no_transform_fits_nothing_is_taught():
    n = SIDE // 4
    noise = torch.rand(1, n, n, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    unsure = DenseWarp(4, noise, torch.full((1, n, n), -5.0))
    (found,) = fitted_transforms(unsure, BOUNDS, everywhere(1, n, n), (SIDE, SIDE), "homography")
    assert found is None
    labels = fitted_labels([found], everywhere(1, 1, SIDE, SIDE), 8, everywhere(1, 8, 8))
    assert not labels.positive.any() and not labels.chosen.any()


def test_a_cell_is_seen_when_all_of_its_pixels_are_valid():
    valid = everywhere(1, 1, 8, 8)
    valid[0, 0, 3, 3] = False
    assert seen_at(valid, 4)[0].tolist() == [[False, True], [True, True]]
