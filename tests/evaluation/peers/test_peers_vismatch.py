"""vismatch in an environment of its own, for which a package of that name stands in here."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from xmatch.errors import UsageError
from xmatch.evaluation.peers import vismatch_peer
from xmatch.evaluation.peers.base import PeerSettings
from xmatch.evaluation.peers.isolation import isolated
from xmatch.evaluation.peers.registry import load_peer

VISMATCH = """
import cv2
import numpy as np

available_models = ["loftr", "sift-nn", "none", "crash"]
get_default_device = lambda: "some device"

class Matcher:
    skip_ransac = False

    def __init__(self, name, device):
        self.name, self.device = name, device

    def load_image(self, path):
        return cv2.imread(str(path))

    def __call__(self, fixed, moving):
        print("on", self.device, fixed.shape, moving.shape, np.random.uniform(), self.skip_ransac)
        if self.name == "crash":
            raise RuntimeError("no weights to be had")
        if self.name == "none":
            return {"matched_kpts0": np.empty([0, 2]), "matched_kpts1": np.empty([0, 2])}
        # Upside down, counted from corners; as vismatch's rule wants it, from the first centre.
        x, y = np.meshgrid([10.0, 30, 70, 75], [5.0, 20, 33])
        moving_xy = np.stack([x.ravel(), y.ravel()], -1)
        fixed_xy = (80.0, 40.0) - moving_xy
        fixed_xy[0] = np.nan
        origin = 0.0 if self.name == "loftr" else 0.5
        return {"matched_kpts0": (fixed_xy - origin).astype("f4"), "matched_kpts1": (moving_xy - origin).astype("f4")}

def get_matcher(name, device="cpu"):
    return Matcher(name, device)
"""


@pytest.fixture
def python(tmp_path):
    """The Python of an environment that has vismatch, as far as can be told."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "vismatch.py").write_text(VISMATCH)
    (tmp_path / "site" / "torch.py").write_text("manual_seed = lambda seed: None\n")
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\nPYTHONPATH='{tmp_path / 'site'}' exec '{sys.executable}' \"$@\"\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Fixed is moving at three times its size, and vismatch is shown both at moving's."""
    monkeypatch.setattr(vismatch_peer, "LONGEST_PX", 80)
    moving = np.random.default_rng(0).integers(0, 255, (40, 80), np.uint8)
    cv2.imwrite(str(tmp_path / "moving.png"), moving)
    cv2.imwrite(str(tmp_path / "fixed.png"), np.kron(moving, np.ones((3, 3), np.uint8)))
    return tmp_path / "fixed.png", tmp_path / "moving.png"


@pytest.mark.parametrize("model", ["loftr", "sift-nn"])
def test_its_positions_become_px_of_the_files_however_the_matcher_counts(pair, python, model):
    found = load_peer("vismatch")(*pair, PeerSettings(python=python, model=model))
    assert found.reason is None and (found.correspondences, found.inliers) == (11, 11)
    assert found.transform.matrix == pytest.approx(np.array([[-3, 0, 240], [0, -3, 120], [0, 0, 1]]), abs=1e-3)


def test_it_runs_alone_in_a_process_of_its_own(pair, python):
    run = isolated(load_peer("vismatch"), *pair, PeerSettings(python=python, model="sift-nn"))
    assert run.found.inliers == 11


def test_no_match_is_a_reason_and_a_crash_a_failure_with_what_it_said(pair, python):
    peer = load_peer("vismatch")
    nothing = peer(*pair, PeerSettings(python=python, model="none"))
    assert "0 correspondences" in nothing.reason and not nothing.failed
    crash = peer(*pair, PeerSettings(python=python, model="crash"))
    assert "no weights to be had" in crash.reason and crash.failed
    unknown = peer(*pair, PeerSettings(python=python, model="lofter"))
    assert "no matcher 'lofter'" in unknown.reason and unknown.failed
    gone = peer(*pair, PeerSettings(python="/no/such/python", model="loftr"))
    assert "cannot be started" in gone.reason and gone.failed


def test_an_image_that_shows_nothing_is_not_even_asked_about(pair):
    cv2.imwrite(str(pair[0]), np.full((40, 50), 90, np.uint8))
    found = load_peer("vismatch")(*pair, PeerSettings(python="/no/such/python", model="loftr"))
    assert "fixed image shows nothing" in found.reason


def test_the_environment_and_the_matcher_must_be_named(python):
    with pytest.raises(UsageError, match="Python"):
        load_peer("vismatch").check(PeerSettings(model="loftr"))
    with pytest.raises(UsageError, match="model: .*available_models"):
        load_peer("vismatch").check(PeerSettings(python=python))
