"""Warped moving images: pixels lie where the truth says, whatever the warp, and are judged where they are."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from xmatch.coords import corners, pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError, UsageError
from xmatch.evaluation import EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.changes import FACTORS
from xmatch.evaluation.moving_warps import perspective, smooth_bend, warped
from xmatch.evaluation.plan import Task
from xmatch.evaluation.prepare import prepare
from xmatch.evaluation.recipe import DatasetSpec, SweepSpec, WarpSpec
from xmatch.evaluation.scores import score
from xmatch.evaluation.sweeps import changed
from xmatch.evaluation.tables import tables
from xmatch.evaluation.truths import as_transform
from xmatch.geometry import affine, similarity, translation
from xmatch.io import open_source
from xmatch.result import ErrorMap, Registration, Verdict

WIDTH, HEIGHT = 160, 120
WARPS = {
    "corners": WarpSpec(corners=0.3),
    "bend": WarpSpec(bend_px=8),
    "pose": WarpSpec(pose=1),
    "all": WarpSpec(pose=0.2, corners=0.2, bend_px=6),
}


def spots(places):
    """A dark image with a round bright spot at each place, px."""
    offset = pixel_centres(WIDTH, HEIGHT)[:, :, None] - np.array(places)
    return (200 * np.exp(-(offset**2).sum(-1) / (2 * 2.0**2)).sum(-1))[None].astype(np.float32)


def centre_of(image, near_xy, reach=12):
    """Where the weight of a bright spot lies, px, looked for around a place."""
    at = pixel_centres(image.shape[1], image.shape[0])
    weight = np.where(np.linalg.norm(at - near_xy, axis=-1) < reach, image, 0)
    return (weight[..., None] * at).sum((0, 1)) / weight.sum()


@pytest.mark.parametrize("name", ["corners", "bend"])
@pytest.mark.parametrize("seed", range(3))
def test_a_spot_lands_where_the_truth_says(name, seed):
    for place in ((30.3, 40.6), (80.0, 60.0), (131.7, 88.2)):
        found = warped(spots([place]), np.ones((HEIGHT, WIDTH), bool), WARPS[name], np.random.default_rng(seed))
        bright = np.where(found.valid, found.pixels[0], 0)
        expected = found.to_source.inverse(np.array([place]))[0]
        # The weight of a spot shifts as its map curves: a spot drawn by the truth alone shifts alike.
        drawn = found.to_source(pixel_centres(bright.shape[1], bright.shape[0]).reshape(-1, 2)) - place
        drawn = (200 * np.exp(-(drawn**2).sum(-1) / (2 * 2.0**2))).reshape(bright.shape)
        assert np.abs(centre_of(bright, expected) - centre_of(drawn, expected)).max() < 0.05
        assert np.abs(centre_of(bright, expected) - expected).max() < 0.5


@pytest.mark.parametrize("name", WARPS)
def test_the_inverse_of_a_warp_undoes_it_to_a_hundredth_of_a_px(name):
    found = warped(spots([(80, 60)]), np.ones((HEIGHT, WIDTH), bool), WARPS[name], np.random.default_rng(7))
    inside = pixel_centres(WIDTH, HEIGHT, step=5).reshape(-1, 2)
    assert np.abs(found.to_source(found.to_source.inverse(inside)) - inside).max() < 0.01
    np.testing.assert_allclose(found.to_source(found.corners_xy), corners(WIDTH, HEIGHT), atol=0.01)


@pytest.mark.parametrize("name", WARPS)
def test_the_canvas_holds_all_of_the_image_and_calls_valid_what_shows_it(name):
    holed = np.ones((HEIGHT, WIDTH), bool)
    holed[40:80, 50:100] = False
    found = warped(spots([(80, 60)]), holed, WARPS[name], np.random.default_rng(1))
    rows, columns = found.valid.shape
    outline = found.to_source.inverse(np.vstack([corners(WIDTH, HEIGHT), [[80, 0], [160, 60], [80, 120], [0, 60]]]))
    assert (outline > -0.1).all() and (outline < np.array([columns, rows]) + 0.1).all()
    there = found.to_source(pixel_centres(columns, rows).reshape(-1, 2))
    x, y = np.floor(there).T
    within = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    in_hole = (x >= 50) & (x < 100) & (y >= 40) & (y < 80)
    np.testing.assert_array_equal(found.valid.ravel(), within & ~in_hole)


def test_no_warp_leaves_the_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (3, HEIGHT, WIDTH), dtype=np.uint8)
    found = warped(image, np.ones((HEIGHT, WIDTH), bool), WarpSpec(), np.random.default_rng(0))
    np.testing.assert_array_equal(found.pixels, image)
    assert found.valid.all() and np.array_equal(found.to_source.matrix, np.eye(3))


def test_corners_move_by_up_to_the_share_of_the_shorter_side_and_by_the_seed():
    ends = corners(WIDTH, HEIGHT)
    moved = np.array([perspective(WIDTH, HEIGHT, 0.2, np.random.default_rng(s))(ends) for s in range(99)])
    reach = np.linalg.norm(moved - ends, axis=2)
    assert 0.9 * 24 < reach.max() <= 24.001 and len(np.unique(reach.round(6))) == reach.size
    weak, strong = (perspective(WIDTH, HEIGHT, share, np.random.default_rng(3)) for share in (0.1, 0.2))
    np.testing.assert_allclose(strong(ends) - ends, 2 * (weak(ends) - ends), atol=1e-3)


def test_a_bend_is_as_long_as_told_and_nothing_of_it_is_affine():
    at = pixel_centres(WIDTH, HEIGHT, step=2).reshape(-1, 2)
    for seed in range(5):
        off = smooth_bend(WIDTH, HEIGHT, 8, np.random.default_rng(seed))(at) - at
        assert 7 < np.linalg.norm(off, axis=1).max() <= 8.1
        design = np.column_stack([at, np.ones(len(at))])
        assert np.abs(design @ np.linalg.lstsq(design, off, rcond=None)[0]).max() < 0.5


def test_a_bend_that_would_fold_is_refused():
    with pytest.raises(InputError, match="fold an image of 40 x 30 px"):
        smooth_bend(40, 30, 30, np.random.default_rng(0))


def test_grey_values_change_as_told_and_the_place_stays():
    image = np.random.default_rng(0).integers(60, 190, (1, HEIGHT, WIDTH)).astype(np.uint8)
    image = cv2.GaussianBlur(image[0], (0, 0), 3)[None]
    all_valid = np.ones((HEIGHT, WIDTH), bool)

    def seen(**changes):
        found = warped(image, all_valid, WarpSpec(corners=0.1, **changes), np.random.default_rng(2))
        return found.to_source.matrix, found.pixels[0][found.valid].astype(float), found.pixels[0].astype(float)

    matrix, plain, picture = seen()
    for changes in ({"gain": 1.0}, {"blur": 2.0}, {"noise": 0.5}):
        np.testing.assert_array_equal(seen(**changes)[0], matrix)
    brighter = seen(gain=1.0)[1]
    assert np.corrcoef(plain, brighter)[0, 1] > 0.98 and abs(brighter.std() / plain.std() - 1) > 0.05
    rough = [np.abs(np.diff(each[40:80, 50:110])).mean() for each in (picture, seen(blur=2.0)[2], seen(noise=0.5)[2])]
    assert rough[1] < rough[0] < rough[2]


def write_pairs(folder, n=2, turn_deg=20):
    """A list whose truth is no identity. Nothing here looks at the images, which are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = similarity(turn_deg, 1.0, (20, -15))
    rows = []
    for i in range(n):
        small = np.random.default_rng(i).integers(0, 255, (12, 16), dtype=np.uint8)
        image = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for name in ("fixed", "moving"):
            cv2.imwrite(str(folder / f"{i}_{name}.png"), image)
        matrix = {"moving_to_fixed": truth.matrix.tolist(), "pixel_origin": "corner"}
        rows.append({"fixed": f"{i}_fixed.png", "moving": f"{i}_moving.png", **matrix})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return truth


