"""Evaluation: manifests become tasks, tasks become saved predictions, predictions become numbers."""

import json
import os
import signal

import numpy as np
import pytest

from xmatch.correspondences import Correspondences
from xmatch.errors import InputError, OutputError, UsageError
from xmatch.evaluation import EvalRecipe, SetSpec, plan, predict, read_predictions, summarise
from xmatch.evaluation.border import black_border, write_filled
from xmatch.evaluation.plan import data_digest, manifests
from xmatch.geometry import compose, homography, similarity, translation
from xmatch.io import open_source
from xmatch.result import Registration, Verdict

WIDTH, HEIGHT = 24, 20
TRUTH = similarity(angle_deg=30, scale=1.2, shift_px=(4, -2))


def write_image(path, seed=0, border=False):
    """A gradient with noise, brighter to the right and below; optionally with black corners as a turn leaves them."""
    import rasterio

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = (60 + 4 * x + 3 * y + rng.integers(0, 20, x.shape)).astype(np.uint8)
    if border:
        pixels[x + y < 8] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="PNG", width=WIDTH, height=HEIGHT, count=1, dtype="uint8") as file:
        file.write(pixels, 1)
    return path


def write_set(folder, n=2, border=False, **changes):
    """A manifest of n pairs whose truth is TRUTH, counted from corners; `changes` go into the first row."""
    rows = []
    for i in range(n):
        write_image(folder / f"{i}_fixed.png", seed=2 * i)
        write_image(folder / f"{i}_moving.png", seed=2 * i + 1, border=border)
        rows.append({"fixed": f"{i}_fixed.png", "moving": f"{i}_moving.png", "pixel_origin": "corner"})
        rows[-1]["moving_to_fixed"] = TRUTH.matrix.tolist()
    rows[0] |= changes
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pairs.jsonl"


def registered(fixed, moving, options, shift=(3.0, 4.0), accepted=True, probability=0.9):
    """Stands for `register`: the truth and `shift` px more."""
    verdict = Verdict(accepted, probability, "as told", evidence={"overlap": np.float32(0.5)})
    transform = None if shift is None else compose(TRUTH, translation(*shift))
    points = Correspondences(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(3))
    inliers = np.array([True, True, False])
    return Registration({}, {}, transform, points, inliers, np.zeros(3), verdict, seconds={"total": 0.1})


def refuses(fixed, moving, options):
    raise InputError("no valid pixels", path=moving.header.path)


def breaks(fixed, moving, options):
    raise ZeroDivisionError("a bug")


def dies_on_image_1(fixed, moving, options):
    if "1_moving" in moving.header.path:
        os.kill(os.getpid(), signal.SIGKILL)
    return registered(fixed, moving, options)


def evaluate(recipe, folder, register=registered, path=None, **more):
    """plan, predict and summarise in one go."""
    path = path or folder / "predictions.jsonl"
    tasks = plan(recipe, folder)
    digest = data_digest(recipe, folder, tasks)
    predict(tasks, recipe, path, certificate={"code_sha256": "c"}, data_sha256=digest, register=register, **more)
    return summarise(path, recipe)


@pytest.fixture
def recipe(tmp_path):
    write_set(tmp_path / "A")
    write_set(tmp_path / "B", n=3)
    return EvalRecipe(manifest=("*/pairs.jsonl",))


def test_a_shift_of_five_px_is_an_error_of_five_px(recipe, tmp_path):
    results = evaluate(recipe, tmp_path)
    assert [pair["corner_error_px"] for pair in results["pairs"]] == pytest.approx([5] * 5)
    assert [pair["grid_error_px"] for pair in results["pairs"]] == pytest.approx([5] * 5)
    for row in (*results["sets"].values(), results["mean"]):
        assert row["auc"]["3"]["value"] == 0
        assert row["success"]["10"]["value"] == 100 and row["median_error_px"] == pytest.approx(5)
    # Two errors of 5 px: recall climbs to 1/2 at 5 px, then jumps to 1.
    assert results["sets"]["A"]["auc"]["10"]["value"] == pytest.approx(10 * (5 / 4 + 5))
    assert results["sets"]["A"]["n"] == 2 and results["sets"]["B"]["n"] == 3 and results["mean"]["n"] == 5
    assert results["ok"] and results["n"] == {"related": 5, "unrelated": 0, "failed": 0}


