"""Digests of input files."""

from __future__ import annotations

import hashlib
import os

import pytest

from xmatch.errors import InputError
from xmatch.io import file_digest
from xmatch.io.rasters import digest


def test_a_small_file_is_hashed_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    assert file_digest(tmp_path / "a") == "sha256:" + hashlib.sha256(b"abc" * 1000).hexdigest()


def test_a_large_file_is_sampled_over_its_whole_length(tmp_path, monkeypatch):
    # The same rule at a 64th of the size.
    monkeypatch.setattr(digest, "FULL_BYTES", 2**22)
    monkeypatch.setattr(digest, "_END_BYTES", 2**18)
    monkeypatch.setattr(digest, "_CHUNK_BYTES", 2**14)
    path = tmp_path / "a"
    size = 2**22 + 12_345
    path.write_bytes(bytes(size))
    before = file_digest(path)
    assert before.startswith("sha256-sampled:")
    span = size - 2 * 2**18 - 2**14
    for at in (0, 2**18 - 1, 2**18 + span // 63 + 5, 2**18 + 62 * span // 63, size - 1):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"\1")
        assert file_digest(path) != before
        before = file_digest(path)
    os.truncate(path, size - 1)
    assert file_digest(path) != before


@pytest.mark.timeout(10)
def test_no_file_has_no_digest(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe"):
        with pytest.raises(InputError):
            file_digest(tmp_path / name)