def document_of(recipe, folder, register=None):
    found, tasks = {}, plan(recipe, folder)
    for method in methods(recipe):
        found[method] = folder / f"{method.file_name}.jsonl"
        predict(tasks, recipe, found[method], certificate={}, data_sha256="d", method=method, register=register)
    return results_document(found, recipe)


def test_the_truth_of_the_file_goes_on_after_the_warp(tmp_path):
    before = write_pairs(tmp_path)
    for name, warp in WARPS.items():
        recipe = EvalRecipe(("pairs.jsonl",), warp=warp)
        task = plan(recipe, tmp_path)[0]
        pair = prepare(task, recipe, tmp_path)
        with open_source(pair.moving) as source:
            valid = source.read().valid
        assert 0.2 < valid.mean() < 1, name
        np.testing.assert_allclose(
            as_transform(json.loads(json.dumps(pair.truth)))(np.array(pair.moving_corners)),
            before(corners(WIDTH, HEIGHT)),
            atol=0.02,
        )


def test_a_part_of_an_image_lies_where_it_lay(tmp_path):
    write_pairs(tmp_path, turn_deg=0)
    all_valid = np.ones((HEIGHT, WIDTH), bool)
    places = []
    for seed in range(6):
        made = warped(np.zeros((1, HEIGHT, WIDTH)), all_valid, WarpSpec(keep=0.6), np.random.default_rng(seed))
        size = (round(0.6 * HEIGHT), round(0.6 * WIDTH))
        assert made.valid.shape == size and made.valid.all()
        np.testing.assert_allclose(made.corners_xy, corners(*size[::-1]))
        places.append(made.to_source(made.corners_xy[:1])[0])
    assert np.ptp(places, axis=0).min() > 5 and np.min(places) >= 0
    recipe = EvalRecipe(("pairs.jsonl",), warp=WarpSpec(keep=0.6))
    pair = prepare(plan(recipe, tmp_path)[0], recipe, tmp_path)
    with open_source(pair.moving) as source:
        part = source.read().pixels[0]
    whole = cv2.imread(str(tmp_path / "0_moving.png"), cv2.IMREAD_GRAYSCALE)
    # `write_pairs` lays moving 20 px to the right of fixed and 15 up.
    left, top = (as_transform(pair.truth)(np.zeros((1, 2)))[0] - (20, -15)).round().astype(int)
    np.testing.assert_array_equal(part, whole[top : top + part.shape[0], left : left + part.shape[1]])


