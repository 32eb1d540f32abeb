"""Checkpoints: the newest that is whole, and nothing that runs code."""

import errno
import pickle

import pytest
import torch

from xmatch.errors import ModelError, OutputError
from xmatch.io.writing import atomic
from xmatch.training.state import _digest, checkpoints, load_newest, save_checkpoint


def state(step: int) -> dict:
    return {"step": step, "model": {"weight": torch.full((50,), float(step))}}


def newest(folder, warnings=None):
    return load_newest(folder, (warnings if warnings is not None else []).append)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = save_checkpoint(tmp_path, state(7))
    loaded, found = newest(tmp_path)
    assert found == path and loaded["step"] == 7
    assert torch.equal(loaded["model"]["weight"], torch.full((50,), 7.0))


def test_an_empty_folder_has_none(tmp_path):
    assert newest(tmp_path) is None


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 10, 100_000_000, 20):
        save_checkpoint(tmp_path, state(step))
    assert [newest(tmp_path)[0]["step"], len(checkpoints(tmp_path))] == [100_000_000, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in checkpoints(tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_a_damaged_one_is_told_and_the_one_before_is_used(tmp_path, damage):
    save_checkpoint(tmp_path, state(1))
    last = save_checkpoint(tmp_path, state(2))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes({"truncated": data[:-9], "empty": b"", "flipped": data}[damage])
    warnings = []
    assert newest(tmp_path, warnings)[0]["step"] == 1
    assert len(warnings) == 1 and last.name in warnings[0] and "damaged" in warnings[0]


def test_when_all_are_damaged_the_run_does_not_begin_anew_by_itself(tmp_path):
    save_checkpoint(tmp_path, state(1)).write_bytes(b"")
    with pytest.raises(ModelError, match="every checkpoint"):
        newest(tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("owned").write_text, ("x",))

    import io

    buffer = io.BytesIO()
    torch.save({"schema": "xmatch.training/1", "step": Evil()}, buffer)
    for data in (buffer.getvalue(), pickle.dumps(Evil())):
        (tmp_path / f"checkpoint-00000009.{_digest(data)}.pt").write_bytes(data)
        with pytest.raises(ModelError, match="not opened"):
            newest(tmp_path)
        assert not (tmp_path / "owned").exists()
        checkpoints(tmp_path)[0].unlink()


def test_files_of_other_names_are_left_alone(tmp_path):
    (tmp_path / "checkpoint-last.pt").write_bytes(b"mine")
    save_checkpoint(tmp_path, state(1))
    assert (tmp_path / "checkpoint-last.pt").exists() and len(checkpoints(tmp_path)) == 1


@pytest.mark.parametrize("moment", ["verify", "fsync", "rename"])
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, moment):
    save_checkpoint(tmp_path, state(1))
    before = sorted(tmp_path.iterdir())

    def fail(name):
        if name == moment:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "step", fail)
    with pytest.raises(OutputError, match="no space"):
        save_checkpoint(tmp_path, state(2))
    assert sorted(tmp_path.iterdir()) == before and newest(tmp_path)[0]["step"] == 1
