"""MegaDepth with the lists of LoFTR as training data: a tiny copy, laid out as published."""

from __future__ import annotations

import importlib.util
import shutil

import cv2
import numpy as np
import pytest
import torch

from xmatch.datasets.megadepth import read_training
from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.layouts import kind_of
from xmatch.synth.recipe import SourceSpec, build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import MultiView, Sensors
from xmatch.synth.sources.multiview import OVERLAP
from xmatch.synth.sources.published_scenes import published_scenes

WIDTH, HEIGHT, FOCAL, FAR = 120, 90, 100.0, 4.0
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
STEP_PX = 10
"""By which a wall at depth FAR shifts from one view to the next."""
SENSORS = Sensors(["visible"])
UNDISTORTED, OWN = "Undistorted_SfM/{}/images", "phoenix/S6/zl548/MegaDepth_v1/{}/dense0"
WITH_H5 = importlib.util.find_spec("h5py") is not None


def write_depth(path, depth):
    if path.suffix == ".npy":
        np.save(path, depth)
        return
    import h5py

    with h5py.File(path, "w") as file:
        file["depth"] = depth


def write_scene(root, lists, name="0000", pairs=((0, 1), (1, 2)), suffix=".npy"):
    """Three views of a wall, each a step further to the right; a fourth, which no pair names, is not there."""
    images, depths = root / UNDISTORTED.format(name), root / OWN.format(name) / "depths"
    for folder in (images, depths, lists):
        folder.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(0).uniform(0, 255, (30, 60)).astype(np.float32)
    wall = cv2.resize(texture, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    poses = np.tile(np.eye(4), (4, 1, 1))
    for n in range(3):
        cv2.imwrite(str(images / f"{n}.png"), wall[:, 60 + STEP_PX * n : 60 + STEP_PX * n + WIDTH])
        write_depth(depths / f"{n}{suffix}", np.full((HEIGHT, WIDTH), FAR, np.float32))
        poses[n, 0, 3] = -n * STEP_PX * FAR / FOCAL
    named = np.empty(len(pairs), dtype=object)
    named[:] = [(pair, 0.5, np.zeros((1, 4))) for pair in pairs]
    np.savez(
        lists / f"{name}_0.1_0.3.npz",
        image_paths=np.array([f"{UNDISTORTED.format(name)}/{n}.png" for n in range(3)] + [None], object),
        depth_paths=np.array([f"{OWN.format(name)}/depths/{n}{suffix}" for n in range(3)] + [None], object),
        intrinsics=np.array([*[K] * 3, None], object),
        poses=np.array([*poses[:3], None], object),
        pair_infos=named,
    )


@pytest.fixture(params=[".npy", pytest.param(".h5", marks=pytest.mark.skipif(not WITH_H5, reason="needs h5py"))])
def folder(request, tmp_path):
    """As LoFTR's instructions lay it, the lists behind a link."""
    write_scene(tmp_path / "data" / "train", tmp_path / "indices", suffix=request.param)
    (tmp_path / "data" / "index").mkdir()
    (tmp_path / "data" / "index" / "scene_info_0.1_0.7").symlink_to(tmp_path / "indices")
    return tmp_path / "data"


def test_views_are_those_that_pairs_name_and_partners_those_of_the_list(folder):
    (scene,) = published_scenes(folder)
    assert len(scene) == 3
    assert [scene.partners(n).tolist() for n in range(3)] == [[1], [0, 2], [1]]
    assert scene[1].intrinsics[0] == pytest.approx([FOCAL / WIDTH, 0, 0.5])
    assert scene[1].camera_to_world[0, 3] == pytest.approx(STEP_PX * FAR / FOCAL)


def test_drawn_pairs_show_the_same_point_at_partners(folder):
    source = MultiView.below(folder, SENSORS)
    first, second = source._scenes[0][0], source._scenes[0][1]
    host = np.random.default_rng(0)
    one, other, flow, seen, _ = source._looked_at(first, second, 64, host)
    there = torch.from_numpy(flow)[None]
    shown = torch.nn.functional.grid_sample(torch.from_numpy(other)[None, None].float(), there, align_corners=False)
    apart = np.abs(shown[0, 0].numpy() - one)[seen]
    assert seen.mean() > 0.4 and np.median(apart) < 8
    drawn = source.draw(4, 64, device_rng("cpu", 0), Difficulty.EASY)
    assert drawn.covisible.float().mean() > 0.3 and set(drawn.origins) <= {"0.png", "1.png", "2.png"}


def test_the_list_decides_and_not_the_overlap(folder):
    """Views that share too much for pairs of other data sets are a pair where the list says so."""
    assert 1 - STEP_PX / WIDTH < OVERLAP[1]
    source = MultiView.below(folder, SENSORS)
    assert source._partners_of(0, 0).tolist() == [1]


def test_images_of_megadepth_itself_stand_in_for_the_undistorted_ones(folder):
    root = folder / "train"
    shutil.move(str(root / UNDISTORTED.format("0000")), str(root / OWN.format("0000") / "imgs"))
    (scene,) = read_training(folder)
    assert scene.images[0] == root / OWN.format("0000") / "imgs" / "0.png"


def test_scenes_of_the_test_are_left_out_and_a_list_of_scenes_counts(tmp_path):
    for name in ("0000", "0001", "0015", "0022"):
        write_scene(tmp_path, tmp_path / "index", name)
    assert len(published_scenes(tmp_path)) == 2
    (tmp_path / "index" / "train_list.txt").write_text("0001_0.1_0.3\n0022_0.1_0.3\n")
    (scene,) = published_scenes(tmp_path)
    assert "0001" in str(scene[0].image)


def test_recipes_and_folders_of_the_command_line_know_the_layout(folder):
    assert kind_of(folder) == "multiview"
    (source,) = build_mixture([SourceSpec("multiview", ".", names=("visible",))], folder).sources
    assert isinstance(source, MultiView)


@pytest.mark.parametrize("name", ["0001.npz", "2023_depth.npz", "0001_0.1_0.3.npz"])
def test_numbered_arrays_do_not_make_a_folder_of_photographs_megadepth(tmp_path, name):
    """Not even a list of pairs does, without the images that it is about."""
    np.savez(tmp_path / name, a=np.zeros(1))
    assert kind_of(tmp_path) == "singles"
    (tmp_path / "phoenix").mkdir()
    assert kind_of(tmp_path) == ("multiview" if name.count(".") == 3 else "singles")


def test_links_that_lead_back_show_no_list_twice(folder):
    (folder / "index" / "again").symlink_to(folder)
    (folder / "indices").symlink_to(folder / "index" / "scene_info_0.1_0.7")
    assert len(published_scenes(folder)) == 1


def test_a_list_of_scenes_that_is_no_text_is_refused_by_name(folder):
    (folder / "index" / "train_list.txt").write_bytes(b"0000_0.1_0.3 \xe9\n")
    with pytest.raises(InputError, match="is no text") as caught:
        kind_of(folder)
    assert str(caught.value.path).endswith("train_list.txt")


def test_lists_without_depth_are_refused_by_name(tmp_path):
    write_scene(tmp_path, tmp_path)
    path = tmp_path / "0000_0.1_0.3.npz"
    with np.load(path, allow_pickle=True) as arrays:
        np.savez(path, **{name: arrays[name] for name in arrays if name != "depth_paths"})
    with pytest.raises(InputError, match="lacks the arrays depth_paths") as caught:
        published_scenes(tmp_path)
    assert str(caught.value.path).endswith("0000_0.1_0.3.npz")