def test_the_truth_scores_everything_and_standing_still_next_to_nothing(tmp_path):
    write_pairs(tmp_path)
    for warp, kind in ((WarpSpec(corners=0.3), "registration"), (WarpSpec(corners=0.1, bend_px=8), "bend")):
        recipe = EvalRecipe(("pairs.jsonl",), matchers=("truth", "identity"), controls=False, warp=warp)
        folder = tmp_path / kind
        write_pairs(folder)
        document = document_of(recipe, folder)
        truth, identity = (document["matchers"][name]["mean"] for name in ("truth", "identity"))
        assert document["kind"] == kind and document["ok"]
        assert truth["success"]["3"]["value"] == 100 and truth["overlap_p90_px"] < 1e-6
        assert truth["overlap_below_percent"]["1"] == 100 and identity["overlap_below_percent"]["3"] < 5


def warped_row(transform):
    """An image of 320 px of which the left 50 px alone are valid."""
    return {
        **{"id": "x", "set": "s", "related": True, "kind": "bend", "error": None},
        **{"truth": np.eye(3).tolist(), "transform": transform.as_dict()},
        **{"fixed_size": [100, 100], "moving_size": [320, 320]},
        **{"moving_corners": [[0, 0], [10, 0], [10, 10], [0, 10]], "moving_seen": ["1" * 5 + "0" * 27] * 32},
    }


def test_errors_are_counted_where_moving_shows_something():
    stretched = affine([[1.1, 0, 0], [0, 1, 0]])
    found = score(warped_row(stretched), None, EvalRecipe(("x",)))
    # Nodes lie at 0.5, 10.5, ..., 40.5 px of the valid part, each off by a tenth of that.
    assert found["overlap_median_px"] == pytest.approx(2.05) and found["grid_error_px"] == pytest.approx(2.05)
    assert found["overlap_below_percent"]["3"] == pytest.approx(60)
    assert found["corner_error_px"] == pytest.approx((0 + 1 + 1 + 0) / 4)
    shifted = score(warped_row(translation(3, 0)), None, EvalRecipe(("x",)))
    assert shifted["overlap_p90_px"] == pytest.approx(3)


def shifted_by_24_px(ce90_px):
    """A registration 4 px beside the truth of `write_pairs(turn_deg=0)`, and how far off it says it is: as a whole, and
    in two cells, of which the right one claims half."""

    def register(fixed, moving, options):
        verdict, nothing = Verdict(True, 0.9, "so", ce90_px=ce90_px), np.zeros(0)
        to_fixed, cells = translation(24, -15), np.array([[ce90_px, ce90_px / 2]])
        width, height = fixed.header.width, fixed.header.height
        errors = ErrorMap((0.0, 0.0), (width / 2, height), cells, cells < 0, np.array([[0.5, 0.5]]))
        empty = Correspondences.empty()
        return Registration({}, {}, to_fixed, empty, nothing.astype(bool), nothing, verdict, error_map=errors)

    return register


@pytest.mark.parametrize(
    ("says_px", "holds", "within"), [(9.0, 100, (100, 100)), (5.0, 100, (20, 80)), (3.0, 0, (0, 0))]
)
def test_the_expected_error_holds_where_nine_tenths_of_the_overlap_lie_within_it(says_px, holds, within, tmp_path):
    write_pairs(tmp_path, turn_deg=0)
    recipe = EvalRecipe(("pairs.jsonl",), matchers=("structural",), controls=False)
    mean = document_of(recipe, tmp_path, shifted_by_24_px(says_px))["matchers"]["structural"]["mean"]
    verdicts = mean["verdicts"]
    assert verdicts["ce90_holds"]["value"] == holds and within[0] <= mean["error_map_percent"] <= within[1]
    assert verdicts["right_accepted"]["value"] == 100 and "wrong_accepted" not in verdicts


