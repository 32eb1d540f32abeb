"""RoMa is adapted by its own losses, with what it looks with beside it."""

from __future__ import annotations

import dataclasses
import json

import made_roma
import pytest
import torch
from made_pairs import write_pairs

from xmatch.adaptation.adapt import adapt
from xmatch.adaptation.base import open_base
from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.recipe import AdaptRecipe, GuardSpec
from xmatch.errors import ModelError, UsageError
from xmatch.io.weights.files import WeightsMetadata, load_weights, save_weights

RECIPE = AdaptRecipe(
    steps=2,
    batch=1,
    size=224,
    view_px=72,
    finest=1,
    local=0.0,
    pose="centre",
    guard=GuardSpec(every=2, views=1, unlabelled=1, verdicts=False),
    log_every=1,
)


@pytest.fixture
def files(tmp_path):
    """roma.safetensors and dino.pth."""
    config = json.loads(json.dumps(dataclasses.asdict(made_roma.CONFIG)))
    save_weights(tmp_path / "roma.safetensors", made_roma.roma(), WeightsMetadata("made", "roma", "MIT", config))
    torch.save(made_roma.dino(), tmp_path / "dino.pth")
    return tmp_path


def options(files, **more) -> AdaptOptions:
    return AdaptOptions(
        request=PairRequest(1, write_pairs(files / "pairs", 4, 2)),
        output=files / "adapted.safetensors",
        weights=str(files / "roma.safetensors"),
        companion_weights=str(files / "dino.pth"),
        device="cpu",
        threads=1,
        **{"recipe": RECIPE, **more},
    )


def test_labelled_and_unlabelled_pairs_teach_all_of_it_but_the_image_encoder(files):
    adapted = adapt(options(files))
    assert adapted.outcome.step == 2 and adapted.weights is not None
    tensors, metadata = load_weights(adapted.weights)
    before = made_roma.roma()
    assert metadata.architecture == "roma" and metadata.config["resize"] == "bilinear"
    assert tensors.keys() == before.keys()
    moved = {name.split(".")[1] for name in tensors if not torch.equal(tensors[name], before[name].half())}
    assert moved >= {"cnn", "embedding_decoder", "gps", "proj", "conv_refiner"}


def test_a_size_that_patches_do_not_fill_is_refused_before_anything_is_learnt(files):
    with pytest.raises(UsageError, match="multiples of 224 px, not 96"):
        adapt(options(files, recipe=dataclasses.replace(RECIPE, size=96)))


def test_weights_begin_as_published_once_it_is_known_which_training_they_are_of(files):
    torch.save({"model": made_roma.roma()}, files / "roma.pth")
    with pytest.raises(ModelError, match="do not say which training"):
        open_base("roma", str(files / "roma.pth"), str(files / "dino.pth"))
    with pytest.raises(ModelError, match="a file of their own"):
        open_base("roma", str(files / "roma.safetensors"))
