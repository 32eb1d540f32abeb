"""A network that draws fields is adapted by labelled pairs and by registrations that are accepted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from made_pairs import SIDE, truth_of, write_pairs, write_tiny

from xmatch.adaptation import material
from xmatch.adaptation.adapt import adapt
from xmatch.adaptation.base import open_base
from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.document import document, write_reports
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.poses import PosedPair
from xmatch.adaptation.recipe import AdaptOptimiser, AdaptRecipe, GuardSpec
from xmatch.errors import ExitCode, InputError, UsageError
from xmatch.io.weights.files import WeightsMetadata, load_weights, save_weights
from xmatch.matchers.registry import load_matcher
from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.fieldnet.network import FieldNet
from xmatch.networks.registry import ARCHITECTURES
from xmatch.recipe import load_recipe

RECIPE = dataclasses.replace(
    AdaptRecipe.from_defaults(ARCHITECTURES["xmatch-fields"].adaptation),
    steps=4,
    batch=2,
    size=96,
    view_px=SIDE,
    guard=GuardSpec(every=2, unlabelled=2, views=1, verdicts=False),
    log_every=2,
)


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Twelve pairs without labels that `accepted` says something of, and a network that nobody trained."""
    pairs = write_pairs(tmp_path / "pairs", 12, 0)
    torch.manual_seed(0)
    config = FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0, 0, 0, 0))
    told = json.loads(json.dumps(dataclasses.asdict(config)))
    weights = tmp_path / "tiny.safetensors"
    save_weights(
        weights, FieldNet(config).state_dict(), WeightsMetadata("tiny", "xmatch-fields", "Apache-2.0", config=told)
    )

    def make(accepted: bool = True, recipe: AdaptRecipe | None = RECIPE, **more) -> AdaptOptions:
        def lay(asked, matcher, folder, **_):
            return [PosedPair(p, truth_of(int(p.fixed.name[:2])), accepted) for p in asked], []

        monkeypatch.setattr(material, "pose_pairs", lay)
        return AdaptOptions(
            request=PairRequest(0, pairs),
            output=tmp_path / "out.safetensors",
            recipe=recipe,
            weights=str(weights),
            device="cpu",
            threads=1,
            **more,
        )

    return make


def test_without_any_label_accepted_registrations_teach_and_judge(options, tmp_path):
    recipe = dataclasses.replace(
        RECIPE, steps=12, batch=4, optimiser=AdaptOptimiser(lr=1e-2, encoder_lr=1e-2), batch_norm="trained"
    )
    adapted = adapt(options(recipe=dataclasses.replace(recipe, guard=GuardSpec(every=4, views=2, verdicts=False))))
    assert adapted.judges == "registered" and not adapted.overlays
    assert adapted.best["score"] >= adapted.before["score"]
    tensors, metadata = load_weights(adapted.weights)
    assert metadata.architecture == "xmatch-fields"
    start = load_weights(tmp_path / "tiny.safetensors")[0]
    assert any(not torch.equal(tensors[name], start[name]) for name in start)
    assert load_matcher("auto", str(adapted.weights), "cpu").name == "xmatch-fields"


def test_the_report_shows_what_fields_have(options, tmp_path):
    chosen = options()
    adapted = adapt(chosen)
    told = document(adapted, chosen)
    assert (told["pairs"]["unlabelled"], told["pairs"]["registered"]) == (10, 10)
    page, _ = write_reports(adapted, chosen, told)
    text = page.read_text()
    assert "true places that win" in text and "Threshold and pseudo-labels" not in text
    assert "Held-out registered pairs score" in text


def test_the_recipe_is_the_familys_when_none_is_given(options, tmp_path):
    file = Path(__file__).parents[2] / "recipes" / "adapt-fields.yaml"
    # The file says what happens without one.
    assert load_recipe(file, AdaptRecipe) == open_base("xmatch-fields", None).recipe
    tiny = open_base("xmatch-small", str(write_tiny(tmp_path / "dense.safetensors")))
    assert tiny.entry is ARCHITECTURES["xmatch"] and tiny.recipe.pseudo == "pl-f"


def test_pseudo_labels_and_judges_that_it_cannot_have_are_refused(options, tmp_path):
    with pytest.raises(UsageError, match="predicts no warp, so it has no pseudo-labels"):
        adapt(options(recipe=dataclasses.replace(RECIPE, pseudo="pl-f")))
    with pytest.raises(InputError, match="no pair can be read"):
        adapt(options(accepted=False))
    with pytest.raises(UsageError, match="nothing to learn from"):
        adapt(options(recipe=dataclasses.replace(RECIPE, trust_verdicts=False)))
    assert not (tmp_path / "out.safetensors").exists()


def test_the_seed_of_the_command_line_wins(options):
    adapted = adapt(options(seed=7))
    assert adapted.recipe.seed == 7 and adapted.exit_code in (ExitCode.OK, ExitCode.UNTRUSTED)
