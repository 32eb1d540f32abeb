"""From files of weights as published to networks: recognised, renamed, sized, and refused with a reason."""

from __future__ import annotations

import made_roma
import pytest
import torch

from xmatch.errors import ModelError, UsageError
from xmatch.matchers.registry import load_matcher
from xmatch.networks.lightglue.config import LightGlueConfig
from xmatch.networks.lightglue.network import Glue
from xmatch.networks.loading import load_network
from xmatch.networks.registry import ARCHITECTURES

PLAIN = ["aliked", "disk", "xfeat", "xmatch-sparse", "tiny-roma"]
"""Whose files need no second one."""
MADE = {"roma": made_roma.roma, "dinov2": made_roma.dino}
"""Those whose published size is too large for a test."""
TOLD = {"roma": "matchanything"}
"""Trainings, where files do not tell."""


def state_of(name: str, size: str | None = None) -> dict[str, torch.Tensor]:
    if name in MADE:
        return MADE[name]()
    entry = ARCHITECTURES[name]
    torch.manual_seed(0)
    return entry.build(entry.config(size, {})).state_dict()


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """LightGlue as its authors released it."""
    released = {}
    for name, value in state.items():
        if name.startswith("transformers."):
            _, number, attention, rest = name.split(".", 3)
            name = f"{attention}.{number}.{rest}"
        released[name] = value
    return released


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("wrapper", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}], ids=["flat", "wrapped"])
def test_a_published_file_is_recognised_and_loaded_whole(tmp_path, name, wrapper):
    path, state = tmp_path / "as-published.pth", state_of(name)
    torch.save(wrapper(state), path)
    loaded = load_network(path)
    assert loaded.entry.name == name and loaded.known is None
    assert all(torch.equal(value, state[key]) for key, value in loaded.network.state_dict().items())
    assert load_matcher("auto", str(path), "cpu").name == loaded.entry.matcher


@pytest.mark.parametrize("size", ARCHITECTURES["aliked"].sizes)
def test_the_size_is_that_of_the_tensors(tmp_path, size):
    torch.save(state_of("aliked", size), tmp_path / "a.pth")
    assert load_network(tmp_path / "a.pth").config == ARCHITECTURES["aliked"].config(size, {})


def glue_file(path, config: LightGlueConfig):
    torch.manual_seed(0)
    state = Glue(config).state_dict()
    extra = {"confidence_thresholds": torch.ones(config.layers), "log_assignment.0.r": torch.ones(1)}
    torch.save({**old_names(state), **extra}, path)
    return path, state


@pytest.mark.parametrize(
    "config", [LightGlueConfig(layers=2), LightGlueConfig(64, 96, 3, 1), LightGlueConfig(256, 256, 2)]
)
def test_lightglue_comes_under_its_old_names_in_any_size(tmp_path, config):
    path, state = glue_file(tmp_path / "glue.pth", config)
    loaded = load_network(path)
    assert LightGlueConfig(**loaded.config) == config
    assert all(torch.equal(value, state[key]) for key, value in loaded.network.state_dict().items())


def test_lightglue_matches_keypoints_of_a_detector_that_fits(tmp_path):
    glue, _ = glue_file(tmp_path / "glue.pth", LightGlueConfig(layers=2))
    for name in ("disk", "xfeat"):
        torch.save(state_of(name), tmp_path / f"{name}.pth")
    assert load_matcher("auto", str(glue), "cpu", str(tmp_path / "disk.pth")).name == "lightglue"
    with pytest.raises(UsageError, match="do not say of which.*companion-weights"):
        load_matcher("auto", str(glue), "cpu")
    with pytest.raises(ModelError, match="XFeat describes keypoints by 64 numbers; .*LightGlue match ones of 128"):
        load_matcher("auto", str(glue), "cpu", str(tmp_path / "xfeat.pth"))
    with pytest.raises(ModelError, match="LightGlue; wanted are those of DISK, ALIKED, XFeat, SuperPoint or sift"):
        load_matcher("auto", str(glue), "cpu", str(glue))
    with pytest.raises(UsageError, match="XFeat works on no other network"):
        load_matcher("auto", str(tmp_path / "xfeat.pth"), "cpu", str(tmp_path / "disk.pth"))


def test_sift_is_a_detector_by_its_name_alone(tmp_path):
    glue, _ = glue_file(tmp_path / "glue.pth", LightGlueConfig(layers=1))
    assert load_matcher("auto", str(glue), "cpu", "sift").name == "lightglue"
    narrow, _ = glue_file(tmp_path / "narrow.pth", LightGlueConfig(64, 96, 1, 1))
    with pytest.raises(ModelError, match="SIFT describes keypoints by 128 numbers; .*LightGlue match ones of 64"):
        load_matcher("auto", str(narrow), "cpu", "sift")


