"""Low-rank additions: nothing at first, the same as merged weights later, and all that is trained."""

import json

import pytest
import torch
from made_pairs import write_tiny
from torch import nn

from tests.networks.test_xmatch import TINY
from xmatch.adaptation.low_rank import ARCHITECTURE, add_low_rank, added, additions, merged, stored
from xmatch.errors import ModelError
from xmatch.networks.xmatch.network import XMatch


def images(seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 1, 32, 32, generator=rng)
    return image, torch.ones(1, 1, 32, 32, dtype=torch.bool), image.flip(3), torch.ones(1, 1, 32, 32, dtype=torch.bool)


@torch.no_grad()
def finest(model: nn.Module) -> torch.Tensor:
    return model.eval()(*images()).finest.warp


def test_additions_start_at_nothing_and_merging_computes_the_same():
    torch.manual_seed(0)
    model = XMatch(TINY)
    before = finest(model)
    names = add_low_rank(model, 2)
    assert any("attention" in name for name in names)
    # The same numbers; a weight that is computed may lie otherwise in memory, and convolutions round otherwise.
    torch.testing.assert_close(finest(model), before, rtol=0, atol=1e-5)
    for name, value in model.named_parameters():
        if name.endswith(".up"):
            nn.init.normal_(value, std=0.05)
    changed = finest(model)
    assert not torch.allclose(changed, before, atol=1e-4)
    plain = XMatch(TINY)
    plain.load_state_dict(merged(stored(model.state_dict())))
    assert torch.allclose(finest(plain), changed, atol=1e-4)


def test_only_additions_are_trained_and_their_file_is_small():
    model = XMatch(TINY)
    base = set(model.state_dict())
    add_low_rank(model, 2)
    state = stored(model.state_dict())
    assert set(merged(state)) == set(state) - set(additions(state)) == base
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert set(stored(trained)) == set(additions(state)) and trained
    assert sum(v.numel() for v in additions(state).values()) < 0.2 * sum(v.numel() for v in state.values())


def test_without_additions_merging_changes_nothing():
    state = XMatch(TINY).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in merged(state).items())


@pytest.fixture
def tiny(tmp_path):
    return write_tiny(tmp_path / "tiny.safetensors")


def test_the_small_file_names_the_weights_it_belongs_to(tiny, tmp_path):
    from made_pairs import write_pairs

    from xmatch.adaptation.adapt import adapt
    from xmatch.adaptation.collect import PairRequest
    from xmatch.adaptation.options import AdaptOptions
    from xmatch.adaptation.recipe import AdaptRecipe, GuardSpec
    from xmatch.io.checksum import sha256
    from xmatch.io.weights.files import load_weights

    recipe = AdaptRecipe(
        steps=2, batch=1, size=64, view_px=72, pose="centre", lora_rank=2, guard=GuardSpec(every=2, views=1)
    )
    asked = PairRequest(3, write_pairs(tmp_path / "pairs", 4, 3))
    options = AdaptOptions(
        request=asked, output=tmp_path / "out.safetensors", recipe=recipe, weights=str(tiny), device="cpu", threads=1
    )
    adapted = adapt(options)
    (small,) = tmp_path.glob("out*.low-rank.safetensors")
    tensors, metadata = load_weights(small)
    assert all("low_rank" in name for name in tensors) and metadata.sources[0]["sha256"] == sha256(tiny)
    whole, _ = load_weights(adapted.weights)
    assert set(whole) == set(load_weights(tiny)[0])
    assert json.dumps(metadata.recipe["lora_rank"]) == "2"
    again, told = added(tiny, small)
    assert told.architecture == "xmatch" and told.name == metadata.name
    for name, tensor in whole.items():
        torch.testing.assert_close(again[name].to(tensor.dtype), tensor, rtol=2e-3, atol=1e-4)


def test_additions_are_laid_on_no_other_weights(tiny, tmp_path):
    from xmatch.io.weights.files import WeightsMetadata, save_weights

    small = tmp_path / "small.safetensors"
    told = WeightsMetadata("a", ARCHITECTURE, "", sources=[{"file": "older.safetensors", "sha256": "0" * 64}])
    save_weights(small, {"x.low_rank_up": torch.zeros(2, 1)}, told)
    with pytest.raises(ModelError, match="is not older.safetensors"):
        added(tiny, small)
    with pytest.raises(ModelError, match="no low-rank additions"):
        added(tiny, tiny)