def test_an_image_against_itself_has_fixed_as_moving_and_a_truth_of_its_own(tmp_path):
    write_pairs(tmp_path)
    recipe = EvalRecipe(("pairs.jsonl",), warp=WarpSpec(corners=0.2), itself=True, unrelated=True)
    tasks = plan(recipe, tmp_path)
    related = [task for task in tasks if task.related]
    assert all(task.moving == task.fixed for task in related) and len(tasks) > len(related)
    pair = prepare(related[0], recipe, tmp_path)
    ends = as_transform(pair.truth)(np.array(pair.moving_corners))
    np.testing.assert_allclose(ends, corners(WIDTH, HEIGHT), atol=1e-6)


def test_a_sweep_of_corners_keeps_sets_apart_and_its_values_share_a_seed(tmp_path):
    for name in "ab":
        write_pairs(tmp_path / name)
    sweep = (SweepSpec("corners", (0.0, 0.2)),)
    recipe = EvalRecipe(("*/pairs.jsonl",), matchers=("truth", "identity"), controls=False, sweep=sweep)
    tasks = plan(recipe, tmp_path)
    assert {task.set for task in tasks} == {f"corners={value}/{name}" for value in ("0", "0.2") for name in "ab"}
    assert len({task.change.seed for task in tasks}) == 4
    document = document_of(recipe, tmp_path)
    assert list(document["sweeps"]) == ["corners", "corners, a", "corners, b"]
    assert document["sweeps"]["corners"]["matchers"]["truth"] == [100, 100]
    assert document["sweeps"]["corners"]["n"] == 4 and document["sweeps"]["corners, a"]["n"] == 2
    assert tables(document)[0].heads == ("matcher", "0", "0.2")


def write_aligned(folder, *names):
    for number, name in enumerate(names):
        image = np.random.default_rng(number).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        for half in "ab":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{name}_{half}.png"), image)


def test_aligned_pairs_are_posed_by_chance_and_strangers_alike(tmp_path):
    write_aligned(tmp_path, "ct-mri/one", "ct-mri/two", "ct-mri/out", "sar/one")
    spec = DatasetSpec("aligned", ".", repeats=False, without=("*/out",))
    recipe = EvalRecipe(dataset=spec, matchers=("truth",), warp=WarpSpec(pose=1), unrelated=True)
    tasks = {task.id: task for task in plan(recipe, tmp_path)}
    assert {task.set for task in tasks.values()} == {"ct-mri", "sar"} and "aligned/ct-mri/out" not in tasks
    related, stranger = tasks["aligned/ct-mri/two"], tasks["aligned/ct-mri/one x aligned/ct-mri/two"]
    made = [tmp_path / "made" / name for name in ("related", "stranger")]
    for folder in made:
        folder.mkdir(parents=True)
    seen, strange = (prepare(task, recipe, folder) for task, folder in zip((related, stranger), made, strict=True))
    matrix = np.array(seen.truth)
    assert 0.5 <= np.sqrt(np.linalg.det(matrix[:2, :2])) <= 2 and strange.truth is None
    assert strange.fixed == stranger.fixed, "only moving is moved"
    np.testing.assert_array_equal(*(cv2.imread(p.moving, cv2.IMREAD_UNCHANGED) for p in (seen, strange)))
    drawn = next(
        t for t in plan(EvalRecipe(dataset=spec, warp=WarpSpec(pose=1), seed=1), tmp_path) if t.id == related.id
    )
    assert prepare(drawn, recipe, made[0]).truth != seen.truth, "the seed is in the plan"


def test_warps_that_make_no_sense_are_refused():
    for wrong in ({"pose": 2}, {"corners": 0.5}, {"bend_px": -1}, {"gain": -1}):
        with pytest.raises(ValueError, match="between"):
            WarpSpec(**wrong)
    warp = WarpSpec(corners=0.1)
    for wrong in ({"warp": warp, "sweep": ("noise",)}, {"warp": warp, "fill": "crop"}, {"itself": True}):
        with pytest.raises(ValueError):
            EvalRecipe(("x",), **wrong)
    with pytest.raises(UsageError, match="leave out `warp`"):
        changed([Task("x", "s", "a", "b", truth={}, kind="landmarks")], EvalRecipe(("x",), warp=warp))
    assert {name for name, factor in FACTORS.items() if factor.change is None} == {"pose", "corners", "bend_px"}
