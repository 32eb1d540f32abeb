"""Posed views of worlds as files: what reads such scenes finds the same cameras, depth and flow again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from xmatch.errors import OutputError, UsageError
from xmatch.synth import posed
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.layouts import kind_of
from xmatch.synth.posed import kinds_of, missing_scenes, posed_views, write_scene
from xmatch.synth.recipe import SourceSpec, SynthRecipe
from xmatch.synth.resampling import bilinear
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import MultiView, Sensors
from xmatch.synth.sources.cameras import find_scenes, read_depth, reprojected

SIZE = 64
NEAR = Difficulty(max_parallax_deg=20)
FIRST_SENSOR = {"city": "optical", "indoor": "visible"}


def partners(first, second, sensor):
    """Places (S, S, 2) px in the second view of the first's px, by their matrices, and the error of what is seen."""
    line = np.arange(SIZE) + 0.5
    own = np.stack(np.meshgrid(line, line), -1)
    rays = np.concatenate([own, np.ones((SIZE, SIZE, 1))], -1) @ np.linalg.inv(first.intrinsics).T
    motion = np.linalg.inv(second.camera_to_world) @ first.camera_to_world
    gone = (rays * first.depth[..., None]) @ motion[:3, :3].T + motion[:3, 3]
    there = gone @ second.intrinsics.T
    there = (there[..., :2] / there[..., 2:]).astype(np.float32)
    depth, shown = (
        cv2.remap(image, there - 0.5, None, cv2.INTER_LINEAR) for image in (second.depth, second.images[sensor])
    )
    inside = (np.abs(there - SIZE / 2) < SIZE / 2 - 1).all(-1) & (first.depth > 0)
    seen = inside & (np.abs(depth - gone[..., 2]) < 0.02 * gone[..., 2])
    return there, seen, inside, shown


@pytest.mark.parametrize("kind", FIRST_SENSOR)
def test_matrices_and_depth_say_where_points_are_seen_again(kind):
    sensor = FIRST_SENSOR[kind]
    first, second = posed_views(kind, 2, SIZE, device_rng("cpu", 5), NEAR, [sensor])
    _, seen, inside, shown = partners(first, second, sensor)
    assert inside.mean() > 0.4 and seen.sum() / inside.sum() > 0.7
    image = first.images[sensor]
    assert (
        np.corrcoef(shown[seen], image[seen])[0, 1] > 0.9 > np.corrcoef(second.images[sensor][seen], image[seen])[0, 1]
    )


@pytest.mark.parametrize("kind", FIRST_SENSOR)
def test_scenes_that_were_written_are_read_back(kind, tmp_path):
    recipe = SynthRecipe(count=2, size=SIZE, views=3, seed=1, difficulty=NEAR)
    write_scene(tmp_path, [kind], recipe, 0), write_scene(tmp_path, [kind], recipe, 1)
    assert kind_of(tmp_path) == "multiview"
    scenes = find_scenes(tmp_path)
    assert [len(views) for views in scenes] == [3, 3]
    sensor = FIRST_SENSOR[kind]
    made = posed_views(kind, 3, SIZE, device_rng("cpu", 1, 1), NEAR, [sensor])
    for view, read in zip(made, scenes[1], strict=True):
        assert np.array_equal(cv2.imread(str(read.image), cv2.IMREAD_GRAYSCALE), view.images[sensor])
        assert np.array_equal(read_depth(read.depth), view.depth)
    line = (np.arange(SIZE) + 0.5) / SIZE
    shares, _ = reprojected(np.stack(np.meshgrid(line, line), -1), made[0].depth, *scenes[1][:2])
    there, seen, *_ = partners(made[0], made[1], sensor)
    assert np.abs(shares * SIZE - there)[seen].max() < 1e-3


def test_pairs_drawn_from_written_scenes_show_one_point_at_both_ends(tmp_path):
    write_scene(tmp_path, ["indoor"], SynthRecipe(count=1, size=160, views=3, difficulty=NEAR), 0)
    source = MultiView.below(tmp_path, Sensors(["visible"]))
    aligned = source.draw(6, 128, device_rng("cpu", 0), Difficulty(gap=0.0))
    assert aligned.covisible.float().mean() > 0.3
    shown = bilinear(aligned.second, aligned.flow.permute(0, 3, 1, 2))
    # Every image has a brightness of its own.
    right, still = (
        [
            torch.corrcoef(torch.stack([aligned.first[i, 0][seen], other[i, 0][seen]]))[0, 1].item()
            for i, seen in enumerate(aligned.covisible)
        ]
        for other in (shown, aligned.second)
    )
    assert min(right) > 0.8 > np.median(still)


def test_the_same_seed_writes_the_same_views():
    one, other = (posed_views("indoor", 2, 32, device_rng("cpu", 2), NEAR, ["depth"]) for _ in range(2))
    assert np.array_equal(one[1].images["depth"], other[1].images["depth"])
    assert np.array_equal(one[1].camera_to_world, other[1].camera_to_world)


def test_torch_has_one_thread_while_a_scene_is_made_and_its_own_number_again(tmp_path, monkeypatch):
    """Sums that several threads share are rounded otherwise: two workers would write other bytes than one process."""
    before, seen = torch.get_num_threads(), []

    def look(*asked, build=posed.POSED["indoor"]):
        seen.append(torch.get_num_threads())
        return build(*asked)

    monkeypatch.setitem(posed.POSED, "indoor", look)
    torch.set_num_threads(2)
    try:
        write_scene(tmp_path, ["indoor"], SynthRecipe(count=1, size=32, views=2), 0)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_a_run_that_was_stopped_lacks_what_is_not_whole(tmp_path):
    """Workers may leave any of the scenes, and an image of another."""
    recipe = SynthRecipe(count=3, size=32, views=2)
    write_scene(tmp_path, ["indoor"], recipe, 1)
    (tmp_path / "scene-000002").mkdir()
    (tmp_path / "scene-000002" / "000.png").touch()
    assert missing_scenes(tmp_path, ["indoor"], recipe) == [0, 2]
    write_scene(tmp_path, ["indoor"], recipe, 2)
    assert missing_scenes(tmp_path, ["indoor"], recipe) == [0]
    assert missing_scenes(tmp_path, ["indoor"], recipe, overwrite=True) == [0, 1, 2]


def test_scenes_of_other_settings_are_not_mixed(tmp_path):
    recipe = SynthRecipe(count=2, size=32, views=2)
    write_scene(tmp_path, ["indoor"], recipe, 1)
    for other in (replace(recipe, seed=1), replace(recipe, difficulty=Difficulty(max_parallax_deg=5))):
        with pytest.raises(OutputError, match="other settings"):
            missing_scenes(tmp_path, ["indoor"], other)
    (tmp_path / "scene-000001" / "views.jsonl").write_text("mine")
    with pytest.raises(OutputError, match="other settings"):
        missing_scenes(tmp_path, ["indoor"], recipe)


def test_what_has_no_depth_is_refused_with_what_has():
    with pytest.raises(UsageError, match="tissue") as refused:
        kinds_of([SourceSpec("worlds", names=("city", "tissue"))])
    assert "indoor" in (refused.value.hint or "")
    with pytest.raises(UsageError, match="worlds alone"):
        kinds_of([SourceSpec("shapes")])
    with pytest.raises(UsageError, match="no sensor"):
        posed_views("indoor", 2, 32, device_rng("cpu", 0), NEAR, ["sar"])
