"""Networks as ONNX files: they answer as torch does, or there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from xmatch.errors import ModelError, UsageError
from xmatch.networks.exported import ExportedPart, needed, off, onnx_file, pictures
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.roma.coarse import PositionPosterior, by_factors
from xmatch.networks.roma.export import by_products

SMALL = {
    "xmatch": {"channels": [8, 8, 16, 16], "heads": 1, "attention_layers": 1, "blocks": [1] * 4, "coarse_channels": 16,
               "refine_strides": [8, 4], "refine_channels": [8, 8], "refine_hidden": [8, 8], "refine_blocks": [1, 1],
               "radius": [2, 1]},
    "xmatch-fields": {"channels": [8, 8, 8, 8], "blocks": [0, 1, 1, 1], "maps": 2},
    "xmatch-sparse": {"width": 16, "layers": 1, "heads": 1},
    "roma": {"channels": [8] * 4, "convolutions": [1] * 4, "backbone_width": 16, "projected": [8] * 5, "posterior": 8,
             "heads": 1, "layers": 1, "anchors": 8, "embedded": [4] * 5, "radius": [2, 1, 1, 0, 0], "hidden": 1,
             "coarse_px": 112, "fine_px": 168},
    "tiny-roma": {"coarse": 8, "fine": 8},
    "dinov2": {"width": 16, "depth": 1, "heads": 1, "side": 4},
}  # fmt: skip
"""Architecture -> a config that is quick to write."""
SIZE = {"roma": (112, 112), "dinov2": (112, 112), "xmatch-fields": (96, 120)}
SAME_PARTS = {"lightglue", "xfeat", "dinov2-hf"}
"""Made of parts of the others."""


def test_every_network_that_can_be_exported_is_tried_here():
    assert {name for name, entry in ARCHITECTURES.items() if entry.exported} == SMALL.keys() | SAME_PARTS


@pytest.mark.timeout(600)  # half a minute of a core for LightGlue, which others may be using too
@pytest.mark.parametrize("name", SMALL)
def test_a_file_answers_as_torch_does(name):
    entry = ARCHITECTURES[name]
    torch.manual_seed(0)
    network = entry.build(entry.config(None, SMALL[name])).eval()
    assert entry.exported is not None
    parts = entry.exported(network)
    assert [part.name for part in parts] == (["extractor", "matcher"] if name == "xmatch-sparse" else [""])
    for part in parts:
        written = onnx_file(part, SIZE.get(name, (96, 96)), told={"weights": "made"})
        model = needed("onnx").load_from_string(written.data)
        assert 0 < written.difference <= 1e-4 and model.metadata_props[0].value == "made"
        assert {i.name for i in model.graph.input} == written.inputs.keys() == part.examples((112, 112), 0).keys()
        assert [o.name for o in model.graph.output] == list(part.outputs)


def test_fields_are_exported_for_images_of_any_size():
    entry = ARCHITECTURES["xmatch-fields"]
    (part,) = entry.exported(entry.build(entry.config(None, SMALL["xmatch-fields"])).eval())
    assert onnx_file(part).inputs["image"] == [1, 1, "height", "width"]


class Brightened(nn.Module):
    """By a number that a trace keeps from the images that it was made with."""

    def forward(self, image):
        return image + float(image.mean())


def part_of(module: nn.Module, **more) -> ExportedPart:
    return ExportedPart("", module, lambda size, seed: {"image": pictures(size, seed)[0]}, ("bright",), 8, 64, **more)


def test_what_answers_otherwise_than_torch_is_not_given_out():
    with pytest.raises(ModelError, match="answers otherwise in onnxruntime than in torch, by .*; wanted is 1e-04"):
        onnx_file(part_of(Brightened()))


def test_a_part_that_computes_in_another_way_is_held_to_the_network():
    assert onnx_file(part_of(nn.Identity(), truth=nn.Identity())).difference == 0
    with pytest.raises(ModelError, match="answers otherwise"):
        onnx_file(part_of(nn.ReLU(), truth=nn.Tanh()))


def test_sides_and_operators_that_cannot_be_are_told_with_those_that_can():
    with pytest.raises(UsageError, match="multiples of 8 px.*--size 72 64"):
        onnx_file(part_of(nn.Identity()), (70, 64))
    with pytest.raises(UsageError, match="--opset 16 to 20"):
        onnx_file(part_of(nn.Identity()), opset=15)
    with pytest.raises(UsageError, match="--opset 18 to 20"):
        onnx_file(part_of(nn.Identity(), traced=False), opset=17)


def test_a_missing_package_is_told_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"onnxruntime.*pip install 'xmatch\[onnx\]'"):
        onnx_file(part_of(nn.Identity()))


def test_differences_count_by_the_size_of_the_values_and_where_there_is_no_number():
    one = np.array([0.5, 100.0, -math.inf])
    assert off(one, np.array([0.5, 101.0, -math.inf])) == pytest.approx(0.01)
    assert off(one, np.array([0.7, 100.0, -math.inf])) == pytest.approx(0.2)
    assert off(one, np.array([0.5, 100.0, 3.0])) == off(one, np.array([math.nan, 100.0, -math.inf])) == math.inf


def test_products_solve_as_exactly_as_factors_where_features_are_nearly_alike():
    """The worst case: one direction explains nearly all, so that eigenvalues lie 4,000 times apart."""
    fixed, moving = torch.randn((2, 1, 8, 20, 20), generator=torch.Generator().manual_seed(0)) * 0.05 + 1
    torch.manual_seed(0)
    posterior = PositionPosterior(16).requires_grad_(False)

    def told(solved) -> np.ndarray:
        posterior.solved = solved
        return posterior(fixed, moving).numpy()

    exact = told(lambda observed, encoded: by_factors(observed.double(), encoded.double()).float())
    rounding = off(exact, told(by_factors))
    assert off(exact, told(by_products)) < 2 * rounding < exact.std() / 10
