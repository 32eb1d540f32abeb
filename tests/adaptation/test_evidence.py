"""There and back: how far off a cell comes home, and the guard that keeps the best."""

import pytest
import torch
from torch import nn

from xmatch.adaptation.evidence import return_distance_px
from xmatch.adaptation.guard import Guard
from xmatch.models import DenseWarp
from xmatch.models.geometry import cell_centres

SIDE = 32


def warp(shift_px: float) -> DenseWarp:
    cells = cell_centres(8, 8, torch.zeros(1))[None]
    return DenseWarp(4, cells + torch.tensor([2 * shift_px / SIDE, 0.0]), torch.zeros(1, 8, 8))


def test_a_way_back_that_undoes_the_way_there_comes_home():
    distance = return_distance_px(warp(4.0), warp(-4.0), (SIDE, SIDE))[0]
    assert distance[:, :-2].max() < 1e-4
    assert torch.isinf(distance[:, -1]).all()  # beyond moving's border


def test_what_the_way_back_misses_is_counted_in_px_of_fixed():
    distance = return_distance_px(warp(4.0), warp(-1.0), (SIDE, SIDE))[0]
    assert float(distance[4, 3]) == pytest.approx(3.0, abs=1e-4)


class Stand:
    """A run whose network has one number."""

    def __init__(self, values):
        self.values, self.step = iter(values), 0

    def averaged_model(self):
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, next(self.values))
        return model


def measured(model):
    return [{"score": float(model.weight.detach())}]


def test_the_best_is_kept_and_compared_with_the_untouched_network():
    guard, run = Guard(measured), Stand([50, 40, 70, 60])
    guard.begin(run)
    for step in (1, 2, 3):
        run.step = step
        guard.check(run)
        assert guard.better == (step >= 2)
    assert guard.best == {"step": 2, "score": 70} and float(guard.weights["weight"]) == 70
    again = Guard(measured)
    again.load_state_dict(guard.state_dict())
    assert again.best == guard.best and again.better


def test_as_good_as_before_is_not_better_and_a_gain_may_be_asked_for():
    for gain, better in ((0.0, True), (15.0, False)):
        guard, run = Guard(measured, gain), Stand([50, 50, 60])
        guard.begin(run)
        guard.check(run)
        assert not guard.better
        guard.check(run)
        assert guard.better == better