def test_a_detector_of_another_family_is_refused_though_its_numbers_fit(tmp_path, monkeypatch):
    """DISK and ALIKED describe by 128 numbers both; the hash of the file says which ones it was trained on."""
    glue, _ = glue_file(tmp_path / "glue.pth", LightGlueConfig(layers=2))
    torch.save(state_of("aliked"), tmp_path / "aliked.pth")
    row = next(row for row in ARCHITECTURES["lightglue"].published if row.works_on == "disk-depth")
    monkeypatch.setattr("xmatch.networks.loading.published_as", lambda digest: row)
    with pytest.raises(ModelError, match="lightglue-disk matches keypoints of disk-depth, not of ALIKED"):
        load_matcher("auto", str(glue), "cpu", str(tmp_path / "aliked.pth"))


@pytest.mark.parametrize("name", [*PLAIN, *MADE])
def test_what_is_wrong_with_tensors_is_said(tmp_path, name):
    state = state_of(name)
    marks = ARCHITECTURES[name].marks
    lost = next(key for key in state if not key.startswith(marks) and state[key].ndim > 1)
    wrong = {
        "missing|configuration|does not fit": {key: value for key, value in state.items() if key != lost},
        "not expected: strange.weight": {**state, "strange.weight": torch.ones(2)},
        "of another shape": {**state, lost: torch.ones(3, *state[lost].shape)},
        f"NaN in 1 of {len(state)} tensors: .*{lost}": {**state, lost: torch.full_like(state[lost], torch.nan)},
    }
    for message, tensors in wrong.items():
        torch.save(tensors, tmp_path / "wrong.pth")
        with pytest.raises(ModelError, match=message):
            load_network(tmp_path / "wrong.pth", TOLD.get(name))


@pytest.mark.parametrize("name", [*PLAIN, *MADE])
def test_a_file_cut_short_is_damaged(tmp_path, name):
    torch.save(state_of(name), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="truncated or damaged"):
        load_network(tmp_path / "cut.pth")


@pytest.mark.parametrize("prefix", ["", "matcher.model.", "module."])
@pytest.mark.parametrize("wrapper", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "n": 3}])
def test_roma_comes_in_any_wrapper_and_with_its_image_encoder_too(tmp_path, prefix, wrapper):
    state = state_of("roma")
    held = {**state, "encoder.dinov2_vitl14.cls_token": torch.ones(2)}
    torch.save(wrapper({prefix + name: value for name, value in held.items()}), tmp_path / "roma.ckpt")
    loaded = load_network(tmp_path / "roma.ckpt", "minima")
    assert loaded.entry.name == "roma" and loaded.config["normalised"] and loaded.config["resize"] == "bicubic"
    assert all(torch.equal(value, state[key]) for key, value in loaded.network.state_dict().items())
    with pytest.raises(ModelError, match="do not say which training") as refused:
        load_network(tmp_path / "roma.ckpt")
    assert "outdoor|indoor|minima|matchanything" in refused.value.hint


def test_minimas_roma_is_known_by_its_hash_and_dinov2_belongs_to_it(tmp_path, monkeypatch):
    torch.save(state_of("roma"), tmp_path / "roma.pth")
    row = next(row for row in ARCHITECTURES["roma"].published if row.sha256)
    monkeypatch.setattr("xmatch.networks.loading.published_as", lambda digest: row)
    assert load_network(tmp_path / "roma.pth").config["normalised"]
    with pytest.raises(ModelError, match="features of dinov2-vitl14, whose weights are a file of their own"):
        load_matcher("auto", str(tmp_path / "roma.pth"), "cpu")
    torch.save(state_of("disk"), tmp_path / "disk.pth")
    with pytest.raises(ModelError, match="holds weights of DISK; wanted are those of DINOv2"):
        load_matcher("auto", str(tmp_path / "roma.pth"), "cpu", str(tmp_path / "disk.pth"))


def test_dinov2_comes_as_published_and_as_a_folder_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "image_size": 70, "patch_size": 14}
    theirs = transformers.Dinov2Model(transformers.Dinov2Config(**sizes)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.2)
    theirs.save_pretrained(tmp_path / "hub")
    loaded = load_network(tmp_path / "hub")
    assert loaded.entry.name == "dinov2-hf" and loaded.config == {"width": 64, "depth": 2, "heads": 1, "side": 5}
    image = torch.randn(1, 3, 70, 70)
    with torch.no_grad():
        expected = theirs(image).last_hidden_state[:, 1:]
        torch.testing.assert_close(loaded.network(image).flatten(2).transpose(1, 2), expected, atol=1e-4, rtol=1e-4)
    torch.save(loaded.network.state_dict(), tmp_path / "as-published.pth")
    assert load_network(tmp_path / "as-published.pth").entry.name == "dinov2"


def test_what_nothing_here_builds_is_named(tmp_path):
    torch.save({"matcher.omega": torch.ones(2), "refiners.4.a": torch.ones(2), "refiner_features.b": torch.ones(2)},
               tmp_path / "romav2.pt")  # fmt: skip
    with pytest.raises(ModelError, match="weights of RoMa v2; nothing here can build it"):
        load_network(tmp_path / "romav2.pt")
    torch.save({"some.weight": torch.ones(2)}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match="no architecture that is known"):
        load_network(tmp_path / "odd.pth")
