"""There and back: how far off a cell comes home, and the guard that keeps the best."""

import math

import pytest
import torch
from torch import nn

from xmatch.adaptation.evidence import (
    Evidence,
    follow_distance_px,
    labelled_score,
    return_distance_px,
    turned,
    turns,
    unlabelled_score,
)
from xmatch.adaptation.guard import Gain, Guard
from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import cell_centres
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
    found = unlabelled_score(SamePlace(), [pairs()], torch.device("cpu"), 4)
    assert found.row["returns"] == 100 and found.row["score"] == found.row["follows"] < 35 and found.row["pairs"] == 2
    assert sum(found.scores) / 2 == pytest.approx(found.row["score"], abs=1e-3)


class Stand:
    """A run whose network has one number."""

    def __init__(self, values):
        self.values, self.step = iter(values), 0

    def averaged_model(self):
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, next(self.values))
        return model


def measured(model):
    """Four views, of which the last shows nothing, around the network's number."""
    score = float(model.weight.detach())
    return Evidence.of({}, (score - 1, score, score + 1, math.nan)), []


VIEWS = ("a", "b", "c", "d")


def test_the_best_is_kept_and_compared_with_the_untouched_network():
    guard, run = Guard(measured, VIEWS), Stand([50, 40, 70, 60])
    guard.begin(run)
    for step in (1, 2, 3):
        run.step = step
        guard.check(run)
        assert guard.better == (step >= 2)
    assert guard.best == {"step": 2, "score": 70} and float(guard.weights["weight"]) == 70
    again = Guard(measured, VIEWS)
    again.load_state_dict(guard.state_dict())
    assert again.best == guard.best and again.better


def test_as_good_as_before_is_not_better_and_a_gain_may_be_asked_for():
    for gain, better in ((0.0, True), (15.0, False)):
        guard, run = Guard(measured, VIEWS, gain), Stand([50, 50, 60])
        guard.begin(run)
        guard.check(run)
        assert not guard.better
        guard.check(run)
        assert guard.better == better


@pytest.mark.parametrize(
    ("rises", "better"),
    [
        ([0.4, 0.4, 0.4, 0.4], True),
        ([0.2, 0.3, 0.5, 0.6], True),
        ([-1.2, 2.1, -0.6, 1.3], False),  # 11.0 after 10.6
        ([0.4], False),  # one view says nothing of others
    ],
)
def test_better_is_what_chance_does_not_explain(rises, better):
    views = [f"pair {number}" for number in range(len(rises))]
    answers = iter([[10.6] * len(rises), [10.6 + rise for rise in rises]])
    guard, run = Guard(lambda model: (Evidence.of({}, next(answers)), []), views), Stand([0, 1])
    guard.begin(run)
    guard.check(run)
    assert float(guard.best["score"]) == pytest.approx(11.0) and guard.better == better


def test_views_of_one_pair_count_once_where_there_are_enough_pairs():
    before, after = [0.0] * 6, [1.0, 1.0, 2.0, 2.0, 6.0, 6.0]
    of_pairs = Gain.between(before, after, ("a", "a", "b", "b", "c", "c"))
    assert (of_pairs.mean, of_pairs.count, of_pairs.over) == (3.0, 3, "pairs")
    reach = 4.302653 * math.sqrt(7.0 / 3)  # Student's t of two degrees of freedom; the variance of 1, 2, 6 is 7
    assert of_pairs.interval == pytest.approx((3 - reach, 3 + reach), abs=1e-4)
    of_views = Gain.between(before, after, ("a",) * 3 + ("b",) * 3)
    assert (of_views.count, of_views.over) == (6, "views") and of_views.interval[0] > of_pairs.interval[0]


class Sure:
    """An objective whose loss is known, and that draws numbers as `Fields` does."""

    def __init__(self, loss: float) -> None:
        self.loss = loss

    def scores(self, model, batch):
        return (100 * torch.exp(-torch.tensor([self.loss, math.nan])) + 0 * torch.rand(1)).tolist()

    def errors(self, model, batch):
        return tuple(torch.tensor([2.0]) for _ in range(len(batch)))


def test_objectives_say_what_pairs_are_scored_by_and_leave_chance_as_it_was():
    square = torch.rand(2, 1, SIDE, SIDE)
    valid = torch.ones(2, 1, SIDE, SIDE, dtype=torch.bool)
    flow = cell_centres(SIDE, SIDE, torch.zeros(1))[None].expand(2, -1, -1, -1)
    batch = TrainingPairs(square, valid, square, valid, flow, valid[:, 0], (("a", "b"),) * 2, ("x", "y"))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    found = labelled_score(Sure(0.5), nn.Identity(), [batch, batch], torch.device("cpu"))
    row = found.row
    assert len(found.scores) == 4 and math.isnan(found.scores[1])
    assert row["score"] == pytest.approx(100 * 2.718281828**-0.5, abs=1e-2)
    assert row["within_3px"] == 1.0 and row["within_1px"] == 0.0 and row["pairs"] == 4
    assert torch.equal(before, torch.random.get_rng_state())
