"""Photographs with keypoints as training pairs: tiny SPair-71k and PF-PASCAL, as they are published."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

from xmatch.errors import InputError
from xmatch.networks.matcha.small import MatchaSmall
from xmatch.networks.registry import load_objective
from xmatch.networks.truth import true_places
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.layouts import kind_of
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.recipe import SourceSpec, build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Keypoints
from xmatch.synth.sources.keypoints import REACH_PX, around_keypoints

STILL = Difficulty(gap=0, max_angle_deg=0, max_scale=1, max_shift=0, shear=0, perspective=0, elastic=0, noise=0)
POINTS = {"a": [[20, 30], [60, 20], [70, 80]], "b": [[40, 60], [120, 40], [140, 160]]}
"""b is a, twice as large; px, the first centre at (0, 0)."""
SIZES = {"a": (100, 100), "b": (200, 200)}


def thing(name: str) -> np.ndarray:
    """A white spot of its own size at each keypoint, on black."""
    image = np.zeros((*SIZES[name][::-1], 3), np.uint8)
    for number, point in enumerate(POINTS[name]):
        cv2.circle(image, point, 4 if name == "a" else 8, (255, 80 * number, 0), -1)
    return image


def write_spair(folder):
    (folder / "JPEGImages" / "cat").mkdir(parents=True)
    (folder / "PairAnnotation" / "trn").mkdir(parents=True)
    for name in SIZES:
        cv2.imwrite(str(folder / "JPEGImages" / "cat" / f"{name}.png"), thing(name))
    pair = {"category": "cat", "src_imname": "a.png", "trg_imname": "b.png", "src_kps": POINTS["a"]}
    pair |= {"trg_kps": POINTS["b"], "src_bndbox": [0, 0, 9, 9], "trg_bndbox": [0, 0, 9, 9]}
    (folder / "PairAnnotation" / "trn" / "000001-a-b:cat.json").write_text(json.dumps(pair))


def write_pascal(folder):
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "Annotations" / "cat").mkdir(parents=True)
    for name, points in POINTS.items():
        cv2.imwrite(str(folder / "JPEGImages" / f"{name}.png"), thing(name))
        savemat(folder / "Annotations" / "cat" / f"{name}.mat", {"kps": np.array(points) + 1.0})
    row = "PF-dataset-PASCAL/JPEGImages/a.png,PF-dataset-PASCAL/JPEGImages/b.png,8,0"
    (folder / "train_pairs_pf_pascal.csv").write_text(f"source_image,target_image,class,flip\n{row}\n")


@pytest.fixture(params=[write_spair, write_pascal], ids=["SPair-71k", "PF-PASCAL"])
def folder(request, tmp_path):
    request.param(tmp_path)
    return tmp_path


def test_what_is_around_a_keypoint_leads_to_its_partner(folder):
    """A spot of the first square shows at the flow's end in the second; between the spots nothing is known."""
    aligned = Keypoints.below(folder).draw(6, 96, device_rng("cpu", 0), STILL)
    known, spots = aligned.covisible, aligned.first.amax(1) > 0.5
    assert known.flatten(1).sum(1).float() == pytest.approx(3 * np.pi * REACH_PX**2, rel=0.15)
    assert known[spots].float().mean() > 0.99 and (known & ~aligned.first_valid[:, 0]).sum() == 0
    shown = torch.nn.functional.grid_sample(aligned.second, aligned.flow, align_corners=False)
    # In colours, which tell the three spots apart; a and b were marked in whole px of their own.
    assert (shown - aligned.first).abs().amax(1)[known].mean() < 0.05
    assert aligned.names == (("thing", "thing"),) * 6


def test_a_thing_twice_as_large_moves_by_twice_as_much():
    here = np.array([[30.0, 30.0], [60.0, 60.0]])
    flow, known = around_keypoints(here, 2 * here - 40, 96)
    x, y = 32, 29
    assert known[y, x] and not known[5, 5]
    assert (flow[y, x] + 1) * 48 == pytest.approx([2 * (x + 0.5) - 40, 2 * (y + 0.5) - 40], abs=1e-3)


def test_one_keypoint_says_nothing_of_size():
    flow, known = around_keypoints(np.array([[30.0, 30.0]]), np.array([[50.0, 40.0]]), 96)
    assert (flow[32, 28] + 1) * 48 == pytest.approx([48.5, 42.5], abs=1e-3)


def test_features_at_an_eighth_learn_semantics_from_every_keypoint_that_is_seen(folder):
    pairs = draw_pairs(Mixture([Keypoints.below(folder)]), 8, 96, device_rng("cpu", 1), STILL)
    line = 8 * (torch.arange(12) + 0.5)
    cells = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, -1, 2).expand(8, -1, -1)
    assert (true_places(pairs, cells)[1].sum(1) >= 2).all()
    objective = load_objective("matcha")
    parts = objective.step(MatchaSmall(), pairs)
    assert parts["contrast"] > 0 and parts["flow"] > 0 and parts["geometric"] == 0


def test_recipes_name_the_folder_and_no_sensors(folder):
    (source,) = build_mixture([SourceSpec("keypoints", ".")], folder).sources
    assert isinstance(source, Keypoints) and kind_of(folder) == "keypoints"
    with pytest.raises(ValueError, match="seen as they are"):
        SourceSpec("keypoints", ".", names=("sar",))


def test_a_folder_of_neither_says_what_is_wanted(tmp_path):
    with pytest.raises(InputError, match="no training pairs") as caught:
        Keypoints.below(tmp_path)
    assert "PairAnnotation/trn" in caught.value.hint and "trn_pairs.csv" in caught.value.hint
