"""Pickles of arrays are read; a pickle that calls a function is refused and the function never runs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from xmatch.datasets.safe_pickle import load_npz, load_pickle
from xmatch.errors import InputError


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back(tmp_path, protocol):
    content = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(2), True, b"\xff"], "c": (None, "x")}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    read = load_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(read["a"], content["a"])
    assert read["b"] == content["b"] and read["c"] == content["c"]


def test_a_pickle_that_is_a_program_does_not_run(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"video": Malicious(tmp_path / "written")}))
    with pytest.raises(InputError, match="open"):
        load_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "written").exists()


def test_an_npz_that_is_a_program_does_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([Malicious(tmp_path / "written")], dtype=object))
    with pytest.raises(InputError, match="open"):
        load_npz(tmp_path / "a.npz")
    assert not (tmp_path / "written").exists()


def test_object_arrays_of_an_npz_come_back_in_their_shape(tmp_path):
    objects = np.empty((2, 1), dtype=object)
    objects[:, 0] = [(np.eye(2), 0.5), "name"]
    np.savez(tmp_path / "a.npz", objects=objects, plain=np.arange(3))
    read = load_npz(tmp_path / "a.npz")
    assert read["objects"].shape == (2, 1) and read["objects"][1, 0] == "name"
    np.testing.assert_array_equal(read["objects"][0, 0][0], np.eye(2))
    np.testing.assert_array_equal(read["plain"], [0, 1, 2])


def test_a_damaged_file_is_refused(tmp_path):
    for name, load in (("a.pkl", load_pickle), ("a.npz", load_npz)):
        (tmp_path / name).write_bytes(b"not this")
        with pytest.raises(InputError):
            load(tmp_path / name)
