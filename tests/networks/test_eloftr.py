"""Efficient LoFTR: transformers' names and features, and the places that its authors' matching gives."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from xmatch.networks.cell_matching import points_at
from xmatch.networks.eloftr.config import EloftrConfig
from xmatch.networks.eloftr.entry import ELOFTR, ELOFTR_HF, config_of, renamed
from xmatch.networks.eloftr.network import Backbone
from xmatch.networks.eloftr.published import from_transformers
from xmatch.networks.eloftr.refinement import refined
from xmatch.networks.loading import load_network
from xmatch.networks.registry import recognise

SMALL = {"stage_num_blocks": [1, 1, 2, 2], "out_features": [16, 16, 32, 64], "hidden_size": 64}
SMALLEST = {"block_dims": (16, 16, 32), "blocks": (1, 1, 1), "heads": 1, "layers": 1}


def test_the_published_names_and_shapes_are_those_of_transformers_renamed():
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        theirs = transformers.EfficientLoFTRForKeypointMatching(transformers.EfficientLoFTRConfig()).state_dict()
        ours = ELOFTR.build(ELOFTR.config(None, {})).state_dict()
    assert {from_transformers(name): tensor.shape for name, tensor in theirs.items()} == {
        name: tensor.shape for name, tensor in ours.items()
    }
    assert len(theirs) == len(ours) == ELOFTR.tensors
    assert (recognise(ours), recognise(theirs)) == (ELOFTR, ELOFTR_HF)
    assert config_of(ours) == EloftrConfig()


def test_features_are_those_of_transformers_at_the_size_of_training():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.EfficientLoFTRConfig(**SMALL, num_attention_layers=2, num_attention_heads=8)
    theirs = transformers.EfficientLoFTRForKeypointMatching(config).eval()
    with torch.no_grad():
        for tensor in (t for t in theirs.state_dict().values() if t.is_floating_point()):
            if tensor.ndim > 1:
                tensor.normal_(std=tensor[0].numel() ** -0.5)
            else:
                tensor.uniform_(0.5, 1.5)
    state = renamed(theirs.state_dict())
    ours = ELOFTR.build(dataclasses.asdict(dataclasses.replace(config_of(state), heads=8))).eval()
    ours.load_state_dict(state)
    images = torch.rand(1, 2, 1, 64, 832)
    with torch.inference_mode():
        found = theirs.efficientloftr(images).feature_maps
        fine = theirs.refinement_layer.forward_pyramid(found[0][0], list(reversed(found[1:])))
        pyramids = [ours.backbone(images[:, number]) for number in (0, 1)]
        every = torch.ones(2 * 26, dtype=torch.bool)
        coarse = ours.loftr_coarse(*(one.eighth for one in pyramids), every, every)
        pixels = [ours.fine_preprocess(one, seen) for one, seen in zip(pyramids, coarse, strict=True)]
    torch.testing.assert_close(torch.cat(coarse), found[0][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.cat(pixels), fine, rtol=1e-4, atol=1e-4)


def test_blocks_merged_into_one_convolution_each_give_the_same():
    torch.manual_seed(0)
    backbone = Backbone(EloftrConfig((16, 16, 32), (2, 1, 2), 1, 1)).eval()
    with torch.no_grad():
        for tensor in (t for t in backbone.state_dict().values() if t.ndim == 1):
            tensor.uniform_(0.5, 1.5)
    image = torch.rand(1, 1, 64, 96)
    with torch.inference_mode():
        expected, found = backbone(image), backbone.merged()(image)
    for stride in ("half", "quarter", "eighth"):
        torch.testing.assert_close(getattr(found, stride), getattr(expected, stride), rtol=1e-4, atol=1e-4)
    assert len(list(backbone.merged().parameters())) == 2 * 6


def test_a_match_of_cells_becomes_the_likeliest_pair_of_pixels_and_a_shift_in_moving():
    torch.manual_seed(0)
    fixed, moving = 3 * torch.randn(16, 32, 48), 3 * torch.randn(16, 40, 24)
    cells = torch.tensor([0, 7, 9, 23]), torch.tensor([0, 4, 11, 14])
    fixed_xy, moving_xy = refined(fixed, moving, *cells)
    here = F.unfold(fixed[None], 8, stride=8)[0].unflatten(0, (16, 64))
    there = F.unfold(moving[None], 10, stride=8, padding=1)[0].unflatten(0, (16, 100))
    for number, (i, j) in enumerate(zip(*cells, strict=True)):
        similarity = here[:8, :, i].T @ there[:8, :, j] / 16
        product = (similarity.softmax(0) * similarity.softmax(1)).view(64, 10, 10)[:, 1:-1, 1:-1].reshape(64, 64)
        pixel, partner = divmod(int(product.argmax()), 64)
        detail = (here[8:, pixel, i] @ there[8:, :, j] / 8**0.5 / 10).view(10, 10)
        y, x = divmod(partner, 8)
        nine = detail[[y - 1, y, y + 1]][:, [x - 1, x, x + 1]]
        weight = nine.flatten().softmax(0).view(3, 3)
        shift = torch.stack([weight[:, 2].sum() - weight[:, 0].sum(), weight[2].sum() - weight[0].sum()])
        at_fixed = points_at(i, 6, 8) + torch.tensor([pixel % 8 - 3.5, pixel // 8 - 3.5])
        at_moving = points_at(j, 3, 8) + torch.tensor([x - 3.5, y - 3.5])
        torch.testing.assert_close(fixed_xy[number], at_fixed)
        torch.testing.assert_close(moving_xy[number], at_moving + shift)


@pytest.mark.parametrize("file", ["matchanything_eloftr.ckpt", "matchanything_eloftr/model.safetensors"])
def test_matchanythings_weights_match_with_their_authors_threshold(tmp_path, file):
    state = ELOFTR.build(SMALLEST).state_dict()
    path, other = tmp_path / file, tmp_path / "other.ckpt"
    path.parent.mkdir(exist_ok=True)
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    torch.save(state, other)
    assert load_network(path).network.config.threshold == 0.1
    assert load_network(other).network.config.threshold == 0.2
    assert load_network(other, "matchanything").network.config.threshold == 0.1
