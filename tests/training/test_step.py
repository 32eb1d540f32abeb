"""One step of a training: what the optimiser is given, and what it is kept from."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from stubs import Net, Tiny

from xmatch.training.distributed import Processes
from xmatch.training.feed import batches
from xmatch.training.phases import Phases
from xmatch.training.pretrain import Options
from xmatch.training.recipe import OptimiserSpec
from xmatch.training.run import Run, make_optimiser

CPU = torch.device("cpu")


def test_weights_decay_and_biases_and_scales_of_normalisations_do_not():
    model = Net(width=4, norm=True, dropout=0.0)
    optimiser = make_optimiser(model, OptimiserSpec(lr=0.1, weight_decay=0.5), CPU)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for value in model.parameters():
        value.data += 1
        value.grad = torch.zeros_like(value)  # whatever moves is moved by the decay
    optimiser.step()
    moved = {name: not torch.equal(value, before[name] + 1) for name, value in model.named_parameters()}
    assert moved == {name: name in ("body.0.weight", "head.weight") for name in moved}


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_a_gradient_longer_than_the_recipe_allows_is_shortened_and_told_as_it_was(recipe, clip):
    told = Options(recipe(config="dropout: 0.0")).load()
    told = dataclasses.replace(told, optimiser=dataclasses.replace(told.optimiser, clip=clip))
    run = Run(told, Tiny(), Tiny().config(None, {"dropout": 0.0}), CPU, Processes())
    run.advance(batches(told, ".", 0, "cpu")(0), Phases(CPU))
    length = float(torch.stack([value.grad.norm() for value in run.model.parameters()]).norm())
    reported = run.means()["gradient_norm"]
    assert reported > 0.01
    assert length == pytest.approx(min(clip, reported), rel=1e-3)
