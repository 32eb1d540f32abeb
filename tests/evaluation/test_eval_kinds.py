"""Poses, keypoints of objects and tracks: from a data set's folder to the numbers that its papers print."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest

from xmatch.correspondences import Correspondences
from xmatch.datasets import LandmarkTruth, PoseTruth, TrackTruth, scannet, tapvid
from xmatch.evaluation import DatasetSpec, EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.scores import score
from xmatch.evaluation.tables import csv_text, markdown
from xmatch.evaluation.truths import as_map, saved
from xmatch.geometry import similarity, translation
from xmatch.result import Registration, Verdict

K = np.array([[100.0, 0.0, 40.0], [0.0, 100.0, 30.0], [0.0, 0.0, 1.0]])


def results(recipe, folder, register=None):
    found, tasks = {}, plan(recipe, folder)
    for method in methods(recipe):
        found[method] = folder / f"{method.name}.jsonl"
        predict(tasks, recipe, found[method], certificate={}, data_sha256="d", method=method, register=register)
    return results_document(found, recipe)


def write_image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (60, 80), dtype=np.uint8))


def write_scannet(folder, n=2):
    """Pairs whose second camera stands one unit to the side."""
    motion = np.eye(4)
    motion[0, 3] = -1.0
    lines = []
    for i in range(n):
        names = [f"scene{i}/{k}.png" for k in (0, 1)]
        for k, name in enumerate(names):
            write_image(folder / name, seed=2 * i + k)
        numbers = np.concatenate([K.ravel(), K.ravel(), motion.ravel()])
        lines.append(f"{names[0]} {names[1]} 0 0 {' '.join(map(str, numbers))}\n")
    (folder / scannet.LIST).write_text("".join(lines))


def sees_points(fixed, moving, options):
    """Matches of points at different depths, as the two cameras see them; none for the second scene."""
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-1, 1, (40, 2)), rng.uniform(3, 9, 40)])
    here, there = (p @ K.T for p in (points, points - (1.0, 0.0, 0.0)))
    # ScanNet's intrinsics count from the first centre.
    pixels = [p[:, :2] / p[:, 2:] + 0.5 for p in (here, there)]
    matches = Correspondences(*pixels, np.ones(40)) if "scene0" in fixed.header.path else Correspondences.empty()
    inliers, residual = np.ones(len(matches), bool), np.zeros(len(matches))
    return Registration({}, {}, None, matches, inliers, residual, Verdict(True, 0.9, "so"))


def test_poses_come_from_saved_correspondences(tmp_path):
    write_scannet(tmp_path)
    recipe = EvalRecipe(dataset=DatasetSpec("scannet-1500", "."), controls=False)
    document = results(recipe, tmp_path, sees_points)
    part = document["matchers"]["auto"]
    errors = [pair["pose_error_deg"] for pair in part["pairs"]]
    assert document["kind"] == "pose" and errors[0] < 0.1 and errors[1] is None
    # One scene right, one without a pose: each weighs as much, and there is one pair of each.
    assert set(part["all"]["auc"]) == {"5", "10", "20"}
    assert part["all"]["auc"]["20"]["value"] == pytest.approx(part["mean"]["auc"]["20"]["value"], abs=1)
    assert part["mean"]["auc"]["20"]["value"] == pytest.approx(50, abs=1)
    assert part["sets"]["scene0"]["epipolar_precision"] == 100


def write_spair(folder):
    for name in ("a", "b"):
        write_image(folder / "JPEGImages" / "cat" / f"{name}.png")
    pair = {"category": "cat", "src_imname": "a.png", "trg_imname": "b.png", "src_kps": [[10, 10], [30, 20]]}
    pair |= {"trg_kps": [[13, 14], [30, 20]], "src_bndbox": [0, 0, 40, 40], "trg_bndbox": [5, 5, 55, 45]}
    (folder / "PairAnnotation" / "test").mkdir(parents=True)
    (folder / "PairAnnotation" / "test" / "0-a-b:cat.json").write_text(json.dumps(pair))


def test_keypoints_are_judged_by_the_object_and_by_the_image(tmp_path):
    """One keypoint is 5 px off, a tenth of the box's 50 px and a sixteenth of the image's 80 px; the other is right."""
    write_spair(tmp_path)
    recipe = EvalRecipe(dataset=DatasetSpec("spair-71k", "."), matchers=("identity",), controls=False)
    (cat,) = results(recipe, tmp_path)["matchers"]["identity"]["sets"].values()
    assert cat["pck_box_per_image"] == {"0.01": 50, "0.05": 50, "0.1": 100, "0.15": 100}
    assert cat["pck_image_per_point"] == {"0.01": 50, "0.05": 50, "0.1": 100, "0.15": 100}


def test_keypoints_of_an_image_that_is_missing_are_wrong_and_not_left_out(tmp_path):
    write_spair(tmp_path)
    (tmp_path / "JPEGImages" / "cat" / "a.png").unlink()
    recipe = EvalRecipe(dataset=DatasetSpec("spair-71k", "."), matchers=("identity",), controls=False)
    part = results(recipe, tmp_path)["matchers"]["identity"]
    assert part["n"]["failed"] == 1 and part["mean"]["pck_box_per_image"]["0.15"] == 0


def test_tracks_are_judged_as_tap_vid_does(tmp_path):
    """The scene moves by 4 px in the second frame and stays in the third, where nothing has to be found."""
    video = np.random.default_rng(0).integers(0, 255, (3, 64, 128, 3), dtype=np.uint8)
    points = np.full((1, 3, 2), 0.5)
    points[0, 1, 0] += 4 / 128
    (tmp_path / tapvid.FILE).write_bytes(
        pickle.dumps({"goat": {"video": video, "points": points, "occluded": np.zeros((1, 3), bool)}})
    )
    recipe = EvalRecipe(dataset=DatasetSpec("tapvid-davis", "."), matchers=("identity",), controls=False)
    document = results(recipe, tmp_path)
    goat = document["matchers"]["identity"]["sets"]["goat"]
    # 4 px of 128 are 8 of TAP-Vid's 256: one frame is right at every threshold, the other only below 16 px.
    assert goat["average_position_accuracy"] == pytest.approx(100 * (4 * 0.5 + 1) / 5)
    assert goat["occlusion_accuracy"] == 100 and document["kind"] == "tracking"
    assert "predicted_xy" not in document["matchers"]["identity"]["pairs"][0]

    def follows(fixed, moving, options):
        frames = [source.read().pixels[0] for source in (fixed, moving)]
        assert frames[0].shape == (64, 128) and (frames[0] == video[0, :, :, 0]).all()
        shift = -4.0 if (frames[1] == video[1, :, :, 0]).all() else 0.0
        nothing = Correspondences.empty()
        return Registration(
            {}, {}, translation(shift, 0), nothing, np.zeros(0, bool), np.zeros(0), Verdict(True, 1, "")
        )

    better = results(EvalRecipe(dataset=DatasetSpec("tapvid-davis", "."), controls=False), tmp_path, follows)
    assert better["matchers"]["auto"]["sets"]["goat"]["average_jaccard"] == 100


def write_fire(folder, rows):
    for k in (1, 2):
        write_image(folder / "Images" / f"A01_{k}.png", seed=k)
    (folder / "Ground Truth").mkdir()
    np.savetxt(folder / "Ground Truth" / "control_points_A01_1_2.txt", rows)


def test_the_control_truth_scores_everything_on_landmarks_that_no_straight_map_explains(tmp_path):
    rows = np.random.default_rng(0).uniform(5, 55, (8, 4))
    # The first point of moving once more, and the same point of fixed.
    write_fire(tmp_path, np.vstack([rows, rows[:1]]))
    recipe = EvalRecipe(dataset=DatasetSpec("fire", "."), matchers=("identity",))
    parts = results(recipe, tmp_path)["matchers"]
    assert set(parts) == {"identity", "centre", "border-fit", "landmark-affine", "truth"}
    assert parts["truth"]["mean"]["auc"]["3"]["value"] == pytest.approx(100, abs=1e-3)
    assert parts["truth"]["mean"]["pck_image_per_image"]["0.01"] == 100
    assert parts["identity"]["mean"]["pck_image_per_image"]["0.01"] < 50


def test_landmarks_of_a_list_are_judged_beside_the_best_affine_map(tmp_path):
    """A shear lays all points but for 1 px each way of chance."""
    rng = np.random.default_rng(0)
    moving_xy = rng.uniform(5, 55, (30, 2))
    fixed_xy = moving_xy @ [[1.1, 0.0], [0.2, 1.0]] + rng.normal(0, 1, (30, 2))
    write_image(tmp_path / "a.png")
    row = {"fixed": "a.png", "moving": "a.png", "moving_to_fixed": None, "pixel_origin": "corner"}
    row["landmarks"] = np.hstack([moving_xy, fixed_xy]).tolist()
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    recipe = EvalRecipe(("pairs.jsonl",), matchers=("landmark-affine", "identity", "truth"), controls=False)
    document = results(recipe, tmp_path)
    assert document["kind"] == "landmarks" and document["ok"]
    affine, identity, truth = (document["matchers"][name]["mean"] for name in ("landmark-affine", "identity", "truth"))
    assert affine["median_tre_of_affine_percent"] == pytest.approx(100) and affine["median_tre_px"] < 2
    assert truth["median_tre_of_affine_percent"] == pytest.approx(0, abs=1e-6)
    still = np.median(np.linalg.norm(fixed_xy - moving_xy, axis=1))
    assert identity["median_tre_px"] == pytest.approx(still)
    assert identity["median_tre_of_affine_percent"] == pytest.approx(100 * still / affine["median_tre_px"])
    assert "of best affine's %" in markdown(document) and "median_tre_of_affine_percent" in csv_text(document)


def test_landmarks_have_pck_by_the_fixed_image_and_missing_images_count_as_wrong(tmp_path):
    """Two points are 4 px off, a twentieth of the image's 80 px; the other two are right."""
    write_fire(tmp_path, [[14, 10, 10, 10], [24, 20, 20, 20], [5, 30, 5, 30], [9, 9, 9, 9]])
    recipe = EvalRecipe(dataset=DatasetSpec("fire", "."), matchers=("identity",), controls=False)
    part = results(recipe, tmp_path)["matchers"]["identity"]["mean"]
    assert part["pck_image_per_point"] == {"0.01": 50, "0.05": 100, "0.1": 100, "0.15": 100}
    (tmp_path / "Images" / "A01_1.png").unlink()
    (tmp_path / "identity.jsonl").unlink()
    part = results(recipe, tmp_path)["matchers"]["identity"]["mean"]
    assert part["pck_image_per_image"]["0.15"] == 0


