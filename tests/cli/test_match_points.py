"""`xmatch match --task`: points by features, from the command line to files; the feature here needs no weights."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_features import Looks, texture

from xmatch.errors import ExitCode, ModelError
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.loading import load_network
from xmatch.networks.matcha.loading import FeatureOptions


@pytest.fixture
def asked(tmp_path, monkeypatch) -> list[tuple]:
    """a.png, b.png (a moved by 24 px to the right), frames/ and points.csv; what features are asked for."""
    monkeypatch.chdir(tmp_path)
    image = (255 * texture(160, 160)).astype(np.uint8)
    cv2.imwrite("a.png", image)
    cv2.imwrite("b.png", np.roll(image, 24, 1))
    Path("frames").mkdir()
    for i in range(3):
        cv2.imwrite(f"frames/{i}.png", np.roll(image, 8 * i, 1))
    Path("points.csv").write_text("x,y\n60,52\n84,76\n")
    calls: list[tuple] = []

    def load(name, options=FeatureOptions()):
        calls.append((name, options))
        return Looks()

    monkeypatch.setattr("xmatch.networks.matcha.loading.load_feature", load)
    return calls


def match(cli, *words: str, side: str = "160"):
    return cli("match", "a.png", *words, "--feature-side", side)


@pytest.mark.parametrize("task", ["geometric", "semantic"])
def test_points_of_one_image_are_found_in_the_other(cli, asked, task):
    done = match(cli, "b.png", "--task", task, "--keypoints", "points.csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert done.code == 0 and "no verdict" in done.err
    assert np.allclose([float(row["moving_x"]) for row in rows], (84, 108), atol=3)
    assert np.allclose([float(row["moving_y"]) for row in rows], (52, 76), atol=3)
    assert asked[0][0] == "matcha-small" and "drawn scenes and figures alone" in done.err


def test_without_keypoints_mutual_cells_or_a_lattice_are_sought(cli, asked):
    mutual = list(csv.DictReader(io.StringIO(match(cli, "b.png", "--task", "geometric").out)))
    lattice = list(csv.DictReader(io.StringIO(match(cli, "b.png", "--task", "geometric", "--spacing", "40").out)))
    assert len(mutual) > 100 and [row["fixed_x"] for row in lattice[:2]] == ["20.0", "60.0"]


def test_points_are_followed_through_frames_and_drawn(cli, asked):
    done = match(cli, "frames", "--task", "temporal", "--keypoints", "points.csv", "--picture", "drawn", "--json")
    assert done.code == 0 and done.json["frames"] == [f"frames/{i}.png" for i in range(3)]
    last = done.json["tracks"][-2:]
    assert np.allclose([row["x"] for row in last], (76, 100), atol=3) and all(row["visible"] for row in last)
    assert sorted(path.name for path in Path("drawn").iterdir()) == [f"{i:06d}.png" for i in range(3)]
    lattice = match(cli, "frames", "--task", "temporal", "--json").json
    assert len(lattice["points"]) == 16 * 16


def test_results_go_to_files_that_are_checked_before_the_work(cli, asked):
    words = ("b.png", "--task", "semantic", "--keypoints", "points.csv", "-o", "found.npz", "--picture", "lines.png")
    done = match(cli, *words, "--json")
    assert done.json == {
        "schema": "xmatch.match-points/1",
        "ok": True,
        "output": "found.npz",
        "picture": "lines.png",
        "task": "semantic",
        "matcher": "matcha-small",
        "points": 2,
        "frames": None,
    }
    assert np.load("found.npz")["moving_xy"].shape == (2, 2) and cv2.imread("lines.png") is not None
    assert match(cli, *words).code == ExitCode.OUTPUT and len(asked) == 1
    assert match(cli, *words, "--overwrite").code == 0


def test_what_is_said_of_features_arrives(cli, asked):
    words = ["--matcher", "matcha-light", "--weights", "own.safetensors", "--diffusion", "sd", "--dino", "dino"]
    words += ["--ensemble", "3", "--precision", "half", "--feature-cache", "kept", "--allow-download", "--seed", "7"]
    match(cli, "b.png", "--task", "semantic", "--device", "cpu", *words)
    assert asked == [("matcha-light", FeatureOptions("sd", "dino", "own.safetensors", 3, 7, "cpu", True, "kept", True))]
    assert not match(cli, "b.png", "--task", "semantic", "--allow-download", "--offline").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["b.png", "--keypoints", "points.csv"], ExitCode.USAGE, "--keypoints is for --task"),
        (["b.png", "--task", "semantic", "--mirror"], ExitCode.USAGE, "--mirror is for maps"),
        (["b.png", "--task", "semantic", "--roi", "1,2,3,4"], ExitCode.USAGE, "--roi is for maps"),
        (["b.png", "--task", "semantic", "--geometry", "fundamental"], ExitCode.USAGE, "--geometry is for maps"),
        (["b.png", "--task", "semantic", "--matcher", "sift"], ExitCode.USAGE, "sift has no features"),
        (["b.png", "--task", "semantic", "--format", "points"], ExitCode.USAGE, "csv, json or npz"),
        (["b.png", "--task", "semantic", "--picture", "lines.bmp"], ExitCode.USAGE, "does not end in .png"),
        (["b.png", "--task", "semantic", "--keypoints", "points.csv", "--spacing", "9"], ExitCode.USAGE, "both say"),
        (["b.png", "--task", "semantic", "--keypoints", "none.csv"], ExitCode.INPUT, "none.csv"),
        (["b.png", "--task", "semantic", "--keypoints", "outside.csv"], ExitCode.INPUT, "row 3"),
        (["small.png", "--task", "temporal"], ExitCode.INPUT, "frame of 64 x 64 px among frames of 160 x 160"),
        (["frames", "--task", "semantic"], ExitCode.INPUT, "frames"),
    ],
)
def test_what_cannot_be_is_refused_before_a_feature_is_made_of_it(cli, asked, words, code, said):
    Path("outside.csv").write_text("x,y\n1,1\n161,5\n")
    cv2.imwrite("small.png", np.zeros((64, 64, 3), np.uint8))
    done = match(cli, *words)
    assert done.code == code and said in done.err, done.err


def test_without_weights_the_exit_code_is_6_and_what_to_fetch_is_said(cli, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="names on the hub are looked up with it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMATCH_CACHE", str(tmp_path))
    cv2.imwrite("a.png", (255 * texture()).astype(np.uint8))
    done = cli(
        *("match", "a.png", "a.png", "--task", "semantic", "--matcher", "matcha"),
        *("--diffusion", "nobody/a", "--dino", "nobody/b", "--json"),
    )
    assert done.code == ModelError.exit_code == 6 and done.json["error"]["code"] == "model"
    for part in ("nobody/a, 5.2 GB", "nobody/b, 1.2 GB", "matcha_pretrained.pth", "--allow-download"):
        assert part in done.err


def test_weights_alone_say_which_feature_is_meant(cli, asked, tmp_path):
    save_weights(tmp_path / "dense.safetensors", {"w": torch.ones(2)}, WeightsMetadata("d", "xmatch", "MIT"))
    assert match(cli, "b.png", "--task", "semantic", "--weights", "dense.safetensors").code == ExitCode.MODEL
    small = load_network("matcha-small").path
    assert match(cli, "b.png", "--task", "semantic", "--weights", str(small)).code == 0
    assert asked[-1][0] == "matcha-small" and asked[-1][1].weights == str(small)


@pytest.mark.parametrize("task", ["geometric", "semantic", "temporal"])
def test_the_package_does_all_three_tasks_by_itself(cli, tmp_path, monkeypatch, task):
    monkeypatch.chdir(tmp_path)
    image = (255 * texture(256, 256)).astype(np.uint8)
    cv2.imwrite("a.png", image)
    cv2.imwrite("b.png", np.roll(image, 16, 1))
    Path("points.csv").write_text("x,y\n60,52\n124,76\n100,180\n160,120\n")
    done = cli("match", "a.png", "b.png", "--task", task, "--keypoints", "points.csv", "--json", "--offline")
    rows = done.json["tracks" if task == "temporal" else "points"]
    moved = [row["x"] if task == "temporal" else row["moving_x"] for row in rows][-4:]
    assert done.code == 0 and np.median(np.abs(np.array(moved) - (76, 140, 116, 176))) < 8
