"""Robustness sweeps: each change does what it says, and its truth goes with it."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from xmatch.coords import to_centre_matrix
from xmatch.errors import InputError, UsageError
from xmatch.evaluation import EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.changes import FACTORS, AlignedImages
from xmatch.evaluation.curves import charts
from xmatch.evaluation.plan import Task
from xmatch.evaluation.recipe import SweepSpec
from xmatch.evaluation.sweeps import aligned
from xmatch.evaluation.sweeps import changed as changed_tasks
from xmatch.evaluation.tables import tables

HEIGHT, WIDTH = 60, 80


def smooth(seed=0, bands=1):
    rng = np.random.default_rng(seed)
    small = rng.integers(20, 235, (HEIGHT // 10, WIDTH // 10, bands)).astype(np.float32)
    large = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).reshape(HEIGHT, WIDTH, bands)
    return np.clip(np.moveaxis(large, -1, 0), 0, 255).astype(np.uint8)


PAIR = AlignedImages(smooth(), smooth())


def changed(factor, value, seed=3, pair=PAIR):
    return FACTORS[factor].change(pair, value, np.random.default_rng(seed))


def laid_back(found):
    """Moving laid onto fixed by the truth, and where it covers fixed, a px from its edges away."""
    height, width = found.fixed.shape[1:]
    matrix = to_centre_matrix(found.truth.matrix)
    back = cv2.warpPerspective(found.moving[0].astype(np.float32), matrix, (width, height))
    inside = cv2.erode(found.moving_valid.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0)
    return back, cv2.warpPerspective(inside, matrix, (width, height), flags=cv2.INTER_NEAREST) > 0


@pytest.mark.parametrize(
    ("factor", "value"),
    [("rotation", 0), ("rotation", 37), ("rotation", 180), ("scale", 2), ("scale", 0.7), ("overlap", 60), ("blur", 0)],
)
def test_moving_laid_back_by_the_truth_is_fixed_again(factor, value):
    found = changed(factor, value)
    back, inside = laid_back(found)
    assert inside.mean() > (0.8 if factor != "overlap" else 0.4)
    assert np.abs(back - found.fixed[0])[inside].mean() < 4


@pytest.mark.parametrize("value", [0, 30, 90, 180])
def test_a_turn_is_the_turn_that_was_asked_for(value):
    matrix = np.linalg.inv(changed("rotation", value).truth.matrix)
    angle = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
    assert (angle - value + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("value", [0.25, 1, 4])
def test_a_scale_is_the_scale_that_was_asked_for(value):
    found = changed("scale", value)
    assert np.sqrt(np.linalg.det(found.truth.matrix[:2, :2])) == pytest.approx(1 / value)
    assert found.moving.shape[2] == pytest.approx(value * WIDTH, rel=0.5)


@pytest.mark.parametrize("value", [100, 50, 10])
def test_an_overlap_is_the_share_of_ground_that_both_show(value):
    found = changed("overlap", value)
    _, inside = laid_back(found)
    whole = cv2.warpPerspective(
        found.moving_valid.astype(np.uint8), to_centre_matrix(found.truth.matrix), found.fixed.shape[:0:-1]
    )
    assert 100 * whole.mean() == pytest.approx(value, abs=5)


def test_looks_change_as_told_and_the_pose_stays():
    plain = changed("contrast", 1)
    inside = plain.moving_valid
    inverted = changed("contrast", -1)
    both = np.stack([plain.moving[0][inside], inverted.moving[0][inside]]).astype(float)
    assert np.corrcoef(both)[0, 1] < -0.99
    np.testing.assert_array_equal(plain.truth.matrix, inverted.truth.matrix)
    spread = [np.abs(np.diff(changed("blur", v).moving[0].astype(float)))[:, 5:-5].mean() for v in (0, 8)]
    coarse = [len(np.unique(FACTORS["resolution"].change(PAIR, v, np.random.default_rng(0)).moving)) for v in (1, 16)]
    noisy = [changed("noise", v).moving[0][inside].astype(float).std() for v in (0, 0.8)]
    assert spread[1] < spread[0] and coarse[1] < coarse[0] and noisy[1] > noisy[0]


def test_the_outside_of_a_turned_image_is_no_data_and_looks_like_the_image():
    found = changed("rotation", 45)
    outside = found.moving[0][~found.moving_valid]
    assert outside.size > 500 and abs(outside.mean() - PAIR.moving.mean()) < 15


def test_a_pair_never_stands_still():
    for seed in range(5):
        assert np.abs(changed("noise", 0, seed).truth.matrix - np.eye(3)).max() > 0.01


def write_pair(folder, shift=(4, 6)):
    whole = np.moveaxis(smooth(1, 3), 0, -1)
    cv2.imwrite(str(folder / "fixed.png"), whole)
    cv2.imwrite(str(folder / "moving.png"), whole[shift[1] :, shift[0] :])
    matrix = [[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]]
    row = {"fixed": "fixed.png", "moving": "moving.png", "moving_to_fixed": matrix, "pixel_origin": "corner"}
    (folder / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    return str(folder / "fixed.png"), str(folder / "moving.png"), np.array(matrix, float)


def test_a_known_pair_is_brought_onto_each_other(tmp_path):
    pair = aligned(*write_pair(tmp_path))
    assert pair.fixed.shape == pair.moving.shape == (3, HEIGHT - 6, WIDTH - 4)
    np.testing.assert_array_equal(pair.fixed, pair.moving)


def test_images_with_nothing_in_common_cannot_be_swept(tmp_path):
    fixed, moving, truth = write_pair(tmp_path)
    truth[0, 2] = 1000
    with pytest.raises(InputError, match="in common"):
        aligned(fixed, moving, truth)


def test_a_sweep_has_a_table_and_a_curve_for_each_factor(tmp_path):
    write_pair(tmp_path)
    recipe = EvalRecipe(
        ("pairs.jsonl",),
        matchers=("truth", "identity"),
        controls=False,
        sweep=(SweepSpec("rotation", (0.0, 120.0)), SweepSpec("noise", (0.1,))),
        sweep_seeds=2,
    )
    found = {}
    for method in methods(recipe):
        found[method] = tmp_path / f"{method.name}.jsonl"
        predict(plan(recipe, tmp_path), recipe, found[method], certificate={}, data_sha256="d", method=method)
    document = results_document(found, recipe)
    rotation = document["sweeps"]["rotation"]
    assert rotation["values"] == [0, 120] and rotation["n"] == 2
    assert rotation["matchers"]["truth"] == [100, 100] and rotation["matchers"]["identity"][1] == 0
    table, noise = tables(document)
    assert table.heads == ("matcher", "0", "120") and noise.heads == ("matcher", "0.1")
    assert [c.title for c in charts(document) if "Robust" in c.title] == ["Robustness: rotation", "Robustness: noise"]
    assert list(document["matchers"]["truth"]["sets"]) == ["noise=0.1", "rotation=0", "rotation=120"]


def test_a_black_background_of_aligned_pairs_is_content(tmp_path):
    white = np.zeros((100, 120, 3), np.uint8)
    white[20:70, 30:90] = 255
    for half in "ab":
        cv2.imwrite(str(tmp_path / f"head_{half}.png"), white)
    pair = aligned(str(tmp_path / "head_a.png"), str(tmp_path / "head_b.png"), np.eye(3))
    assert pair.fixed.shape == pair.moving.shape == (3, 100, 120)


def test_sweeps_that_make_no_sense_are_refused():
    for wrong in ({"sweep": ("wobble",)}, {"sweep": ("noise", "noise")}, {"sweep": ("noise",), "unrelated": True}):
        with pytest.raises(ValueError):
            EvalRecipe(("x",), **wrong)
    with pytest.raises(ValueError, match="between 1 and 100"):
        SweepSpec("overlap", (0.0,))
    with pytest.raises(UsageError, match="whole image"):
        changed_tasks([Task("x", "s", "a", "b", truth={}, kind="landmarks")], EvalRecipe(("x",), sweep=("noise",)))