def test_centre_counted_truths_become_corner_counted(tmp_path):
    """The same map between pixel centres at whole numbers has another shift once it turns or scales."""
    to_centre = translation(-0.5, -0.5).matrix
    centred = to_centre @ TRUTH.matrix @ np.linalg.inv(to_centre)
    write_set(tmp_path, n=1, moving_to_fixed=centred.tolist(), pixel_origin="center")
    (task,) = plan(EvalRecipe(manifest=("pairs.jsonl",)), tmp_path)
    assert np.array(task.truth) == pytest.approx(TRUTH.matrix)


def test_the_mean_weighs_sets_equally(recipe, tmp_path):
    def only_in_b(fixed, moving, options):
        return registered(fixed, moving, options, shift=(0, 0) if "/B/" in fixed.header.path else None)

    results = evaluate(recipe, tmp_path, only_in_b)
    assert results["sets"]["A"]["auc"]["3"]["value"] == 0
    assert results["sets"]["B"]["auc"]["3"]["value"] == pytest.approx(100)
    assert results["mean"]["auc"]["3"]["value"] == pytest.approx(50)
    assert results["mean"]["success"]["3"]["value"] == pytest.approx(50)


def test_a_failed_pair_is_infinitely_wrong_and_has_its_reason(recipe, tmp_path):
    results = evaluate(recipe, tmp_path, refuses)
    assert not results["ok"] and results["n"]["failed"] == 5
    assert results["mean"]["auc"]["20"]["value"] == 0 and results["mean"]["median_error_px"] is None
    assert {failure["code"] for failure in results["failures"]} == {"input"}
    assert results["failures"][0]["message"] == "0_moving.png: no valid pixels"
    json.dumps(results, allow_nan=False)


def test_a_fault_of_our_own_keeps_its_trace_and_the_rest_goes_on(recipe, tmp_path):
    results = evaluate(recipe, tmp_path, breaks)
    assert {f["code"] for f in results["failures"]} == {"internal"} and len(results["failures"]) == 5
    assert "ZeroDivisionError" in results["failures"][0]["message"]
    _, _, rows = read_predictions(tmp_path / "predictions.jsonl")
    assert "in breaks" in rows[0]["error"]["trace"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"moving_to_fixed": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "invertible"),
        ({"moving_to_fixed": [[1, 0], [0, 1]]}, "3x3"),
        ({"moving_to_fixed": None}, "3x3"),
        ({"pixel_origin": "upper-left"}, "upper-left"),
        ({"fixed": 7}, "int"),
        ({"moving": "gone.png"}, "gone.png"),
    ],
)
def test_a_bad_row_of_a_manifest_is_a_failure_with_its_reason(tmp_path, change, reason):
    write_set(tmp_path, **change)
    results = evaluate(EvalRecipe(manifest=("pairs.jsonl",)), tmp_path)
    (failure,) = results["failures"]
    said = json.dumps(read_predictions(tmp_path / "predictions.jsonl")[2][0]["error"])
    assert failure["id"].endswith("/0000") and reason in said
    assert results["sets"][tmp_path.name]["success"]["10"]["value"] == 50


def test_a_line_that_is_no_json_or_lacks_a_key_is_a_failure(tmp_path):
    manifest = write_set(tmp_path)
    manifest.write_text("{nonsense\n\n{}\n" + manifest.read_text())
    results = evaluate(EvalRecipe(manifest=("pairs.jsonl",)), tmp_path)
    assert [f["code"] for f in results["failures"]] == ["manifest"] * 2
    assert "JSON" in results["failures"][0]["message"] and "'fixed'" in results["failures"][1]["message"]
    assert results["n"]["related"] == 4


