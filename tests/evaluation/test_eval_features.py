"""Features in `xmatch eval`: points found one by one, judged by the protocols of keypoints, tracks and poses."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest
from made_features import Looks, texture

from xmatch.datasets import scannet, tapvid
from xmatch.errors import UsageError
from xmatch.evaluation import DatasetSpec, EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation import features as module
from xmatch.evaluation.predict import refuse_unsupported

LOOKS = "feature:dift-dinov2"


@pytest.fixture(autouse=True)
def looks(monkeypatch):
    """Every feature is one that needs no weights; it compares squares of 128 px."""
    monkeypatch.setattr("xmatch.networks.matcha.loading.load_feature", lambda name, options: Looks())
    monkeypatch.setattr("xmatch.pointwise.images.SQUARE_PX", 128)
    module._loaded.cache_clear()
    yield
    module._loaded.cache_clear()


def results(recipe, folder):
    found, tasks = {}, plan(recipe, folder)
    for method in refuse_unsupported(tasks, methods(recipe)):
        found[method] = folder / "feature.jsonl"
        predict(tasks, recipe, found[method], certificate={}, data_sha256="d", method=method)
    return results_document(found, recipe)["matchers"][LOOKS]


def recipe(dataset: str, **more) -> EvalRecipe:
    return EvalRecipe(dataset=DatasetSpec(dataset, "."), matchers=(LOOKS,), controls=False, **more)


def picture(shift: int = 0, side: int = 128) -> np.ndarray:
    return np.roll((255 * texture(side, side)).astype(np.uint8), shift, 1)


def test_keypoints_of_the_source_are_sought_in_the_target(tmp_path):
    (tmp_path / "JPEGImages" / "cat").mkdir(parents=True)
    (tmp_path / "PairAnnotation" / "test").mkdir(parents=True)
    for name, shift in (("a", 0), ("b", 16)):
        cv2.imwrite(str(tmp_path / "JPEGImages" / "cat" / f"{name}.png"), picture(shift))
    pair = {"category": "cat", "src_imname": "a.png", "trg_imname": "b.png", "src_kps": [[36, 60], [68, 76]]}
    pair |= {"trg_kps": [[52, 60], [84, 76]], "src_bndbox": [0, 0, 100, 100], "trg_bndbox": [0, 0, 100, 100]}
    (tmp_path / "PairAnnotation" / "test" / "0-a-b:cat.json").write_text(json.dumps(pair))
    part = results(recipe("spair-71k"), tmp_path)
    assert part["kind_of_method"] == "feature" and part["mean"]["pck_box_per_image"]["0.05"] == 100
    assert part["pairs"][0]["mean_error_px"] < 4


def test_tracks_have_places_and_visibility(tmp_path):
    """The scene moves by 16 px; in the last frame another one covers the points."""
    video = np.stack([picture(), picture(16), (255 * texture(128, 128, seed=9)).astype(np.uint8)])
    starts = np.stack(np.meshgrid([36.0, 60.0, 84.0], [36.0, 60.0, 84.0]), -1).reshape(-1, 1, 2)
    points = (starts + np.array([[0, 0], [16, 0], [16, 0]])) / 128
    content = {"video": video, "points": points, "occluded": np.array([[False, False, True]] * 9)}
    (tmp_path / tapvid.FILE).write_bytes(pickle.dumps({"goat": content}))
    goat = results(recipe("tapvid-davis"), tmp_path)["sets"]["goat"]
    # Had they stayed, they would be 32 px of TAP-Vid's 256 off: beyond every threshold.
    assert goat["average_position_accuracy"] > 50 and goat["occlusion_accuracy"] > 70


def test_poses_are_estimated_from_cells_that_choose_each_other(tmp_path):
    numbers = [*np.diag([100.0, 100.0, 1.0]).ravel()] * 2 + [*np.eye(4).ravel()]
    for k in (0, 1):
        (tmp_path / "scene").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "scene" / f"{k}.png"), picture(16 * k))
    (tmp_path / scannet.LIST).write_text(f"scene/0.png scene/1.png 0 0 {' '.join(map(str, numbers))}\n")
    part = results(recipe("scannet-1500"), tmp_path)
    assert part["n"]["failed"] == 0
    (saved,) = (tmp_path / "feature.matches").iterdir()
    with np.load(saved) as arrays:
        moved = (arrays["moving_xy"] - arrays["fixed_xy"])[:, 0] % 128
    assert len(moved) > 100 and np.median(np.abs(moved - 16)) < 2


def test_homographies_are_judged_by_matching_accuracy_alone(tmp_path):
    folder = tmp_path / "v_still"
    folder.mkdir()
    for k in range(1, 7):
        cv2.imwrite(str(folder / f"{k}.ppm"), picture(16 if k > 1 else 0))
    for k in range(2, 7):
        np.savetxt(folder / f"H_1_{k}", np.array([[1.0, 0, 16], [0, 1, 0], [0, 0, 1]]))
    part = results(recipe("hpatches"), tmp_path)
    # One cell in eight went over the border.
    assert part["mean"]["mma"]["5"] > 75 and part["pairs"][0]["corner_error_px"] is None


def test_a_feature_is_not_asked_for_a_map(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    row = {"fixed": "a.png", "moving": "a.png", "H_moving_to_fixed": np.eye(3).tolist()}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    asked = EvalRecipe(manifest=("pairs.jsonl",), matchers=(LOOKS,), controls=False)
    with pytest.raises(UsageError, match="finds points and no map"):
        refuse_unsupported(plan(asked, tmp_path), methods(asked))
