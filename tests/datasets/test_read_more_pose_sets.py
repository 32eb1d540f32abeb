"""METU-VisTIR and MatchAnything's lists: tiny copies become truths, lenses are undone, pickles are never run."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from xmatch.correspondences import Correspondences
from xmatch.datasets import PoseTruth, matchanything, vistir
from xmatch.errors import InputError
from xmatch.evaluation import EvalRecipe
from xmatch.evaluation.lens_distortion import undistorted_xy
from xmatch.evaluation.scores import score
from xmatch.evaluation.truths import as_pose, saved

K = np.array([[100.0, 0.0, 32.0], [0.0, 100.0, 24.0], [0.0, 0.0, 1.0]])
MOTION = np.array([[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
LENS = np.array([-0.3, 0.1, 0.002, -0.001])


def objects(rows):
    """(N, 2) array of objects, one a camera."""
    found = np.empty((len(rows), 2), dtype=object)
    for i, row in enumerate(rows):
        found[i, 0], found[i, 1] = row
    return found


def write_scene(root, name="cloudy_cloudy_scene_1"):
    place = root / vistir.SCENES
    place.mkdir(parents=True, exist_ok=True)
    np.savez(
        place / f"{name}.npz",
        image_paths=objects([("cloudy/visible/a.jpg", "cloudy/thermal/a.jpg"), ("x/visible/b.jpg", "x/thermal/b.jpg")]),
        intrinsics=objects([(K, 2 * K), (3 * K, 4 * K)]),
        distortion_coefs=objects([(LENS, 2 * LENS), (3 * LENS, 4 * LENS)]),
        poses=np.stack([np.eye(4), MOTION]),
        pair_infos=np.array([[0, 1]]),
    )


def test_vistir_takes_the_first_camera_of_one_index_and_the_second_of_the_other(tmp_path):
    write_scene(tmp_path)
    (sample,) = vistir.read(tmp_path)
    assert (sample.id, sample.group) == ("cloudy_cloudy_scene_1/0000", "cloudy_cloudy_scene_1")
    assert (sample.fixed, sample.moving) == (tmp_path / "cloudy/visible/a.jpg", tmp_path / "x/thermal/b.jpg")
    np.testing.assert_array_equal(sample.truth.fixed_intrinsics[:2, 2], [32.5, 24.5])
    np.testing.assert_array_equal(sample.truth.moving_intrinsics[0], [400, 0, 128.5])
    np.testing.assert_array_equal(sample.truth.moving_distortion, 4 * LENS)
    np.testing.assert_array_equal(sample.truth.translation, [1, 2, 3])


def test_vistir_parts_are_the_scenes_whose_names_begin_so_and_the_list_decides(tmp_path):
    for name in ("cloudy_cloudy_scene_1", "cloudy_sunny_scene_1", "cloudy_sunny_scene_2"):
        write_scene(tmp_path, name)
    (tmp_path / vistir.LIST).parent.mkdir()
    (tmp_path / vistir.LIST).write_text("cloudy_sunny_scene_2.npz\ncloudy_cloudy_scene_1.npz\n")
    parts = [{sample.group for sample in dataset.read(tmp_path)} for dataset in vistir.DATASETS]
    assert parts[1:] == [{"cloudy_cloudy_scene_1"}, {"cloudy_sunny_scene_2"}] and parts[0] == parts[1] | parts[2]


def test_undistorting_brings_back_what_a_pinhole_would_see():
    rng = np.random.default_rng(0)
    rays = np.column_stack([rng.uniform(-0.4, 0.4, (30, 2)), np.ones(30)])
    seen = cv2.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), K, LENS)[0][:, 0]
    ideal = (rays @ K.T)[:, :2]
    assert np.abs(seen - ideal).max() > 1
    np.testing.assert_allclose(undistorted_xy(seen, K, LENS), ideal, atol=1e-6)
    assert undistorted_xy(seen, K, None) is seen


def test_a_pose_from_bent_correspondences_is_right_only_with_the_lens_undone():
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-1.5, 1.5, (60, 2)), rng.uniform(4, 9, 60)])
    there = points - (1.0, 0.0, 0.0)
    bent = [cv2.projectPoints(p[:, None], np.zeros(3), np.zeros(3), K, LENS)[0][:, 0] for p in (points, there)]
    matches, errors = Correspondences(*bent, np.ones(60)), []
    for lens in (LENS, None):
        truth = saved(PoseTruth(K, K, np.eye(3), np.array([-1.0, 0.0, 0.0]), lens, lens))
        row = {"id": "a", "set": "s", "kind": "pose", "related": True, "truth": truth, "error": None}
        errors.append(score(row, matches, EvalRecipe(("x",)))["pose_error_deg"])
    assert errors[0] < 0.05 and errors[1] > 10 * errors[0]


def test_poses_saved_before_lenses_were_known_are_still_read():
    truth = saved(PoseTruth(K, K, np.eye(3), np.ones(3)))
    old = {name: value for name, value in truth.items() if "distortion" not in name}
    assert as_pose(old).fixed_distortion is None and (as_pose(truth).moving_intrinsics == K).all()


def write_list(root, name="eval_all", **arrays):
    place = root / "Liver" / "eval_indexs"
    place.mkdir(parents=True, exist_ok=True)
    nested = np.empty(1, dtype=object)
    nested[0] = ((1, 0), 1.0)
    paths = np.array(["scenes/a.png", "scenes/b.png"], dtype=object)
    np.savez(place / f"{name}.npz", **{"image_paths": paths, "pair_infos": nested, **arrays})


def test_matchanything_maps_go_from_image_0_which_is_moving(tmp_path):
    write_list(tmp_path, gt_2D_transforms=np.array([[[0.0, -1.0, 10.0], [1.0, 0.0, 0.0]]]))
    (sample,) = matchanything.REGISTRATION.read(tmp_path)
    assert (sample.id, sample.group) == ("Liver/eval_all/0000", "Liver/eval_all")
    assert (sample.fixed, sample.moving) == (tmp_path / "Liver/scenes/a.png", tmp_path / "Liver/scenes/b.png")
    # The first centre lands on the centre (10, 0) of OpenCV's counting.
    np.testing.assert_allclose(sample.truth.transform(np.array([[0.5, 0.5]])), [[10.5, 0.5]])
    with pytest.raises(InputError, match="gt_2D_matches"):
        matchanything.LANDMARKS.read(tmp_path)


def test_matchanything_points_come_before_maps_and_from_a_pickled_dict_too(tmp_path):
    points = np.array([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])
    content = {"image_paths": np.array(["a.png", "b.png"]), "pair_infos": [((0, 1), 1.0)], "gt_2D_matches": points}
    content |= {"gt_2D_transforms": np.zeros((1, 2, 3)), "dataset_name": np.array(["Ta"])}
    (tmp_path / "eval_all.npz").write_bytes(pickle.dumps(content))
    (sample,) = matchanything.LANDMARKS.read(tmp_path)
    assert sample.moving == tmp_path / "Ta" / "a.png"
    np.testing.assert_array_equal(sample.truth.moving_xy, [[1.5, 2.5], [5.5, 6.5]])
    np.testing.assert_array_equal(sample.truth.fixed_xy, [[3.5, 4.5], [7.5, 8.5]])


def test_matchanything_flat_pairs_take_one_column_for_each_image(tmp_path):
    write_list(
        tmp_path,
        image_paths=objects([("v0.png", "t0.png"), ("v1.png", "t1.png")]),
        pair_infos=np.array([[0, 1]]),
        intrinsics=objects([(K, 2 * K), (3 * K, 4 * K)]),
        poses=np.stack([np.eye(4), MOTION]),
    )
    (sample,) = matchanything.POSE.read(tmp_path)
    assert (sample.fixed.name, sample.moving.name) == ("v0.png", "t1.png")
    assert sample.truth.moving_intrinsics[0, 0] == 400 and sample.truth.fixed_distortion is None
    np.testing.assert_array_equal(sample.truth.rotation, MOTION[:3, :3])


def test_matchanything_reads_what_is_listed_only_and_from_the_folder_of_one_set_too(tmp_path):
    for name in ("one", "two"):
        write_list(tmp_path, name, gt_2D_transforms=np.array([np.eye(3)[:2]]))
    (tmp_path / "Liver" / "eval_indexs" / "val_list.txt").write_text("two\n")
    (sample,) = matchanything.REGISTRATION.read(tmp_path / "Liver")
    assert sample.group == "eval_indexs/two"
    (tmp_path / "Liver" / "scenes").mkdir()
    (tmp_path / "Liver" / "scenes" / "b.png").write_bytes(b"")
    (sample,) = matchanything.REGISTRATION.read(tmp_path / "Liver")
    assert sample.fixed == tmp_path / "Liver" / "scenes" / "a.png"


class Bomb:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("reader", [vistir.read, matchanything.REGISTRATION.read])
def test_what_else_a_pickle_holds_is_refused_and_not_run(reader, tmp_path, capsys):
    for place in (tmp_path / vistir.SCENES, tmp_path / "Liver"):
        place.mkdir(parents=True)
        np.savez(place / "cloudy_cloudy_scene_1.npz", pair_infos=np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="pickle"):
        reader(tmp_path)
    assert "run" not in capsys.readouterr().out
