"""`xmatch models convert --names`: weights whose tensors are named otherwise than the network's here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from xmatch.networks.loading import load_network
from xmatch.networks.matcha.config import MatchaConfig
from xmatch.networks.matcha.fusion import Fusion

MAPPING = r"""
architecture: matcha
config: {high: 4, low: 4, width: 8, blocks: 1, heads: 2, semantic: 4, geometric: 2}
names:
  - {published: 'layers\.(\d+)\.(\w+)_(?:sem)\.(.*)', ours: 'blocks.\1.\2_high.\3'}
  - {published: 'layers\.(\d+)\.(\w+)_(?:geo)\.(.*)', ours: 'blocks.\1.\2_low.\3'}
  - {published: '(project|head)_sem\.(.*)', ours: '\1_high.\2'}
  - {published: '(project|head)_geo\.(.*)', ours: '\1_low.\2'}
ignored: ['dinov2\..*']
"""


@pytest.fixture
def published(tmp_path, monkeypatch) -> Fusion:
    """The network of published.pth and mapping.yaml in the current directory."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    fusion = Fusion(MatchaConfig(high=4, low=4, width=8, blocks=1, heads=2, semantic=4, geometric=2))
    state = {
        name.replace("blocks.", "layers.").replace("_high.", "_sem.").replace("_low.", "_geo."): tensor
        for name, tensor in fusion.state_dict().items()
    }
    torch.save({"model": state | {"dinov2.cls_token": torch.zeros(3)}}, "published.pth")
    Path("mapping.yaml").write_text(MAPPING)
    return fusion


def test_names_are_mapped_and_the_network_can_be_loaded(cli, published):
    done = cli("models", "convert", "published.pth", "fusion.safetensors", "--names", "mapping.yaml")
    assert done.code == 0 and "MATCHA's fusion" in done.err
    loaded = load_network("fusion.safetensors")
    assert loaded.config["heads"] == 2
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name])


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        (r"ignored: ['dinov2\..*']", "", 6, "1 of 69 tensors have names that --names does not tell of: dinov2.cls"),
        ("width: 8", "width: 4", 6, "of another shape"),
        ("heads: 2", "heads: 3", 2, "multiple of heads"),
        ("architecture: matcha", "architecture: romav2", 2, "no network 'romav2' can be built"),
        (r"layers\.(\d+)\.(\w+)_(?:sem)", r"layers\.(\d+", 2, "not a regular expression"),
        (r"_(?:geo)\.(.*)', ours: 'blocks.\1.\2_low.\3'", r"_(?:geo)\.(.*)', ours: 'blocks.\1.\2_high.\3'", 6, "two"),
    ],
)
def test_a_mapping_that_does_not_lead_to_the_network_is_refused(cli, published, before, after, code, said):
    assert before in MAPPING
    Path("mapping.yaml").write_text(MAPPING.replace(before, after))
    done = cli("models", "convert", "published.pth", "fusion.safetensors", "--names", "mapping.yaml")
    assert done.code == code and said in done.err, done.err
    assert not Path("fusion.safetensors").exists()
