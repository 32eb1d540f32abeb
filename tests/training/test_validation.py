"""Errors on held pairs."""

import math

import pytest
import torch
from torch import nn

from xmatch.recipe import load_recipe
from xmatch.synth.pairs import TrainingPairs
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.validation import measure, validation_pairs


class Told:
    """Errors as they stand in the images' first row, those below zero left out."""

    def errors(self, model, batch):
        return tuple(row[row >= 0] for row in batch.fixed[:, 0, 0])


def batch_of(rows: list[list[float]], names: list[tuple[str, str]]) -> TrainingPairs:
    image = torch.tensor(rows)[:, None, None, :]
    valid = torch.ones_like(image, dtype=torch.bool)
    warp = torch.zeros(len(rows), 1, len(rows[0]), 2)
    return TrainingPairs(image, valid, image, valid, warp, valid[:, 0], tuple(names))


def test_errors_are_averaged_over_pairs_and_told_by_kind():
    batch = batch_of([[0, 2, 4, 6], [0.5, 0.5, 0.5, 0.5]], [("sar", "visible"), ("visible", "sar")])
    other = batch_of([[9.0, 9.0, -1, -1]], [("visible", "visible")])
    everything, both, same = measure(Told(), nn.Linear(1, 1), (batch, other), torch.device("cpu"))
    assert (everything["modalities"], everything["pairs"], everything["epe_px"]) == (
        "all",
        3,
        pytest.approx(12.5 / 3, abs=1e-4),
    )
    assert both["modalities"] == "sar-visible" and both["pairs"] == 2
    assert (both["within_1px"], both["within_3px"], both["within_5px"]) == (0.625, 0.75, 0.875)
    assert same == {
        "modalities": "visible-visible",
        "pairs": 1,
        "epe_px": 9,
        "median_px": 9,
        "within_1px": 0,
        "within_3px": 0,
        "within_5px": 0,
    }


def test_a_pair_without_matches_counts_as_failed_and_has_no_error():
    row, _ = measure(Told(), nn.Linear(1, 1), (batch_of([[-1.0, -1.0]], [("a", "a")]),), torch.device("cpu"))
    assert row["within_5px"] == 0 and math.isnan(row["epe_px"])


def test_the_network_is_measured_without_dropout_and_trains_on_afterwards():
    seen = []

    class Asks(Told):
        def errors(self, model, batch):
            seen.append(model.training)
            return super().errors(model, batch)

    model = nn.Dropout().train()
    measure(Asks(), model, (batch_of([[1.0]], [("a", "b")]),), torch.device("cpu"))
    assert seen == [False] and model.training


def test_the_set_is_the_same_every_time_and_as_large_as_asked(recipe, tmp_path):
    loaded = load_recipe(recipe(), PretrainRecipe)
    first, second = validation_pairs(loaded, tmp_path), validation_pairs(loaded, tmp_path)
    assert [len(batch) for batch in first] == [2, 1] and first[0].fixed.shape[-1] == 64
    assert all(torch.equal(a.fixed, b.fixed) for a, b in zip(first, second, strict=True))
