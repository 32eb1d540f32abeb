"""The step of an adaptation: each kind of batch has its own loss and its own weight of certainty."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.networks.test_losses import shifted_batch
from tests.networks.test_xmatch import TINY
from xmatch.adaptation.draws import Unlabelled
from xmatch.adaptation.objective import FewShot
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.networks.registry import load_objective
from xmatch.synth.pairs import TrainingPairs


def total(kind: type[TrainingPairs], **recipe: float) -> float:
    """The loss of an untrained network on one batch of that kind."""
    made = shifted_batch(4)
    names = (("fixed", "moving"),) * len(made.fixed)
    batch = kind(made.fixed, made.fixed_valid, made.moving, made.moving_valid, made.warp, made.covisible, names)
    torch.manual_seed(0)
    objective = FewShot(load_objective("dense"), AdaptRecipe(finest=4, **recipe))
    model = objective.build(dataclasses.asdict(TINY))
    return float(objective.step(model, batch, finest=4)["total"].detach())


@pytest.mark.parametrize(
    ("kind", "weight", "other"),
    [(TrainingPairs, "lambda_sup", "lambda_ssl"), (Unlabelled, "lambda_ssl", "lambda_sup")],
    ids=["labelled", "unlabelled"],
)
def test_certainty_weighs_by_its_own_lambda_on_labelled_and_on_unlabelled_pairs(kind, weight, other):
    none, one, two = (total(kind, **{weight: value, other: 0.0}) for value in (0.0, 1.0, 2.0))
    assert one - none > 0.1 and two - none == pytest.approx(2 * (one - none), rel=1e-3)
    assert total(kind, **{weight: 1.0, other: 5.0}) == pytest.approx(one, rel=1e-5)
