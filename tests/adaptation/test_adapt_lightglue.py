"""LightGlue is adapted by labelled pairs on the keypoints of a detector, which the weights then name."""

from __future__ import annotations

import dataclasses

import torch
from made_pairs import SIDE, write_pairs

from xmatch.adaptation.adapt import adapt
from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.recipe import AdaptRecipe, GuardSpec
from xmatch.errors import ExitCode
from xmatch.io.weights.files import WeightsMetadata, load_weights, save_weights
from xmatch.matchers.registry import load_matcher
from xmatch.networks.lightglue.config import LightGlueConfig
from xmatch.networks.lightglue.network import Glue
from xmatch.networks.registry import ARCHITECTURES

RECIPE = dataclasses.replace(
    AdaptRecipe.from_defaults(ARCHITECTURES["lightglue"].adaptation),
    steps=2,
    batch=2,
    size=96,
    view_px=SIDE,
    guard=GuardSpec(every=2, views=1, verdicts=False),
)


def test_labelled_pairs_teach_it_and_its_weights_find_their_detector(tmp_path):
    torch.manual_seed(0)
    config = LightGlueConfig(128, 16, 1, 1)
    weights, pairs = tmp_path / "tiny.safetensors", write_pairs(tmp_path / "pairs", 6, 6)
    metadata = WeightsMetadata("tiny", "lightglue", "Apache-2.0", config=dataclasses.asdict(config))
    save_weights(weights, Glue(config).state_dict(), metadata)
    adapted = adapt(
        AdaptOptions(
            request=PairRequest(6, pairs),
            output=tmp_path / "out.safetensors",
            recipe=RECIPE,
            weights=str(weights),
            companion_weights="sift",
            device="cpu",
            threads=1,
        )
    )
    assert adapted.exit_code in (ExitCode.OK, ExitCode.UNTRUSTED) and adapted.judges == "labelled"
    before, after = (load_weights(path)[0] for path in (weights, adapted.weights))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "log_assignment.0.final_proj.weight" in changed
    assert load_matcher("auto", str(adapted.weights), "cpu").name == "lightglue"
