"""The sparse matcher is adapted by labelled pairs, its keypoints left where they were published."""

from __future__ import annotations

import dataclasses
import json

import torch
from made_pairs import SIDE, write_pairs

from xmatch.adaptation.adapt import adapt
from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.recipe import AdaptRecipe, GuardSpec
from xmatch.errors import ExitCode
from xmatch.io.weights.files import WeightsMetadata, load_weights, save_weights
from xmatch.matchers.registry import load_matcher
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.sparse.config import SparseConfig
from xmatch.networks.sparse.network import SparseMatcher

RECIPE = dataclasses.replace(
    AdaptRecipe.from_defaults(ARCHITECTURES["xmatch-sparse"].adaptation),
    steps=2,
    batch=2,
    size=96,
    view_px=SIDE,
    guard=GuardSpec(every=2, views=1, verdicts=False),
)


def test_labelled_pairs_teach_all_but_where_keypoints_lie(tmp_path):
    torch.manual_seed(0)
    config = SparseConfig(points=32, width=16, layers=1, heads=1)
    told = json.loads(json.dumps(dataclasses.asdict(config)))
    weights = tmp_path / "tiny.safetensors"
    metadata = WeightsMetadata("tiny", "xmatch-sparse", "Apache-2.0", config=told)
    save_weights(weights, SparseMatcher(config).state_dict(), metadata)
    pairs = write_pairs(tmp_path / "pairs", 6, 6)
    request = PairRequest(6, pairs)
    adapted = adapt(
        AdaptOptions(
            request=request,
            output=tmp_path / "out.safetensors",
            recipe=RECIPE,
            weights=str(weights),
            device="cpu",
            threads=1,
        )
    )
    assert adapted.exit_code in (ExitCode.OK, ExitCode.UNTRUSTED) and adapted.judges == "labelled"
    assert 0 <= adapted.best["score"] <= 100
    before, after = (load_weights(path)[0] for path in (weights, adapted.weights))
    changed = {
        name for name in before if not torch.allclose(before[name].float(), after[name].float(), atol=1e-3, rtol=1e-2)
    }
    assert not any("keypoint_head" in name for name in changed)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert load_matcher("auto", str(adapted.weights), "cpu").name == "xmatch-sparse"
