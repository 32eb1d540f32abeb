"""`xmatch models`: what is listed, what is said of a file, and what conversion does and refuses."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
import torch

from xmatch.io.weights.files import WeightsMetadata, load_weights, read_metadata, save_weights


class Payload:
    def __reduce__(self) -> tuple:
        return os.system, ("touch proof",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory with `loftr.ckpt`, as Lightning writes it."""
    monkeypatch.chdir(tmp_path)
    names = ("loftr_coarse.layers.0.q_proj.weight", "loftr_fine.layers.0.merge.weight", "fine_preprocess.a.weight")
    state = {f"matcher.{name}": torch.full((2, 3), float(i)) for i, name in enumerate(names)}
    state["matcher.backbone.bn1.num_batches_tracked"] = torch.tensor(5)
    torch.save({"state_dict": state, "epoch": 1}, "loftr.ckpt")
    return tmp_path


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A package that ships one model."""
    path = tmp_path / "shelf" / "tiny.safetensors"
    path.parent.mkdir()
    save_weights(path, {"w": torch.ones(4)}, WeightsMetadata("tiny", "xmatch", "Apache-2.0", data=["shapes"]))
    monkeypatch.setattr("xmatch.networks.weights.shipped", lambda: {"tiny": path})
    return path


def test_the_list_says_plainly_that_nothing_is_shipped(cli, monkeypatch):
    monkeypatch.setattr("xmatch.networks.weights.shipped", dict)
    result = cli("models", "list")
    assert result.code == 0 and "In the package:\n  none yet\n" in result.out
    assert re.search(r"romav2 .*convert only", result.out)
    assert re.search(r"lightglue-disk .*fetch +--matcher lightglue .*github.com/cvg/LightGlue, run here\n", result.out)
    assert re.search(r"minima-loftr .*github.com/LSXI7/storage, release MINIMA\n", result.out)
    assert "superpoint" in result.out and "not for commercial use" in result.out and "convert only" in result.out


def test_the_list_shows_what_is_shipped(cli, shelf):
    assert "  tiny" in cli("models", "list").out
    document = cli("models", "list", "--json").json
    assert document["schema"] == "xmatch.models/1" and document["ok"]
    (row,) = document["shipped"]
    assert (row["name"], row["licence"], row["bytes"]) == ("tiny", "Apache-2.0", shelf.stat().st_size)
    assert {"name", "file", "licence", "source", "matcher", "mib", "sha256"} <= set(document["published"][0])


def test_info_of_a_shipped_model_and_of_its_file_agree(cli, shelf):
    by_name, by_path = cli("models", "info", "tiny", "--json").json, cli("models", "info", shelf, "--json").json
    assert by_name == by_path
    assert by_name["sha256"] == hashlib.sha256(shelf.read_bytes()).hexdigest()
    assert (by_name["parameters"], by_name["dtypes"], by_name["data"]) == (4, {"F32": 1}, ["shapes"])
    text = cli("models", "info", "tiny").out
    assert "licence:       Apache-2.0\n" in text and "data:          shapes\n" in text


def test_info_of_published_weights_says_where_they_are(cli):
    result = cli("models", "info", "minima-roma")
    assert result.code == 0 and "LSXI7/storage" in result.out and "17f3923b" in result.out


def test_info_reads_a_pickle_without_converting_it(cli, folder):
    document = cli("models", "info", "loftr.ckpt", "--json").json
    assert document["format"] == "torch zip" and document["architecture"] == "loftr"
    assert document["tensors"] == 4 and document["parameters"] == 18
    assert "4 tensors; LoFTR has 211" in document["notes"]
    assert "licence:       unknown" in cli("models", "info", "loftr.ckpt").out


def test_convert_writes_safetensors_that_name_their_source(cli, folder):
    result = cli("models", "convert", "loftr.ckpt", "out.safetensors", "--name", "my-loftr", "--licence", "Apache-2.0")
    assert result.code == 0 and result.out == ""
    assert "LoFTR: 4 tensors, 18 parameters" in result.err and "wrote out.safetensors" in result.err
    state, told = load_weights("out.safetensors")
    assert state["fine_preprocess.a.weight"].tolist() == [[2.0] * 3] * 2
    digest = hashlib.sha256((folder / "loftr.ckpt").read_bytes()).hexdigest()
    assert told.sources == [{"file": "loftr.ckpt", "sha256": digest}]
    assert (told.name, told.architecture, told.licence) == ("my-loftr", "loftr", "Apache-2.0")


def test_convert_as_json_says_all_of_it(cli, folder):
    document = cli("models", "convert", "loftr.ckpt", "out.safetensors", "--json").json
    assert document["ok"] and document["path"] == "out.safetensors" and document["name"] == "out"
    assert any("state_dict" in note for note in document["notes"])


def test_an_unknown_licence_is_said_and_not_guessed(cli, folder):
    assert "licence unknown; --licence" in cli("models", "convert", "loftr.ckpt", "out.safetensors").err
    assert read_metadata("out.safetensors").licence == ""


def test_a_file_known_by_its_hash_gets_its_name_and_licence(cli, folder, monkeypatch):
    from dataclasses import replace

    from xmatch.networks.weights import published

    digest = hashlib.sha256((folder / "loftr.ckpt").read_bytes()).hexdigest()
    row, entry = published()["minima-loftr"]
    rows = {"minima-loftr": (replace(row, sha256=digest, training=None), entry)}
    monkeypatch.setattr("xmatch.networks.weights.published", lambda: rows)
    cli("models", "convert", "loftr.ckpt", "out.safetensors")
    told = read_metadata("out.safetensors")
    assert (told.name, told.licence) == ("minima-loftr", "Apache-2.0")


def test_a_training_that_tensors_do_not_tell_is_recorded(cli, folder):
    from xmatch.networks.loftr.config import LoftrConfig
    from xmatch.networks.registry import ARCHITECTURES

    entry, small = ARCHITECTURES["loftr"], {"initial_dim": 32, "block_dims": (32, 8, 32), "heads": 1, "layers": 1}
    torch.save({"state_dict": entry.build(small).state_dict()}, "small.ckpt")
    untold = cli("models", "convert", "small.ckpt", "untold.safetensors")
    assert "--training outdoor|indoor|indoor_new|minima" in untold.err
    assert read_metadata("untold.safetensors").config == {}
    for training, as_meant in (("outdoor", False), ("minima", True)):
        assert cli("models", "convert", "small.ckpt", f"{training}.safetensors", "--training", training).code == 0
        told = read_metadata(f"{training}.safetensors").config
        assert LoftrConfig(**{**told, "block_dims": (32, 8, 32)}) == LoftrConfig(32, (32, 8, 32), 1, 1, as_meant)
    refused = cli("models", "convert", "small.ckpt", "x.safetensors", "--training", "mine")
    assert refused.code == 2 and "known: outdoor" in refused.err and not Path("x.safetensors").exists()
    assert cli("models", "convert", "loftr.ckpt", "x.safetensors", "--training", "minima").code == 6


def test_halving_keeps_what_safetensors_say(cli, folder, shelf):
    assert cli("models", "convert", shelf, "half.safetensors", "--half").code == 0
    state, told = load_weights("half.safetensors")
    assert state["w"].dtype == torch.float16 and told.data == ["shapes"] and told.name == "tiny"


def test_converting_twice_gives_the_same_bytes(cli, folder):
    for name in ("a.safetensors", "b.safetensors"):
        assert cli("models", "convert", "loftr.ckpt", name, "--name", "x").code == 0
    assert (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()


def test_a_malicious_pickle_is_refused_and_not_run(cli, folder):
    torch.save({"state_dict": {"a": torch.ones(1)}, "x": Payload()}, "evil.ckpt")
    for command in (("info", "evil.ckpt"), ("convert", "evil.ckpt", "out.safetensors")):
        result = cli("models", *command, "--json")
        assert result.code == 6 and result.json["error"]["code"] == "model"
        assert "posix.system" in result.json["error"]["message"]
    assert not (folder / "proof").exists() and not (folder / "out.safetensors").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", b"\x80\x02 no pickle", b"plain text, no weights"])
def test_damaged_files_end_with_exit_code_6(cli, folder, damage):
    (folder / "bad.pth").write_bytes(damage)
    result = cli("models", "convert", "bad.pth", "out.safetensors")
    assert result.code == 6 and "bad.pth" in result.err and "Traceback" not in result.err
    assert not (folder / "out.safetensors").exists()


def test_missing_files_and_unknown_names_end_with_exit_code_6(cli, folder):
    assert cli("models", "info", "nowhere.pth").code == 6
    assert cli("models", "convert", "nowhere.pth", "out.safetensors").code == 6
    assert cli("models", "info", ".").code == 6


def test_targets_are_checked_before_the_work(cli, folder):
    assert cli("models", "convert", "loftr.ckpt", "out.pth").code == 2
    assert cli("models", "convert", "loftr.ckpt", "loftr.ckpt/weights.safetensors").code == 5
    assert cli("models", "convert", "loftr.ckpt", "out.safetensors").code == 0
    before = (folder / "out.safetensors").read_bytes()
    assert cli("models", "convert", "loftr.ckpt", "out.safetensors", "--name", "other").code == 5
    assert (folder / "out.safetensors").read_bytes() == before
    assert cli("models", "convert", "loftr.ckpt", "out.safetensors", "--name", "other", "--overwrite").code == 0
    assert read_metadata("out.safetensors").name == "other"


def test_a_file_cannot_be_converted_onto_itself(cli, folder, shelf):
    assert cli("models", "convert", shelf, shelf, "--overwrite").code == 5


def test_weights_that_are_not_numbers_are_refused(cli, folder):
    torch.save({"w": torch.tensor([torch.nan])}, "nan.pth")
    result = cli("models", "convert", "nan.pth", "out.safetensors")
    assert result.code == 6 and "NaN in 1 of 1 tensors: w" in result.err


def test_a_low_rank_adaptation_is_merged_into_its_base(cli, folder):
    save_weights(Path("base.safetensors"), {"a.weight": torch.eye(2)}, WeightsMetadata("tiny", "xmatch", "Apache-2.0"))
    base = hashlib.sha256(Path("base.safetensors").read_bytes()).hexdigest()
    told = WeightsMetadata("mine", "xmatch-low-rank", "", sources=[{"file": "base.safetensors", "sha256": base}])
    thin = {"a.low_rank_down": torch.tensor([[2.0, 0.0]]), "a.low_rank_up": torch.tensor([[0.0], [1.0]])}
    save_weights(Path("thin.safetensors"), thin, told)
    result = cli("models", "merge", "base.safetensors", "thin.safetensors", "whole.safetensors", "--json")
    assert result.code == 0 and result.json["architecture"] == "xmatch"
    tensors, metadata = load_weights(Path("whole.safetensors"))
    assert metadata.name == "mine" and tensors["a.weight"].tolist() == [[1, 0], [2, 1]]
    assert cli("models", "merge", "thin.safetensors", "thin.safetensors", "other.safetensors").code == 6
    assert cli("models", "merge", "base.safetensors", "thin.safetensors", "whole.pt").code == 2
