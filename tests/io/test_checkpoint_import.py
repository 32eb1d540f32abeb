"""Published weights: what they are is told from their names, and nothing that a pickle carries is run."""

from __future__ import annotations

import io
import os
import pickle
import types
import zipfile

import pytest
import torch

from xmatch.errors import ModelError
from xmatch.io.checksum import sha256
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.io.weights.published_pickles import common_prefixes, import_weights

ROMA = ("encoder.cnn.layers.0.weight", "decoder.embedding_decoder.to_out.weight")


def tensors(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.arange(3.0) + i for i, name in enumerate(names)}


class Payload:
    """Runs a command when it is unpickled by an ordinary reader."""

    def __init__(self, path: object) -> None:
        self.command = f"touch {path}"

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


@pytest.mark.parametrize("names, prefixes", [
    (["matcher.model.a", "matcher.model.b.c"], ["matcher.", "model."]),
    (["module.a", "module.model.b"], ["module."]),
    (["model.a", "b"], []), ([], []), (["model."], []),
])  # fmt: skip
def test_only_prefixes_of_every_name_are_taken_off(names, prefixes):
    assert common_prefixes(names) == prefixes


def test_a_lightning_checkpoint_is_unwrapped_and_renamed(tmp_path):
    state = tensors(*(f"matcher.model.{name}" for name in ROMA))
    torch.save({"state_dict": state, "epoch": 3, "lr": [0.1]}, tmp_path / "matchanything_roma.ckpt")
    found = import_weights(tmp_path / "matchanything_roma.ckpt")
    assert set(found.state_dict) == set(ROMA)
    assert torch.equal(found.state_dict[ROMA[1]], torch.arange(3.0) + 1)
    assert (found.wrappers, found.prefixes) == (("state_dict",), ("matcher.", "model."))
    assert found.sha256 == sha256(tmp_path / "matchanything_roma.ckpt")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "weights"])
@pytest.mark.parametrize("new_format", [True, False])
def test_wrappers_and_both_formats_of_torch_are_read(tmp_path, wrapper, new_format):
    content = {wrapper: tensors("a", "b"), "optimizer": {"state": {}}, "n": 7}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=new_format)
    found = import_weights(tmp_path / "x.pth")
    assert list(found.state_dict) == ["a", "b"] and found.wrappers == (wrapper,)
    assert found.notes == [f"tensors under {wrapper!r}"]


def test_parameters_and_buffers_come_as_plain_tensors(tmp_path):
    network = torch.nn.BatchNorm1d(3)
    torch.save({"w": network.weight, "n": network.num_batches_tracked}, tmp_path / "x.pt")
    found = import_weights(tmp_path / "x.pt").state_dict
    assert not found["w"].requires_grad and found["n"].dtype == torch.int64


def test_safetensors_keep_what_they_say_about_themselves(tmp_path):
    told = WeightsMetadata("a", "loftr", "Apache-2.0")
    save_weights(tmp_path / "a.safetensors", tensors("x"), told)
    assert import_weights(tmp_path / "a.safetensors").metadata == told


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("place", ["inside", "alone", "as a tensor"])
def test_a_pickle_that_would_run_a_command_is_refused_and_nothing_is_run(tmp_path, new_format, place):
    proof, path = tmp_path / "proof", tmp_path / "evil.pth"
    payload = Payload(proof)
    content = {"inside": {"state_dict": tensors("a"), "more": payload}, "alone": payload,
               "as a tensor": {"state_dict": {**tensors("a"), "b": payload}}}[place]  # fmt: skip
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(ModelError, match=r"asks for \w+\.system .*nothing of it was run") as caught:
        import_weights(path)
    assert caught.value.exit_code == 6 and not proof.exists()
    torch.load(path, weights_only=False)  # the payload is a real one
    assert proof.exists()


def test_a_plain_pickle_is_refused_too(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "proof"), protocol=4))
    with pytest.raises(ModelError):
        import_weights(path)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("module, name", [
    ("numpy.testing._private.utils", "runstring"), ("pytorch_lightning.os", "system"), ("builtins", "eval"),
    ("lightning.pytorch", "seed_everything"), ("torch.hub", "load"),
])  # fmt: skip
def test_functions_are_refused_wherever_they_come_from(tmp_path, module, name):
    buffer = io.BytesIO()
    torch.save({"state_dict": tensors("a"), "x": 0}, buffer)
    call = f"c{module}\n{name}\n(X\x03\x00\x00\x001+1tR.".encode()
    path = tmp_path / "evil.ckpt"
    with zipfile.ZipFile(buffer) as good, zipfile.ZipFile(path, "w") as evil:
        for entry in good.infolist():
            evil.writestr(entry, call if entry.filename.endswith("data.pkl") else good.read(entry))
    with pytest.raises(ModelError, match="nothing of it was run"):
        import_weights(path)


def test_classes_of_training_frameworks_are_left_out_and_named(tmp_path, monkeypatch):
    module = types.ModuleType("pytorch_lightning.callbacks")
    package = types.ModuleType("pytorch_lightning")
    package.callbacks = module
    made = []

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best = 1.0

        def __setstate__(self, state: dict) -> None:
            made.append(state)

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint
    monkeypatch.setitem(__import__("sys").modules, "pytorch_lightning", package)
    monkeypatch.setitem(__import__("sys").modules, "pytorch_lightning.callbacks", module)
    content = {"state_dict": tensors("a"), "callbacks": {ModelCheckpoint: {"best": 1.0}}, "kept": ModelCheckpoint()}
    torch.save(content, tmp_path / "x.ckpt")
    found = import_weights(tmp_path / "x.ckpt")
    assert list(found.state_dict) == ["a"] and not made
    assert "left out, never loaded: pytorch_lightning.callbacks.ModelCheckpoint" in found.notes


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("new_format", [True, False])
def test_a_truncated_file_is_refused(tmp_path, share, new_format):
    path = tmp_path / "x.pth"
    torch.save(tensors(*map(str, range(50))), path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ModelError):
        import_weights(path)


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02}.")
        archive.writestr("bomb/data/0", bytes(2**26))
    with pytest.raises(ModelError, match="unpacks to 0.1 GiB in a file of 0.1 MiB"):
        import_weights(path)


def test_one_number_that_claims_to_be_many_is_refused(tmp_path):
    torch.save({"w": torch.ones(1).expand(10**12)}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="claims tensors of 3,725.3 GiB"):
        import_weights(tmp_path / "x.pth")


def test_nan_is_refused_and_infinity_reported(tmp_path):
    torch.save({"good": torch.ones(2), "mask": torch.tensor([-torch.inf])}, tmp_path / "x.pth")
    assert import_weights(tmp_path / "x.pth").infinite == ("mask",)
    torch.save({"bad": torch.tensor([torch.nan]), "good": torch.ones(2)}, tmp_path / "y.pth")
    with pytest.raises(ModelError, match="NaN in 1 of 2 tensors: bad"):
        import_weights(tmp_path / "y.pth")


def test_files_without_tensors_say_what_they_hold(tmp_path):
    for content, found in (({"epoch": 1, "lr": 0.1}, "epoch, lr"), ([1, 2], "nothing"), ({}, "nothing")):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(ModelError, match=f"no tensors .*found {found}"):
            import_weights(tmp_path / "x.pth")


def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "x.pt")
    with pytest.raises(ModelError, match="torchscript"):
        import_weights(tmp_path / "x.pt")
