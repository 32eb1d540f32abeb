"""Networks that find keypoints are adapted by labelled pairs, the heads of keypoints left as they were published."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from made_pairs import SIDE, write_pairs

from xmatch.adaptation.adapt import adapt
from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.recipe import AdaptRecipe, GuardSpec
from xmatch.errors import ExitCode
from xmatch.io.weights.files import WeightsMetadata, load_weights, save_weights
from xmatch.matchers.registry import load_matcher
from xmatch.networks.aliked.config import SIZES
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.sparse.config import SparseConfig

SMALL = {
    "xmatch-sparse": SparseConfig(points=32, width=16, layers=1, heads=1),
    "aliked": SIZES["aliked-t16"],
}


@pytest.mark.parametrize(("name", "head"), [("xmatch-sparse", "keypoint_head"), ("aliked", "score_head")])
def test_labelled_pairs_teach_all_but_the_head_of_keypoints(tmp_path, name, head):
    torch.manual_seed(0)
    entry = ARCHITECTURES[name]
    told = json.loads(json.dumps(dataclasses.asdict(SMALL[name])))
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, entry.build(told).state_dict(), WeightsMetadata("tiny", name, "Apache-2.0", config=told))
    recipe = dataclasses.replace(
        AdaptRecipe.from_defaults(entry.adaptation),
        steps=2,
        batch=2,
        size=96,
        view_px=SIDE,
        guard=GuardSpec(every=2, views=1, verdicts=False),
    )
    pairs = write_pairs(tmp_path / "pairs", 6, 6)
    request = PairRequest(6, pairs)
    adapted = adapt(
        AdaptOptions(
            request=request,
            output=tmp_path / "out.safetensors",
            recipe=recipe,
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
    assert not any(head in name for name in changed)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert load_matcher("auto", str(adapted.weights), "cpu").name == name
