"""There and back: how far off a cell comes home, and the guard that keeps the best."""

import pytest
import torch
from torch import nn

from xmatch.adaptation.evidence import (
    fields_score,
    follow_distance_px,
    return_distance_px,
    turned,
    turns,
    unlabelled_score,
)
from xmatch.adaptation.guard import Guard
from xmatch.models import DenseWarp, Prediction
from xmatch.models.geometry import cell_centres
from xmatch.synth.pairs import TrainingPairs

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


def pairs(count: int = 2) -> TrainingPairs:
    rng = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 1, 6, 6, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")
    valid = torch.ones(count, 1, SIDE, SIDE, dtype=torch.bool)
    warp = cell_centres(SIDE, SIDE, image).expand(count, SIDE, SIDE, 2)
    return TrainingPairs(image, valid, image, valid, warp, valid[:, 0], (("a", "b"),) * count)


def test_moving_is_turned_where_the_matrix_says():
    batch, turn = pairs(), turns(2, 0)
    moved = turned(batch, turn)
    at = torch.tensor([0.2, -0.1])
    there = turn[:, :2, :2] @ at + turn[:, :2, 2]

    def value(image, places):
        return torch.nn.functional.grid_sample(image, places[:, None, None], align_corners=False).flatten()

    assert torch.allclose(value(moved.moving, there), value(batch.moving, at.expand(2, 2)), atol=0.03)
    assert not moved.moving_valid.all() and torch.equal(moved.fixed, batch.fixed)


def test_an_answer_that_turns_along_follows():
    found, turn = warp(3.0), turns(1, 5)
    along = (turn[:, None, None, :2, :2] @ found.warp[..., None])[..., 0] + turn[:, None, None, :2, 2]
    moved = DenseWarp(4, along, found.certainty)
    assert float(follow_distance_px(found, moved, turn, (SIDE, SIDE)).max()) < 1e-4
    assert float(follow_distance_px(found, found, turn, (SIDE, SIDE)).median()) > 1.0


class SamePlace(nn.Module):
    """Answers "the same place", whatever it is shown."""

    def forward(self, fixed, fixed_valid, moving, moving_valid, *, finest=1):
        cells = cell_centres(8, 8, fixed).expand(len(fixed), 8, 8, 2)
        return Prediction((DenseWarp(4, cells, cells[..., 0]),), fixed.new_zeros(0), ())


def test_a_network_that_always_answers_the_same_place_scores_low_though_it_comes_back(monkeypatch):
    monkeypatch.setattr("xmatch.adaptation.evidence.AGREE_PX", 1.0)  # these images are small
    row = unlabelled_score(SamePlace(), [pairs()], torch.device("cpu"), 4)
    assert row["returns"] == 100 and row["score"] == row["follows"] < 35 and row["pairs"] == 2


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


class Sure:
    """An objective whose loss is known, and that draws numbers as `Fields` does."""

    def __init__(self, loss: float) -> None:
        self.loss = loss

    def step(self, model, batch, *, finest=1):
        return {"total": torch.tensor(self.loss) + 0 * torch.rand(1)[0]}

    def errors(self, model, batch):
        return tuple(torch.tensor([2.0]) for _ in range(len(batch)))


def test_fields_are_judged_by_the_probability_of_the_truth_and_leave_chance_as_it_was():
    square = torch.rand(2, 1, SIDE, SIDE)
    valid = torch.ones(2, 1, SIDE, SIDE, dtype=torch.bool)
    flow = cell_centres(SIDE, SIDE, torch.zeros(1))[None].expand(2, -1, -1, -1)
    batch = TrainingPairs(square, valid, square, valid, flow, valid[:, 0], (("a", "b"),) * 2, ("x", "y"))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    row = fields_score(Sure(0.5), nn.Identity(), [batch, batch], torch.device("cpu"))
    assert row["score"] == pytest.approx(100 * 2.718281828**-0.5, abs=1e-2)
    assert row["within_3px"] == 1.0 and row["within_1px"] == 0.0 and row["pairs"] == 4
    assert torch.equal(before, torch.random.get_rng_state())