def test_no_manifest_an_empty_one_and_equal_names_end_the_run(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    write_set(tmp_path / "A")
    with pytest.raises(InputError, match="nowhere"):
        plan(EvalRecipe(manifest=("nowhere/*.jsonl",)), tmp_path)
    with pytest.raises(InputError, match="empty"):
        plan(EvalRecipe(manifest=("empty.jsonl",)), tmp_path)
    twice = (SetSpec("A/pairs.jsonl", "x"), SetSpec("A/pairs.jsonl", "x"))
    with pytest.raises(UsageError, match="x"):
        plan(EvalRecipe(manifest=twice), tmp_path)


def test_sets_are_called_by_what_tells_their_paths_apart(tmp_path):
    for name in ("SAR/val", "map/val", "map/train"):
        write_set(tmp_path / "data" / name)

    def names(*patterns):
        return [name for name, *_ in manifests(EvalRecipe(manifest=patterns), tmp_path)]

    assert names("data/*/val/pairs.jsonl") == ["SAR", "map"]
    assert names("data/**/pairs.jsonl") == ["SAR/val", "map/train", "map/val"]
    assert names("data/map/val/pairs.jsonl") == ["val"]
    assert names(SetSpec("data/map/val/pairs.jsonl", "maps")) == ["maps"]


def test_unrelated_pairs_are_as_many_mixed_within_and_across_sets(recipe, tmp_path):
    tasks = plan(EvalRecipe(recipe.manifest, unrelated=True), tmp_path)
    strange = [task for task in tasks if not task.related]
    assert len(strange) == len(tasks) - len(strange) == 5
    assert all(task.truth is None for task in strange)
    assert all(task.fixed.replace("fixed", "moving") != task.moving for task in strange)
    crossing = [task for task in strange if os.path.dirname(task.fixed) != os.path.dirname(task.moving)]
    assert 0 < len(crossing) < 5
    assert len({task.id for task in tasks}) == 10


def test_a_set_that_repeats_its_places_meets_strangers_of_other_sets_only(recipe, tmp_path):
    sets = (SetSpec("A/pairs.jsonl", "A"), SetSpec("B/pairs.jsonl", "B", repeats=True))
    strange = [task for task in plan(EvalRecipe(sets, unrelated=True), tmp_path) if not task.related]
    assert len(strange) == 5
    assert all(os.path.dirname(t.moving) == str(tmp_path / "A") for t in strange if t.set == "B")
    assert not any(not task.related for task in plan(EvalRecipe(sets[1:], unrelated=True), tmp_path))


def test_a_limit_takes_the_first_pairs_of_each_set(recipe, tmp_path):
    assert [t.id for t in plan(EvalRecipe(recipe.manifest, limit=1), tmp_path)] == ["A/0000", "B/0000"]


def test_verdicts_are_judged_on_right_wrong_and_unrelated_pairs(tmp_path):
    """Of four pairs two are right (one of them accepted), one wrong, one middling; unrelated ones are accepted once."""
    write_set(tmp_path, n=4)
    shift = {"0": 1.0, "1": 2.0, "2": 30.0, "3": 7.0}
    accept = {("0", "0"): 0.9, ("1", "1"): 0.3, ("2", "2"): 0.2, ("3", "3"): 0.8, ("0", "2"): 0.95}

    def judged(fixed, moving, options):
        pair = tuple(os.path.basename(s.header.path)[0] for s in (fixed, moving))
        probability = accept.get(pair, 0.1)
        return registered(fixed, moving, options, (shift[pair[0]], 0), probability > 0.5, probability)

    verdict = evaluate(EvalRecipe(("pairs.jsonl",), unrelated=True), tmp_path, judged)["verdict"]
    assert (verdict["right_accepted"]["count"], verdict["right_accepted"]["n"]) == (1, 2)
    assert (verdict["wrong_accepted"]["count"], verdict["wrong_accepted"]["n"]) == (1, 5)
    assert (verdict["wrong_related_accepted"]["count"], verdict["wrong_related_accepted"]["n"]) == (0, 1)
    assert (verdict["unrelated_accepted"]["count"], verdict["unrelated_accepted"]["n"]) == (1, 4)
    assert verdict["accepted_wrong"]["value"] == pytest.approx(50)
    # Right scores 0.9, 0.3 against 0.95, 0.2, 0.1, 0.1, 0.1: each beats four of five.
    assert verdict["roc"]["area"] == pytest.approx(0.8)
    assert sum(verdict["reliability"]["count"]) == 8


def test_the_results_file_is_certified_and_names_no_folder(recipe, tmp_path):
    results = evaluate(recipe, tmp_path)
    assert results["certificate"]["runs"] == [{"code_sha256": "c"}]
    assert len(results["certificate"]["data_sha256"]) == len(results["certificate"]["recipe_sha256"]) == 64
    low, high = results["mean"]["auc"]["10"]["interval"]
    assert low <= results["mean"]["auc"]["10"]["value"] <= high
    assert str(tmp_path) not in json.dumps(results) + (tmp_path / "predictions.jsonl").read_text()


def test_saved_rows_carry_what_verdicts_are_fitted_on(recipe, tmp_path):
    evaluate(recipe, tmp_path)
    _, _, rows = read_predictions(tmp_path / "predictions.jsonl")
    assert rows[0]["verdict"]["evidence"] == {"overlap": 0.5}
    assert rows[0]["correspondences"] == {"count": 3, "inliers": 2}
    assert rows[0]["fixed_size"] == [WIDTH, HEIGHT] and rows[0]["seconds"] >= 0 and rows[0]["peak_memory_mib"] > 1


def test_a_run_goes_on_where_it_was_cut(recipe, tmp_path):
    path = tmp_path / "predictions.jsonl"
    whole = evaluate(recipe, tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]) + lines[4][: len(lines[4]) // 2])
    asked = []

    def counted(fixed, moving, options):
        asked.append(fixed.header.path)
        return registered(fixed, moving, options)

    again = evaluate(recipe, tmp_path, counted)
    assert len(asked) == 3 and len(again["certificate"]["runs"]) == 2
    assert again["mean"]["auc"] == whole["mean"]["auc"] and again["n"] == whole["n"]


def test_predictions_of_another_recipe_or_of_other_data_are_not_mixed(recipe, tmp_path):
    evaluate(recipe, tmp_path)
    path = tmp_path / "predictions.jsonl"
    before = path.read_bytes()
    with pytest.raises(OutputError, match="another recipe"):
        evaluate(EvalRecipe(recipe.manifest, unrelated=True), tmp_path)
    write_image(tmp_path / "A" / "0_fixed.png", seed=99)
    with pytest.raises(OutputError, match="other data"):
        evaluate(recipe, tmp_path)
    assert path.read_bytes() == before


def test_a_foreign_file_is_not_taken_for_predictions(recipe, tmp_path):
    (tmp_path / "predictions.jsonl").write_text("my notes\n")
    with pytest.raises(OutputError, match="predictions"):
        evaluate(recipe, tmp_path)
    assert (tmp_path / "predictions.jsonl").read_text() == "my notes\n"


def test_how_predictions_are_judged_may_change_afterwards(recipe, tmp_path):
    evaluate(recipe, tmp_path)
    lenient = EvalRecipe(recipe.manifest, thresholds_px=(50,), right_px=6)
    results = evaluate(lenient, tmp_path, breaks)
    assert results["ok"] and results["verdict"]["right_accepted"]["n"] == 5
    assert list(results["mean"]["auc"]) == ["50"] and results["mean"]["auc"]["50"]["value"] > 90


def test_code_that_changed_between_two_runs_is_shown(recipe, tmp_path):
    tasks = plan(recipe, tmp_path)
    path = tmp_path / "p.jsonl"
    for code, part in (("old", tasks[:2]), ("new", tasks)):
        predict(part, recipe, path, certificate={"code_sha256": code}, data_sha256="d", register=registered)
    assert summarise(path, recipe)["certificate"]["mixed_code"]


def test_two_workers_say_what_one_says_and_a_killed_one_costs_its_pair_only(tmp_path):
    write_set(tmp_path, n=3)
    recipe = EvalRecipe(("pairs.jsonl",))
    alone = evaluate(recipe, tmp_path, path=tmp_path / "alone.jsonl")
    results = evaluate(recipe, tmp_path, dies_on_image_1, jobs=2)
    (failure,) = results["failures"]
    assert failure["id"].endswith("0001") and failure["code"] == "resources"
    kept = [0, 2]
    assert [results["pairs"][i]["corner_error_px"] for i in kept] == pytest.approx(
        [alone["pairs"][i]["corner_error_px"] for i in kept]
    )


def test_black_corners_are_found_and_black_things_inside_are_not():
    pixels = np.full((1, 30, 40), 120, np.uint8)
    corner = np.add.outer(np.arange(30), np.arange(40)) < 12
    pixels[:, corner] = 5
    pixels[:, 18:24, 20:26] = 0
    border = black_border(pixels, grow_px=0)
    assert (border == corner).all()
    grown = black_border(pixels, grow_px=2)
    assert (grown & corner).sum() == corner.sum() and not grown[18:24, 20:26].any() and grown.sum() > corner.sum()
    assert not black_border(np.full((3, 8, 8), 50, np.uint8)).any()


@pytest.mark.parametrize("fill", ["mask", "noise", "other"])
def test_a_filled_border_is_nodata_and_the_content_stays(tmp_path, fill):
    moving = write_image(tmp_path / "moving.png", seed=1, border=True)
    filler = write_image(tmp_path / "filler.png", seed=2)
    path = write_filled(tmp_path / "filled.tif", str(moving), fill, str(filler), seed=0)
    with open_source(moving) as source:
        before = source.read()
    with open_source(path) as source:
        after = source.read()
    border = black_border(before.pixels)
    assert (after.valid == ~border).all() and 0 < border.sum() < border.size
    assert (after.pixels[:, ~border] == before.pixels[:, ~border]).all()
    if fill != "mask":
        assert after.pixels[0, :2, :2].min() > 40


def test_a_filled_recipe_shows_the_matcher_no_border(tmp_path):
    write_set(tmp_path, border=True)
    shares = []

    def looks(fixed, moving, options):
        shares.append(moving.read().valid.mean())
        return registered(fixed, moving, options)

    for fill in ("none", "noise", "other"):
        evaluate(EvalRecipe(("pairs.jsonl",), fill=fill), tmp_path, looks, path=tmp_path / fill)
    assert shares[:2] == [1, 1] and all(share < 0.95 for share in shares[2:])


def test_a_projective_truth_is_kept_whole(tmp_path):
    matrix = np.array([[1, 0.1, 3], [0, 1.1, 4], [1e-3, 0, 1]])
    write_set(tmp_path, n=1, moving_to_fixed=(2 * matrix).tolist())
    (task,) = plan(EvalRecipe(("pairs.jsonl",)), tmp_path)
    assert np.array(task.truth) == pytest.approx(homography(matrix).matrix)


def test_recipes_without_sense_are_refused():
    for wrong in ({"manifest": ()}, {"thresholds_px": (0,)}, {"right_px": 11}, {"limit": 0}):
        with pytest.raises(ValueError):
            EvalRecipe(**{"manifest": ("x",), **wrong})