def test_truths_that_are_no_map_tell_none():
    line, three = np.array([[0.0, 0], [1, 1], [2, 2]]), np.array([[0.0, 0], [1, 0], [0, 1]])
    told = (LandmarkTruth(line, line), LandmarkTruth(three[:2], three[:2]), LandmarkTruth(line[:0], line[:0]))
    other = (TrackTruth(three, three, np.ones(3, bool)), PoseTruth(K, K, np.eye(3), np.ones(3)), None)
    assert [as_map(saved(truth)) for truth in (*told, *other)] == [None] * 6
    np.testing.assert_allclose(as_map(saved(LandmarkTruth(2 * three, three)))(three), 2 * three, atol=1e-9)


def test_quirks_of_published_protocols_are_named_and_change_nothing_else():
    """Corners sorted by where they land forgive a quarter turn of a square."""
    turned = similarity(90, shift_px=(40, 0))
    row = {"id": "a", "set": "s", "kind": "registration", "related": True, "truth": np.eye(3).tolist(), "error": None}
    row |= {"transform": turned.as_dict(), "fixed_size": [40, 40], "moving_size": [40, 40]}
    errors = {
        quirks: score(row, None, EvalRecipe(("x",), quirks=quirks))["corner_error_px"]
        for quirks in ((), ("minima-corner-order",))
    }
    assert errors[()] == pytest.approx(40) and errors[("minima-corner-order",)] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="path-seed"):
        EvalRecipe(("x",), quirks=("minima-path-seed",))
