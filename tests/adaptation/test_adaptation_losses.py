"""Equations (1) and (2) against sums worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import cell_centres
from xmatch.networks.losses import LossWeights, charbonnier, dense_loss
from xmatch.networks.pseudo_labels import Labels, certainty_loss, pseudo_loss
from xmatch.networks.registry import load_objective

SIDE = 32


def prediction(logits: float = 0.0, off_px: float = 0.0, grad: bool = False) -> Prediction:
    """Identity at stride 8 (coarse), and at stride 4 off by so many px to the right."""
    eight, four = (cell_centres(n, n, torch.zeros(1))[None] for n in (4, 8))
    scores = torch.full((1, 16, 16), -3.0, requires_grad=grad)
    fine = (four + torch.tensor([2 * off_px / SIDE, 0.0])).requires_grad_(grad)
    scales = (DenseWarp(8, eight, torch.full((1, 4, 4), logits)), DenseWarp(4, fine, torch.full((1, 8, 8), logits)))
    return Prediction(scales, scores, (four,))


def labels(n: int, positive: float = 1.0, chosen: float = 1.0) -> Labels:
    """The identity; the first rows of cells are positive, and chosen."""
    rows = torch.arange(n)[None, :, None].expand(1, n, n)
    return Labels(cell_centres(n, n, torch.zeros(1))[None], rows < positive * n, rows < chosen * n)


def test_the_terms_of_equation_2_are_means_over_their_own_sets():
    targets = [labels(4), labels(8, 0.5, 0.75)]
    found = pseudo_loss(prediction(logits=1.0, off_px=4.0), targets, (SIDE, SIDE), LossWeights(certainty=0.1)).named()
    # One cell off everywhere: the mean over the positives is that of any one.
    assert float(found["regression_4"]) == pytest.approx(float(charbonnier(torch.tensor(1.0))))
    # Of six chosen rows four are positives: cross-entropies of a logit of 1 with 1 and with 0.
    with_one, with_zero = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert float(found["certainty_4"]) == pytest.approx((4 * with_one + 2 * with_zero) / 6)
    assert float(found["regression_coarse"]) == pytest.approx(3.0)
    certainties = float(found["certainty_4"] + found["certainty_coarse"])
    regressions = float(found["regression_4"] + found["regression_coarse"])
    assert float(found["total"]) == pytest.approx(regressions + 0.1 * certainties)


def test_without_any_label_the_loss_is_zero_and_finite():
    found = pseudo_loss(
        prediction(), [labels(4, 0, 0), labels(8, 0, 0)], (SIDE, SIDE), LossWeights(certainty=1.0)
    ).named()
    assert all(float(value) == 0 for value in found.values())


def test_what_lies_beyond_a_refiners_window_is_not_taught():
    far = prediction(off_px=4.0)
    lost = Prediction(far.scales, far.scores, (far.guesses[0] + 1.0,))
    assert (
        float(
            pseudo_loss(lost, [labels(4), labels(8)], (SIDE, SIDE), LossWeights(certainty=0.0)).named()["regression_4"]
        )
        == 0
    )


def test_a_scale_that_is_its_own_label_teaches_no_warp():
    """Why equation (2) needs another scale: the regression of a prediction onto itself has no gradient."""
    own = prediction(off_px=2.0, grad=True)
    itself = Labels(own.scales[1].warp.detach(), torch.ones(1, 8, 8, dtype=bool), torch.ones(1, 8, 8, dtype=bool))
    pseudo_loss(own, [labels(4), itself], (SIDE, SIDE), LossWeights(certainty=1.0)).total.backward()
    assert float(own.scales[1].warp.grad.abs().max()) == 0
    assert float(own.scores.grad.abs().max()) > 0


def test_certainty_is_the_cross_entropy_of_pretraining_where_all_cells_are_chosen():
    logits = torch.linspace(-2, 2, 16).view(1, 4, 4)
    target = labels(4, 0.5)
    expected = F.binary_cross_entropy_with_logits(logits, target.positive.float())
    assert float(certainty_loss(logits, target)) == pytest.approx(float(expected))


def test_equation_1_is_the_loss_of_pretraining_with_its_own_weight_of_certainty():
    from types import SimpleNamespace

    warp = cell_centres(SIDE, SIDE, torch.zeros(1))[None]
    covisible = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    batch = SimpleNamespace(moving=torch.zeros(1, 1, SIDE, SIDE), warp=warp, covisible=covisible)
    weights = LossWeights(certainty=0.01, local=0.0)
    found = load_objective("dense").supervised(prediction(off_px=1.0), batch, weights)
    parts = dense_loss(prediction(off_px=1.0), batch).named()
    expected = parts["coarse"] + parts["regression_4"] + 0.01 * (parts["certainty_coarse"] + parts["certainty_4"])
    assert float(found.total) == pytest.approx(float(expected))
