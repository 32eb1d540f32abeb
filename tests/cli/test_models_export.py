"""`xmatch models export`: what is written, and what is said where nothing can be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch

from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.fieldnet.network import FieldNet


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """fields.safetensors in the current directory: a small network with random weights."""
    monkeypatch.chdir(tmp_path)
    config = FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0, 1, 1, 1))
    torch.manual_seed(0)
    metadata = WeightsMetadata("made", "xmatch-fields", "CC0-1.0", dataclasses.asdict(config))
    save_weights("fields.safetensors", FieldNet(config).state_dict(), metadata)
    return "fields.safetensors"


def test_a_network_is_written_with_what_is_known_of_it(cli, weights):
    done = cli("models", "export", weights, "-o", "fields.onnx", "--opset", "17", "--json")
    (file,) = done.json["files"]
    assert done.code == 0 and done.json["schema"] == "xmatch.exported/1" and file["path"] == "fields.onnx"
    assert file["bytes"] == Path("fields.onnx").stat().st_size and file["difference"] <= done.json["tolerance"] == 1e-4
    model = onnx.load("fields.onnx")
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert (told["architecture"], told["licence"], told["sha256"]) == ("xmatch-fields", "CC0-1.0", done.json["sha256"])
    assert [entry.version for entry in model.opset_import if not entry.domain] == [17]
    again = cli("models", "export", weights, "-o", "fields.onnx")
    assert again.code == 5 and "--overwrite" in again.err


def test_what_cannot_be_exported_is_said_and_nothing_is_written(cli, weights):
    wrong_size = cli("models", "export", weights, "-o", "fields.onnx", "--size", "50", "48")
    assert wrong_size.code == 2 and "--size 72 48" in wrong_size.err
    assert cli("models", "export", weights, "-o", "fields.pb").code == 2
    assert cli("models", "export", "nowhere.pth", "-o", "fields.onnx").code == 6
    assert not Path("fields.onnx").exists()


def test_a_network_without_exportable_parts_is_named_with_those_that_have_some(cli, weights, monkeypatch):
    from xmatch.networks.fieldnet.entry import FIELDNET
    from xmatch.networks.registry import ARCHITECTURES

    monkeypatch.setitem(ARCHITECTURES, "xmatch-fields", dataclasses.replace(FIELDNET, exported=None))
    refused = cli("models", "export", weights, "-o", "fields.onnx")
    assert refused.code == 2 and "cannot be exported" in refused.err and "Tiny RoMa" in refused.err
