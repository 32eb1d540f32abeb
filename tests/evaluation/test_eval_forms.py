"""The forms of a pair (published, crop, fill) and what they do to its truth; data sets as recipes name them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from xmatch.cli.runtime import run
from xmatch.datasets import DATASETS, LandmarkTruth, PoseTruth, TransformTruth
from xmatch.errors import ExitCode, InputError, UsageError
from xmatch.evaluation import DatasetSpec, EvalRecipe, methods, plan, predict, read_predictions, results_document
from xmatch.evaluation.cropping import largest_rectangle, write_cropped
from xmatch.evaluation.truths import as_landmarks, as_pose, as_transform, cut, saved
from xmatch.geometry import homography, similarity
from xmatch.io import open_source


def brute_force_area(mask):
    """The area of the largest rectangle of true pixels, every one tried."""
    height, width = mask.shape
    boxes = (
        (y0, y1, x0, x1)
        for y0 in range(height)
        for y1 in range(y0 + 1, height + 1)
        for x0 in range(width)
        for x1 in range(x0 + 1, width + 1)
    )
    return max(((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in boxes if mask[y0:y1, x0:x1].all()), default=0)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_rectangle_is_the_one_that_trying_all_finds(seed):
    mask = np.random.default_rng(seed).random((7, 9)) < 0.75
    x, y, width, height = largest_rectangle(mask)
    assert mask[y : y + height, x : x + width].all() and width * height == brute_force_area(mask)


def test_no_content_has_no_rectangle_and_full_content_is_all_of_it():
    assert largest_rectangle(np.zeros((4, 5), bool)) == (0, 0, 0, 0)
    assert largest_rectangle(np.ones((4, 5), bool)) == (0, 0, 5, 4)


def test_the_rectangle_of_a_large_mask_stays_inside_and_loses_little():
    mask = np.ones((1100, 1300), bool)
    mask[:101, :] = False
    x, y, width, height = largest_rectangle(mask)
    assert mask[y : y + height, x : x + width].all() and width * height > 0.98 * mask.sum()


TRUTH = homography(np.array([[0.9, 0.2, 3.0], [-0.1, 1.1, 5.0], [1e-3, 2e-4, 1.0]]))


def test_a_cut_truth_maps_what_is_left_to_where_it_was():
    xy = np.array([[10.0, 20.0], [30.0, 5.0]])
    left = as_transform(cut(saved(TransformTruth(TRUTH)), 4, 3))
    np.testing.assert_allclose(left(xy - (4, 3)), TRUTH(xy))
    points = as_landmarks(cut(saved(LandmarkTruth(xy, xy + 1, None, (1, 2, 30, 40))), 4, 3))
    np.testing.assert_allclose(points.moving_xy, xy + 1 - (4, 3))
    np.testing.assert_allclose(points.fixed_xy, xy)
    assert points.moving_box == (-3, -1, 26, 37) and points.fixed_box is None
    camera = np.array([[100.0, 0, 30], [0, 100, 20], [0, 0, 1]])
    pose = as_pose(cut(saved(PoseTruth(camera, camera, np.eye(3), np.ones(3))), 4, 3))
    np.testing.assert_allclose(pose.moving_intrinsics[:2, 2], (26, 17))
    np.testing.assert_allclose(pose.fixed_intrinsics, camera)


def write_turned_pair(folder, angle_deg=30.0):
    """A bright image, and the same turned inside its own canvas, which leaves black corners."""
    rng = np.random.default_rng(1)
    fixed = cv2.resize(rng.integers(60, 255, (12, 16), dtype=np.uint8), (80, 64), interpolation=cv2.INTER_LINEAR)
    middle = np.array([40.0, 32.0])
    turn = similarity(angle_deg)
    to_moving = similarity(angle_deg, shift_px=tuple(middle - turn(middle[None])[0]))
    matrix = to_moving.matrix.copy()
    matrix[:2, 2] += matrix[:2, :2] @ (0.5, 0.5) - (0.5, 0.5)
    cv2.imwrite(str(folder / "fixed.png"), fixed)
    cv2.imwrite(str(folder / "moving.png"), cv2.warpAffine(fixed, matrix[:2], (80, 64)))
    row = {"fixed": "fixed.png", "moving": "moving.png", "moving_to_fixed": to_moving.inverse.matrix.tolist()}
    (folder / "pairs.jsonl").write_text(json.dumps({**row, "pixel_origin": "corner"}) + "\n")
    return to_moving


def test_a_cropped_image_has_no_border_left_and_shows_the_same(tmp_path):
    write_turned_pair(tmp_path)
    path, (x, y, width, height) = write_cropped(tmp_path / "cropped.tif", str(tmp_path / "moving.png"))
    with open_source(path) as source:
        cropped = source.read()
    whole = cv2.imread(str(tmp_path / "moving.png"), cv2.IMREAD_GRAYSCALE)
    assert cropped.valid.all() and cropped.pixels.min() > 30 and width * height > 0.3 * whole.size
    np.testing.assert_array_equal(cropped.pixels[0], whole[y : y + height, x : x + width])


def test_an_image_that_is_all_border_cannot_be_cropped(tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((20, 20), np.uint8))
    with pytest.raises(InputError, match="border"):
        write_cropped(tmp_path / "x.tif", str(tmp_path / "black.png"))


@pytest.mark.parametrize(("fill", "sees_border"), [("none", True), ("noise", True), ("crop", False)])
def test_truth_scores_full_in_every_form_and_the_border_is_gone_when_cropped(tmp_path, fill, sees_border):
    write_turned_pair(tmp_path)
    recipe = EvalRecipe(("pairs.jsonl",), matchers=("truth", "border-fit"), controls=False, fill=fill)
    found = {}
    for method in methods(recipe):
        found[method] = tmp_path / f"{method.name}.jsonl"
        predict(plan(recipe, tmp_path), recipe, found[method], certificate={}, data_sha256="d", method=method)
    results = results_document(found, recipe)["matchers"]
    assert results["truth"]["mean"]["success"]["3"]["value"] == 100
    if fill != "noise":
        _, _, (row,) = read_predictions(tmp_path / "border-fit.jsonl")
        assert (row["transform"] is not None) == sees_border


@pytest.fixture
def eval_cli(tmp_path, monkeypatch, capsys):
    from xmatch.cli import app

    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = run(app, ["eval", *words])
        return code, capsys.readouterr().out

    return call


def test_the_command_line_chooses_the_form(eval_cli, tmp_path):
    write_turned_pair(tmp_path)
    (tmp_path / "r.yaml").write_text("manifest: [pairs.jsonl]\nmatchers: [identity]\ncontrols: false\n")
    for form, fill in (("published", "none"), ("crop", "crop"), ("fill", "noise")):
        assert eval_cli("r.yaml", "--form", form, "-q", "-o", f"{form}.json")[0] == ExitCode.OK
        assert json.loads((tmp_path / f"{form}.json").read_text())["recipe"]["fill"] == fill
    assert eval_cli("r.yaml", "--form", "round")[0] == ExitCode.USAGE


def test_data_sets_are_listed_for_people_and_for_programs(eval_cli):
    code, text = eval_cli("--list-datasets")
    assert code == ExitCode.OK and all(f"{name} (" in text for name in DATASETS)
    document = json.loads(eval_cli("--list-datasets", "--json")[1])
    assert [row["name"] for row in document["datasets"]] == list(DATASETS)
    assert all(row["layout"] and row["source"] for row in document["datasets"])
    assert eval_cli()[0] == ExitCode.USAGE


def write_hpatches(folder):
    """Two sequences, the first with another view, the second with other light."""
    rng = np.random.default_rng(0)
    for name, shift in (("v_shift", 5), ("i_light", 0)):
        (folder / name).mkdir(parents=True)
        for k in range(1, 7):
            cv2.imwrite(str(folder / name / f"{k}.ppm"), rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
            if k > 1:
                (folder / name / f"H_1_{k}").write_text(f"1 0 {shift}\n0 1 0\n0 0 1\n")


def test_a_recipe_names_a_data_set_whose_groups_are_the_sets(eval_cli, tmp_path):
    write_hpatches(tmp_path / "hp")
    (tmp_path / "r.yaml").write_text("dataset: {name: hpatches, folder: hp}\nmatchers: [identity]\n")
    assert eval_cli("r.yaml", "-q")[0] == ExitCode.OK
    sets = json.loads((tmp_path / "r.results.json").read_text())["matchers"]["identity"]["sets"]
    assert sets["viewpoint"]["median_error_px"] == pytest.approx(5) and sets["viewpoint"]["n"] == 5
    assert sets["illumination"]["auc"]["3"]["value"] == pytest.approx(100)


def test_homographies_keep_correspondences_and_are_judged_by_matching_accuracy(tmp_path):
    from xmatch.correspondences import Correspondences
    from xmatch.geometry import translation
    from xmatch.result import Registration, Verdict

    def two_px_off(fixed, moving, options):
        xy = np.array([[10.0, 10.0], [20.0, 15.0]])
        points = Correspondences(xy + (2, 0), xy, np.ones(2))
        return Registration({}, {}, translation(2, 0), points, np.ones(2, bool), np.zeros(2), Verdict(True, 0.9, "so"))

    write_hpatches(tmp_path)
    recipe = EvalRecipe(dataset=DatasetSpec("hpatches", "."), controls=False)
    (method,) = methods(recipe)
    path = tmp_path / "p.jsonl"
    predict(plan(recipe, tmp_path), recipe, path, certificate={}, data_sha256="d", register=two_px_off)
    found = results_document({method: path}, recipe)["matchers"]["auto"]["sets"]
    # 2 px off where nothing moved, 3 px off where it moved by 5.
    assert [found["illumination"]["mma"][t] for t in ("1", "2", "3")] == [0, 100, 100]
    assert [found["viewpoint"]["mma"][t] for t in ("1", "2", "3")] == [0, 0, 100]
    assert len(list(tmp_path.glob("p.matches/*.npz"))) == 10


def write_fire(folder):
    (folder / "Images").mkdir(parents=True)
    (folder / "Ground Truth").mkdir()
    for name in ("A01_1", "A01_2", "S02_1", "S02_2"):
        cv2.imwrite(str(folder / "Images" / f"{name}.jpg"), np.full((30, 40), 90, np.uint8))
    for name in ("A01", "S02"):
        (folder / "Ground Truth" / f"control_points_{name}_1_2.txt").write_text("10 10 13 14\n20 20 23 24\n")


def test_landmarks_are_judged_by_their_registration_error(tmp_path):
    write_fire(tmp_path)
    recipe = EvalRecipe(dataset=DatasetSpec("fire", "."), matchers=("identity",), controls=False)
    (method,) = methods(recipe)
    predict(plan(recipe, tmp_path), recipe, tmp_path / "p", certificate={}, data_sha256="d", method=method)
    document = results_document({method: tmp_path / "p"}, recipe)
    part = document["matchers"]["identity"]
    assert document["kind"] == "landmarks" and set(part["sets"]) == {"A", "S"}
    # 3 and 4 px off on a diagonal of 50 px: a tenth of it.
    assert part["mean"]["median_error_px"] == pytest.approx(5)
    assert part["mean"]["mean_median_rtre"] == pytest.approx(0.1) and part["mean"]["robustness"] == 0
    assert part["pairs"][0]["mean_tre_px"] == pytest.approx(5)


def test_a_folder_that_is_no_data_set_an_unknown_name_and_mixed_tasks_end_the_run(tmp_path):
    write_hpatches(tmp_path / "hp")
    write_fire(tmp_path / "fire")
    with pytest.raises(InputError, match="sequences"):
        plan(EvalRecipe(dataset=DatasetSpec("hpatches", "fire")), tmp_path)
    with pytest.raises(UsageError, match="hpatch"):
        plan(EvalRecipe(dataset=DatasetSpec("hpatch", "hp")), tmp_path)
    with pytest.raises(UsageError, match="landmarks and registration"):
        plan(EvalRecipe(dataset=(DatasetSpec("hpatches", "hp"), DatasetSpec("fire", "fire"))), tmp_path)
