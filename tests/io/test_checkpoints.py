"""Files of weights: what is written comes back, and whatever is wrong with a file is said."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from xmatch.errors import ModelError, OutputError
from xmatch.io.weights.files import WeightsMetadata, load_state, load_weights, read_entries, read_metadata, save_weights

METADATA = WeightsMetadata(
    name="probe",
    architecture="xmatch",
    licence="Apache-2.0",
    config={"channels": [2, 4], "note": 'été "quoted"'},
    data=["drawn shapes"],
    recipe={"seed": 7, "rate": 1e-4},
    commit="0123abc",
    step=12,
    minutes=1.5,
    hardware="2 CPU cores",
    numbers={"success@10px": 42.0},
    sources=[{"file": "a.ckpt", "sha256": "00"}],
)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "probe.safetensors"
    save_weights(path, network().state_dict(), METADATA)
    return path


def test_tensors_and_metadata_come_back(saved):
    state, metadata = load_weights(saved)
    assert metadata == METADATA == read_metadata(saved)
    expected = network().state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor) and state[name].dtype == tensor.dtype


def test_entries_are_read_without_the_numbers(saved):
    entries = read_entries(saved)
    assert entries["0.weight"].shape == (3, 1, 3, 3) and entries["0.weight"].dtype == "F32"
    assert entries["1.num_batches_tracked"].shape == () and entries["1.num_batches_tracked"].count == 1


def test_the_same_weights_give_the_same_bytes_in_every_process(saved, tmp_path):
    again = tmp_path / "again.safetensors"
    save_weights(again, dict(reversed(network().state_dict().items())), METADATA)
    assert again.read_bytes() == saved.read_bytes()
    code = f"""
import sys; sys.path[:0] = {[os.path.dirname(__file__)] + sys.path!r}
from test_checkpoints import METADATA, network, save_weights
save_weights({str(tmp_path / "third.safetensors")!r}, network().state_dict(), METADATA)"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "5"})
    assert (tmp_path / "third.safetensors").read_bytes() == saved.read_bytes()


def test_half_precision_is_half_the_size_and_leaves_integers(tmp_path):
    path = tmp_path / "half.safetensors"
    save_weights(path, {"w": torch.linspace(-1, 1, 5000), "n": torch.tensor(2**40)}, METADATA, half=True)
    state, _ = load_weights(path)
    assert state["w"].dtype == torch.float16 and state["n"] == 2**40
    assert path.stat().st_size < 12_000
    torch.testing.assert_close(state["w"].float(), torch.linspace(-1, 1, 5000), rtol=1e-3, atol=1e-7)


def test_numbers_too_large_for_half_precision_are_refused(tmp_path):
    with pytest.raises(ModelError, match="w holds numbers beyond the range"):
        save_weights(tmp_path / "x.safetensors", {"w": torch.tensor([1e6])}, METADATA, half=True)
    assert not any(tmp_path.iterdir())


def test_shared_strided_and_scalar_tensors_are_written_as_they_look(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    given = {"all": base, "same": base, "turned": base.T, "row": base[1], "one": base[2, 3], "none": base[:0]}
    save_weights(tmp_path / "x.safetensors", given, METADATA)
    state, _ = load_weights(tmp_path / "x.safetensors")
    for name, tensor in given.items():
        assert torch.equal(state[name], tensor), name


def test_an_existing_file_stays_unless_it_may_be_replaced(saved):
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_weights(saved, network(1).state_dict(), METADATA)
    assert saved.read_bytes() == before
    save_weights(saved, network(1).state_dict(), METADATA, overwrite=True)
    assert saved.read_bytes() != before


def test_weights_that_are_not_numbers_never_replace_good_ones(saved):
    before = saved.read_bytes()
    broken = network().state_dict()
    broken["0.bias"][1] = torch.nan
    with pytest.raises(ModelError, match="NaN in 1 of 7 tensors: 0.bias"):
        save_weights(saved, broken, METADATA, overwrite=True)
    assert saved.read_bytes() == before


def test_nan_in_a_file_is_found_when_it_is_loaded(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.tensor([1.0, torch.nan])}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="NaN in 1 of 1 tensors: w"):
        load_weights(tmp_path / "x.safetensors")


def test_infinities_may_be_meant(tmp_path):
    save_weights(tmp_path / "x.safetensors", {"mask": torch.tensor([0.0, -torch.inf])}, METADATA, half=True)
    assert load_weights(tmp_path / "x.safetensors")[0]["mask"].tolist() == [0.0, -torch.inf]


def test_a_file_of_another_program_has_its_own_name_and_no_licence(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "foreign.safetensors", metadata={"format": "pt"})
    assert read_metadata(tmp_path / "foreign.safetensors") == WeightsMetadata("foreign", "", "")


def test_newer_metadata_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors", metadata={"schema": '"xmatch.weights/2"'})
    with pytest.raises(ModelError, match="expected 'xmatch.weights/1'"):
        read_metadata(tmp_path / "x.safetensors")


@pytest.mark.parametrize("told", [{"schema": "nonsense"}, {"schema": '"xmatch.weights/1"', "name": '"x"'}])
def test_metadata_that_cannot_be_understood_are_refused(tmp_path, told):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors", metadata=told)
    with pytest.raises(ModelError, match="metadata cannot be read"):
        read_metadata(tmp_path / "x.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 12, 200, -1])
def test_a_truncated_file_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ModelError) as caught:
        load_weights(saved)
    assert caught.value.exit_code == 6 and caught.value.path == str(saved)


def test_flipped_bits_in_the_header_are_refused(saved):
    data = bytearray(saved.read_bytes())
    data[12] ^= 0xFF
    saved.write_bytes(data)
    with pytest.raises(ModelError, match="truncated or damaged"):
        read_metadata(saved)


def test_missing_files_directories_and_other_files_are_named(tmp_path):
    (tmp_path / "text").write_text("these are no weights at all")
    os.mkfifo(tmp_path / "pipe")
    for name, said in {".": "a directory", "none": "no such file", "text": "begins with", "pipe": "no regular"}.items():
        with pytest.raises(ModelError, match=said):
            load_weights(tmp_path / name)


def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(ModelError) as caught:
        load_weights(tmp_path / "x.pt")
    assert caught.value.hint == "xmatch models convert x.pt x.safetensors"


def test_a_network_takes_weights_of_its_own_shape():
    fresh, other = network(0), network(1)
    load_state(fresh, {name: tensor.half() for name, tensor in other.state_dict().items()})
    torch.testing.assert_close(fresh[0].weight, other[0].weight, rtol=1e-3, atol=1e-4)
    assert fresh[0].weight.dtype == torch.float32


def test_weights_of_another_network_are_refused_with_the_first_differences():
    state = network().state_dict()
    del state["0.bias"]
    state["0.weight"] = torch.ones(3, 1, 5, 5)
    state["9.weight"] = torch.ones(1)
    with pytest.raises(ModelError) as caught:
        load_state(network(), state, "w.safetensors")
    message = str(caught.value)
    assert "1 missing: 0.bias" in message and "1 not expected: 9.weight" in message
    assert "0.weight (3, 1, 5, 5) instead of (3, 1, 3, 3)" in message


def test_every_field_of_the_metadata_is_in_the_file_under_its_name(saved):
    from safetensors import safe_open

    with safe_open(saved, framework="np") as file:
        assert set(file.metadata()) == {"schema", *(f.name for f in dataclasses.fields(WeightsMetadata))}


def test_reading_metadata_loads_no_torch_and_nothing_of_images():
    code = "import sys, xmatch.io.weights.files; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "rasterio", "typer", "tifffile", "cv2"}
