"""Averaged weights."""

import pytest
import torch
from torch import nn

from xmatch.training.averaging import moving_average


def test_the_average_is_short_at_first_and_then_as_long_as_asked():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = moving_average(model, 0.5)
    nn.init.ones_(model.weight)
    expected = 0.0
    for update in range(20):
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay)
        average.update_parameters(model)
        assert average.module.weight.item() == pytest.approx(expected)


def test_statistics_of_normalisation_are_averaged_and_counters_copied():
    model = nn.BatchNorm1d(2)
    average = moving_average(model, 0.9)
    for _ in range(2):
        model(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 5)
    average.update_parameters(model)
    # The first update has a decay of 1/10: running means start from 0.
    assert torch.allclose(average.module.running_mean, 0.9 * model.running_mean)
    assert average.module.num_batches_tracked == 2


def test_it_does_not_follow_the_model_by_itself_and_comes_back_from_its_state():
    model = nn.Linear(2, 2)
    average = moving_average(model, 0.9)
    before = average.module.weight.clone()
    nn.init.constant_(model.weight, 9.0)
    assert torch.equal(average.module.weight, before)
    average.update_parameters(model)
    other = moving_average(nn.Linear(2, 2), 0.9)
    other.load_state_dict(average.state_dict())
    average.update_parameters(model)
    other.update_parameters(model)
    assert torch.equal(other.module.weight, average.module.weight)
