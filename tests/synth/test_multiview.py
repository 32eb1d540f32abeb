"""Flow from depth and poses: a plane moves as geometry says, and what something hides is not believed."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.layouts import kind_of
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.recipe import Loaders, SourceSpec, build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import MultiView, Sensors
from xmatch.synth.sources.cameras import at, depth_shape, find_scenes, in_shares, read_depth, reprojected

WIDTH, HEIGHT, FOCAL = 120, 90, 100.0
K = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]])
FAR, NEAR = 4.0, 2.0
SENSORS = Sensors(["visible"])
SAME = Difficulty(gap=0.0, max_angle_deg=0, max_scale=1, max_shift=0, shear=0, perspective=0, elastic=0, noise=0)


def wall(shift_px):
    """Texture of a wall at depth FAR, as a camera sees it that has moved so that the wall shifts by whole px."""
    texture = np.random.default_rng(0).uniform(0, 255, (30, 60)).astype(np.float32)
    big = cv2.resize(texture, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(big[:, 60 + shift_px : 60 + shift_px + WIDTH])


def write_scene(folder, poses, images, depths):
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", np.block([[K, np.zeros((3, 1))], [0, 0, 0, 1]]))
    for n, (pose, image, depth) in enumerate(zip(poses, images, depths, strict=True)):
        cv2.imwrite(str(folder / "color" / f"{n}.png"), image)
        cv2.imwrite(str(folder / "depth" / f"{n}.png"), (depth * 1000).astype(np.uint16))
        np.savetxt(folder / "pose" / f"{n}.txt", pose)


def moved(x_m):
    pose = np.eye(4)
    pose[0, 3] = x_m
    return pose


@pytest.fixture
def scene(tmp_path):
    """Two cameras before a wall, 0.4 m apart: the wall shifts by 100 * 0.4 / 4 = 10 px to the left."""
    depth = np.full((HEIGHT, WIDTH), FAR)
    write_scene(tmp_path / "s", [moved(0), moved(0.4)], [wall(0), wall(10)], [depth, depth])
    return tmp_path


def test_a_wall_shifts_by_focal_length_times_baseline_over_depth(scene):
    ((first, second),) = find_scenes(scene)
    here = np.array([[60.5, 45.5], [30.5, 10.5]]) / (WIDTH, HEIGHT)
    there, depth = reprojected(here, np.array([FAR, FAR]), first, second)
    assert there * (WIDTH, HEIGHT) == pytest.approx(np.array([[50.5, 45.5], [20.5, 10.5]]))
    assert depth == pytest.approx(FAR)


def test_points_behind_the_other_camera_are_far_outside(scene):
    ((first, second),) = find_scenes(scene)
    turned = np.diag([-1.0, 1.0, -1.0, 1.0])
    behind = type(second)(second.image, second.depth, second.intrinsics, turned)
    there, depth = reprojected(np.array([[0.5, 0.5]]), np.array([FAR]), first, behind)
    assert np.abs(there).max() > 100 and depth[0] == 0


def test_drawn_pairs_show_the_same_point_at_partners(scene):
    rng = device_rng("cpu", 0)
    aligned = MultiView.below(scene, SENSORS).draw(6, 64, rng, SAME)
    assert aligned.covisible.float().mean() > 0.4
    source = MultiView.below(scene, Plain())
    aligned = source.draw(6, 64, rng, SAME)
    shown = torch.nn.functional.grid_sample(aligned.second, aligned.flow, align_corners=False)
    apart = (shown - aligned.first)[:, 0].abs()[aligned.covisible]
    assert apart.median() < 0.03 and apart.quantile(0.95) < 0.15


def test_flow_survives_the_second_look(scene):
    pairs = draw_pairs(Mixture([MultiView.below(scene, SENSORS)]), 4, 48, device_rng("cpu", 2), Difficulty.FULL)
    assert np.isnan(pairs.matrices).all() and pairs.covisible.float().mean() > 0.1
    assert pairs.warp.isfinite().all()


def test_what_a_pillar_hides_is_not_believed(tmp_path):
    """A pillar at half the distance shifts twice as far, and covers other parts of the wall in each view."""
    depths, images = [], []
    for shift in (0, 10):
        depth, image = np.full((HEIGHT, WIDTH), FAR), wall(shift)
        x = 60 - 2 * shift
        depth[:, x : x + 12], image[:, x : x + 12] = NEAR, 128
        depths.append(depth), images.append(image)
    write_scene(tmp_path / "s", [moved(0), moved(0.4)], images, depths)
    ((first, second),) = find_scenes(tmp_path)
    source = MultiView([(first, second)], SENSORS)
    seen = []
    for seed in range(20):
        left, right, flow, believed, _ = source._looked_at(first, second, 64, np.random.default_rng(seed))
        seen.append(believed.mean())
    line = (np.arange(WIDTH) + 0.5) / WIDTH
    row = np.stack([line, np.full(WIDTH, 0.5)], -1)
    own = at(depths[0].astype(np.float32), row)
    there, z = reprojected(row, own, first, second)
    hidden = np.abs(at(depths[1].astype(np.float32), there) - z) > 0.05 * at(depths[1].astype(np.float32), there)
    # The second view has its pillar at 40 to 52 and so none of the wall at 50 to 62; the first one's starts at 60.
    assert set(np.flatnonzero(hidden[:110])) - set(range(10)) == set(range(50, 60))
    assert 0.3 < np.mean(seen) < 0.95


def test_partners_overlap_but_are_not_the_same_view(tmp_path):
    depth = np.full((HEIGHT, WIDTH), FAR)
    poses = [moved(0), moved(0.001), moved(1.0), moved(50.0)]
    write_scene(tmp_path / "s", poses, [wall(0)] * 4, [depth] * 4)
    source = MultiView.below(tmp_path, SENSORS)
    assert source._partners_of(0, 0).tolist() == [2]
    with pytest.raises(InputError, match="overlaps with no other"):
        source._partners_of(0, 3)


def test_views_listed_in_a_file_are_a_scene_too(tmp_path):
    np.save(tmp_path / "d.npy", np.full((HEIGHT, WIDTH), FAR, np.float32))
    rows = []
    for n, x in enumerate((0.0, 0.4)):
        cv2.imwrite(str(tmp_path / f"{n}.png"), wall(10 * n))
        row = {"image": f"{n}.png", "depth": "d.npy", "size": [WIDTH, HEIGHT], "intrinsics": K.tolist()}
        key, pose = ("camera_to_world", moved(x)) if n else ("world_to_camera", np.linalg.inv(moved(x)))
        rows.append({**row, key: pose.tolist()})
    (tmp_path / "views.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ((first, second),) = find_scenes(tmp_path)
    there, _ = reprojected(np.array([[0.5, 0.5]]), np.array([FAR]), first, second)
    assert there[0, 0] * WIDTH == pytest.approx(50)
    assert kind_of(tmp_path) == "multiview"
    (tmp_path / "views.jsonl").write_text('{"image": "0.png"}\n')
    with pytest.raises(InputError, match="line 1"):
        find_scenes(tmp_path)


def test_intrinsics_as_shares_do_not_change_when_an_image_is_resized():
    half = np.array([[FOCAL / 2, 0, WIDTH / 4 - 0.5], [0, FOCAL / 2, HEIGHT / 4 - 0.5], [0, 0, 1]])
    assert in_shares(half, WIDTH / 2, HEIGHT / 2) == pytest.approx(in_shares(K, WIDTH, HEIGHT))


def test_depth_files_that_are_none_say_why(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    np.save(tmp_path / "b.npy", np.zeros((2, 3, 4)))
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((4, 4), np.uint8))
    for name in ("a.png", "b.npy", "c.png", "none.npy"):
        with pytest.raises(InputError, match="not a depth map"):
            read_depth(tmp_path / name)


def test_no_scene_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no scene with two posed views"):
        find_scenes(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_scenes(tmp_path / "none")


class Plain:
    """Sensors that show images as they are."""

    def see_views(self, first, second, rng, host, gap):
        return first, second, (("visible", "visible"),) * len(first)


@pytest.mark.parametrize("read", [read_depth, depth_shape])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_depth_map_that_is_none_is_refused_by_name(tmp_path, read, content):
    path = tmp_path / "d.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a depth map") as caught:
        read(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("values", [np.full((2, 2), "far"), np.zeros((0, 4))], ids=["words", "nothing"])
def test_depths_are_numbers(tmp_path, values):
    np.save(tmp_path / "d.npy", values)
    with pytest.raises(InputError, match="not a depth map"):
        read_depth(tmp_path / "d.npy")


def test_unusable_depth_maps_are_told_with_the_images(tmp_path):
    depth = np.full((HEIGHT, WIDTH), FAR)
    write_scene(tmp_path / "s", [moved(0), moved(0.4), moved(0.8)], [wall(0), wall(10), wall(20)], [depth] * 3)
    (tmp_path / "s" / "depth" / "2.png").write_bytes(b"")
    loaders = Loaders()
    build_mixture([SourceSpec("multiview", "s")], tmp_path, loaders).sources[0].draw(6, 64, device_rng("cpu", 0), SAME)
    assert list(loaders.rejected) == [str(tmp_path / "s" / "depth" / "2.png")]


def write_h5(folder):
    """A depth map, and files whose "depth" is none or lies elsewhere, by name."""
    h5py = pytest.importorskip("h5py")
    for name in ("good", "group", "empty", "nothing", "link", "chain", "virtual", "raw"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            match name:
                case "good":
                    file["depth"] = np.ones((4, 5), np.float32)
                case "group":
                    file.create_group("depth")
                case "nothing":
                    file["depth"] = h5py.Empty("f4")
                case "link":
                    file["depth"] = h5py.ExternalLink("good.h5", "depth")
                case "chain":
                    file["other"], file["depth"] = h5py.ExternalLink("good.h5", "/"), h5py.SoftLink("/other/depth")
                case "virtual":
                    layout = h5py.VirtualLayout((4, 5), "f4")
                    layout[:] = h5py.VirtualSource(folder / "good.h5", "depth", (4, 5))
                    file.create_virtual_dataset("depth", layout)
                case "raw":
                    (folder / "raw").write_bytes(bytes(80))
                    file.create_dataset("depth", (4, 5), "f4", external=[(str(folder / "raw"), 0, 80)])


@pytest.mark.parametrize("read", [read_depth, depth_shape])
def test_a_depth_map_in_hdf5_is_a_data_set_of_its_own(tmp_path, read):
    """Links and storage outside would carry values of other files of this machine into the pairs."""
    write_h5(tmp_path)
    assert np.shape(read(tmp_path / "good.h5")) in ((4, 5), (2,))
    for path in set(tmp_path.glob("*.h5")) - {tmp_path / "good.h5"}:
        with pytest.raises(InputError, match="not a depth map"):
            read(path)
