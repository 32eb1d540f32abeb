"""DIODE and DSEC as MINIMA pairs them: aligned images, one warped by a seeded homography, each pair both ways."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xmatch.coords import corners
from xmatch.datasets import minima_pairs
from xmatch.errors import InputError
from xmatch.evaluation import DatasetSpec, EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.prepare import prepare
from xmatch.evaluation.warping import write_warped
from xmatch.metrics import minima_path_seed

NAME = "outdoor/scene_1/scan_2/1_2_outdoor.png"


def write_smooth(path):
    """Something whose warped copy can be compared at positions between pixels."""
    x, y = np.meshgrid(np.arange(320), np.arange(240))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.uint8(128 + 60 * np.sin(x / 19) + 60 * np.cos(y / 23)))


def write_diode(root, header=f"./{NAME}"):
    for name in (NAME, NAME.replace("outdoor/", "outdoor_depth/", 1)):
        write_smooth(root / name)
    (root / "val_outdoor.csv").write_text(f"{header},./x_depth.npy,./x_depth_mask.npy\n")


@pytest.mark.parametrize("seed", range(8))
def test_warps_are_small_and_fill_the_window(seed):
    """The window of 80 % shows what lies inside the aligned image, turned by little."""
    matrix = minima_pairs.chance_homography(seed, 640, 480)
    window = corners(0.8 * 640, 0.8 * 480) + (64, 48)
    back = cv2.perspectiveTransform(window[None], np.linalg.inv(matrix))[0]
    assert (back >= -1e-3).all() and (back <= np.array([640, 480]) + 1e-3).all()
    across = back[1] - back[0]
    # Perspective slants the upper edge by a few degrees more.
    turn = np.degrees(np.arctan2(across[1], across[0]))
    assert abs(turn) < 15 and not np.allclose(matrix, np.eye(3), atol=1e-3)


def test_draws_are_those_of_the_seed():
    draw = minima_pairs.chance_homography
    np.testing.assert_array_equal(draw(5, 640, 480), draw(5, 640, 480))
    assert not np.allclose(draw(5, 640, 480), draw(6, 640, 480))


def test_each_photograph_is_fixed_once_and_warped_once_wherever_the_folder_lies(tmp_path):
    write_diode(tmp_path / "a" / "val")
    write_diode(tmp_path / "b")
    here, there = (minima_pairs.DIODE.read(tmp_path / name) for name in "ab")
    assert [s.id for s in here] == [s.id for s in there]
    assert [s.group for s in here] == ["depth-warped", "rgb-warped"]
    assert here[0].moving == here[1].fixed == tmp_path / "a/val/outdoor_depth/scene_1/scan_2/1_2_outdoor.png"
    assert [s.warp for s in here] == [s.warp for s in there] and here[0].warp != here[1].warp
    seeded = minima_pairs.chance_homography(minima_path_seed(NAME), 640, 480)
    np.testing.assert_allclose(cv2.perspectiveTransform(np.zeros((1, 1, 2)), seeded)[0], _at_first_centre(here[0]))


def _at_first_centre(sample):
    inverse = sample.truth.transform.inverse
    return inverse(np.array([[0.5, 0.5]])) - 0.5


def test_the_warped_file_shows_what_the_truth_says(tmp_path):
    write_diode(tmp_path)
    recipe = EvalRecipe(dataset=DatasetSpec("diode", "."))
    task = plan(recipe, tmp_path)[0]
    pair = prepare(task, recipe, tmp_path)
    fixed, moving = (cv2.imread(path, cv2.IMREAD_GRAYSCALE).astype(np.float32) for path in (pair.fixed, pair.moving))
    assert fixed.shape == moving.shape == (480, 640)
    xy = np.random.default_rng(0).uniform((150, 120), (490, 360), (50, 2))
    there = cv2.perspectiveTransform(xy[None], np.array(pair.truth))
    sampled = [
        cv2.remap(image, np.float32(at[..., :1] - 0.5), np.float32(at[..., 1:] - 0.5), cv2.INTER_LINEAR)
        for image, at in ((fixed, there.reshape(-1, 1, 2)), (moving, xy.reshape(-1, 1, 2)))
    ]
    assert np.abs(sampled[0] - sampled[1]).mean() < 1.5


def test_truth_scores_full_and_a_missing_depth_image_fails_alone(tmp_path):
    write_diode(tmp_path)
    recipe = EvalRecipe(dataset=DatasetSpec("diode", "."), matchers=("truth", "identity"), controls=False)
    tasks, found = plan(recipe, tmp_path), {}
    for method in methods(recipe):
        found[method] = tmp_path / f"{method.name}.jsonl"
        predict(tasks, recipe, found[method], certificate={}, data_sha256="d", method=method)
    parts = results_document(found, recipe)["matchers"]
    assert parts["truth"]["mean"]["auc"]["3"]["value"] == pytest.approx(100)
    assert parts["identity"]["mean"]["auc"]["3"]["value"] < 50
    (tmp_path / NAME.replace("outdoor/", "outdoor_depth/", 1)).unlink()
    predict(tasks, recipe, tmp_path / "b.jsonl", certificate={}, data_sha256="d", method=methods(recipe)[1])
    assert "missing" in (tmp_path / "b.jsonl").read_text()


def test_a_depth_map_is_drawn_where_there_is_no_picture_of_it_and_the_warp_stays(tmp_path):
    write_diode(tmp_path)
    (before, _), depth = minima_pairs.DIODE.read(tmp_path), np.full((240, 320, 1), 4.0, np.float32)
    depth[:120], depth[0, 0] = 0, 2.0
    (tmp_path / before.moving).unlink()
    file = (tmp_path / NAME).with_name("1_2_outdoor_depth.npy")
    np.save(file, depth)
    sample, other = minima_pairs.DIODE.read(tmp_path)
    assert sample.moving == other.fixed == file and sample.warp == before.warp
    drawn, _ = write_warped(str(file), str(tmp_path / NAME), sample.warp, tmp_path)
    levels = cv2.imread(drawn, cv2.IMREAD_GRAYSCALE)
    assert levels.shape == (480, 640) and levels[300:].min() == 255 and levels[10:230].max() == 0
    np.save(file, np.zeros((240, 320)))
    with pytest.raises(InputError, match="cannot be read"):
        write_warped(str(file), str(tmp_path / NAME), sample.warp, tmp_path)


def test_dsec_finds_events_beside_images(tmp_path):
    (tmp_path / "vent_list.txt").write_text("thun_01_a/images/left/000.png\n\n")
    warped, other = minima_pairs.DSEC.read(tmp_path)
    assert warped.moving == other.fixed == tmp_path / "thun_01_a/events/left/000.png"
    assert (warped.id, other.id) == ("thun_01_a/images/left/000/event-warped", "thun_01_a/images/left/000/rgb-warped")


@pytest.mark.parametrize("text", ["", "thun_01_a/left/000.png\n"])
def test_a_list_without_images_is_refused(tmp_path, text):
    (tmp_path / "vent_list.txt").write_text(text)
    with pytest.raises(InputError, match="images"):
        minima_pairs.DSEC.read(tmp_path)
