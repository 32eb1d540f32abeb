"""Views on one grid, tiles, and batches: what is laid where, and what the truth of a drawn pair is."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import tifffile
import torch
from made_pairs import SIDE, other_sensor, scene, truth_of, write_pair, write_pairs

from xmatch.adaptation.draws import Batches, Unlabelled, draw_scenes, held_batches
from xmatch.adaptation.pairs import Pair, find_pairs
from xmatch.adaptation.poses import POSES, pose_pairs
from xmatch.adaptation.recipe import AdaptRecipe, TileSpec
from xmatch.adaptation.scenes import read_scenes, scenes_of
from xmatch.adaptation.tiles import tile_windows
from xmatch.errors import InputError
from xmatch.geometry import translation
from xmatch.synth.seeds import device_rng

RECIPE = AdaptRecipe(size=64, view_px=SIDE, batch=2, pose="centre")
CPU = torch.device("cpu")
STILL = {"max_angle_deg": 0.0, "max_scale": 1.0, "max_shift": 0.0, "shear": 0.0, "perspective": 0.0}


def labelled_scene(folder, number=0):
    fixed, moving = write_pair(folder, number)
    (found,) = scenes_of(Pair("p", "row 1", fixed, moving, truth_of(number)), truth_of(number), True, RECIPE)
    return found


def test_moving_laid_by_the_truth_shows_what_fixed_shows(tmp_path):
    found = labelled_scene(tmp_path)
    both = found.fixed_valid & found.moving_valid
    assert both.mean() > 0.7 and found.places is None
    expected = other_sensor(scene(0)).astype(float)
    assert np.corrcoef(found.moving[both], expected[both])[0, 1] > 0.99


def test_a_guess_keeps_the_truth_for_the_report(tmp_path):
    fixed, moving = write_pair(tmp_path, 0)
    guess = translation(2.0, 1.0)
    (found,) = scenes_of(Pair("p", "row 1", fixed, moving, truth_of(0)), guess, False, RECIPE)
    px = np.array([[20.5, 30.5]])
    np.testing.assert_allclose(found.places[30, 20], guess(truth_of(0).inverse(px))[0], atol=1e-3)
    (unknown,) = scenes_of(Pair("p", "row 1", fixed, moving), guess, False, RECIPE)
    assert unknown.places is None


def test_nothing_in_common_is_said(tmp_path):
    fixed, moving = write_pair(tmp_path, 0)
    pair = Pair("p", "row 7", fixed, moving)
    with pytest.raises(InputError, match="nothing in common"):
        scenes_of(pair, translation(500, 0), False, RECIPE)
    scenes, (bad,) = read_scenes([(pair, translation(500, 0))], False, RECIPE)
    assert scenes == [] and bad.where == "row 7"


def test_a_flat_image_teaches_nothing(tmp_path):
    fixed, moving = write_pair(tmp_path, 0)
    cv2.imwrite(str(moving), np.full((SIDE, SIDE), 90, np.uint8))
    assert read_scenes([(Pair("p", "row 1", fixed, moving), translation(0, 0))], True, RECIPE)[0] == []


def test_tiles_cover_an_image_and_overlap():
    spec = TileSpec(px=100, overlap=0.25)
    windows = tile_windows(330, 160, spec)
    cover = np.zeros((160, 330), int)
    for x, y, width, height in windows:
        assert (width, height) == (100, 100)
        cover[y : y + height, x : x + width] += 1
    assert cover.min() == 1 and (cover > 1).mean() > 0.2
    starts = sorted({x for x, *_ in windows})
    assert max(b - a for a, b in zip(starts, starts[1:], strict=False)) <= 75


def test_small_images_stay_whole_and_very_large_ones_give_so_many_tiles():
    assert tile_windows(150, 90, TileSpec(px=100)) == [(0, 0, 150, 90)]
    spec = TileSpec(px=100, most=5)
    assert len(tile_windows(3000, 2000, spec)) == 5
    assert tile_windows(3000, 2000, spec, seed=1) != tile_windows(3000, 2000, spec, seed=2)


def test_a_large_medical_raster_becomes_several_scenes(tmp_path):
    image = scene(5, side=256)
    paths = tmp_path / "a_fixed.ome.tif", tmp_path / "a_moving.ome.tif"
    tifffile.imwrite(paths[0], image, ome=True, metadata={"axes": "YX"})
    tifffile.imwrite(paths[1], other_sensor(image).astype(np.uint16) * 200, ome=True, metadata={"axes": "YX"})
    (pair,) = find_pairs(tmp_path).pairs
    recipe = dataclasses.replace(RECIPE, tiles=TileSpec(px=96))
    found = scenes_of(pair, translation(0, 0), True, recipe)
    assert len(found) == 16 and {one.name for one in found} == {"a"}
    for one in found:  # a flipped scale of greys: dark where the other is bright, tile by tile
        assert np.corrcoef(one.fixed.ravel(), one.moving.ravel())[0, 1] < -0.9


def test_a_labelled_draw_has_the_exact_warp(tmp_path):
    """Without any warp between the two, a px of fixed lies at the same px of moving."""
    recipe = dataclasses.replace(RECIPE, augment=STILL)
    pairs = draw_scenes([labelled_scene(tmp_path)] * 2, recipe, device_rng("cpu", 0))
    assert not isinstance(pairs, Unlabelled) and pairs.covisible.float().mean() > 0.5
    line = (torch.arange(64) + 0.5) / 32 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    off = (pairs.warp - grid).abs()[pairs.covisible]
    assert float(off.max()) < 1e-4
    seen = pairs.covisible
    assert torch.corrcoef(torch.stack([pairs.fixed[:, 0][seen], pairs.moving[:, 0][seen]]))[0, 1] < -0.9


def test_an_unlabelled_draw_knows_the_truth_only_where_there_is_one(tmp_path):
    fixed, moving = write_pair(tmp_path, 0)
    guess = translation(3.0, 0.0)
    known = scenes_of(Pair("p", "", fixed, moving, truth_of(0)), guess, False, RECIPE)[0]
    unknown = scenes_of(Pair("q", "", fixed, moving), guess, False, RECIPE)[0]
    pairs = draw_scenes([known, unknown], RECIPE, device_rng("cpu", 1))
    assert isinstance(pairs, Unlabelled)
    assert bool(pairs.covisible[0].any()) and not bool(pairs.covisible[1].any())


def test_flips_keep_truth_and_images_together(tmp_path):
    fixed, moving = write_pair(tmp_path, 0)
    known = scenes_of(Pair("p", "", fixed, moving, truth_of(0)), translation(0, 0), False, RECIPE)[0]
    recipe = dataclasses.replace(RECIPE, augment=STILL)
    for seed in range(4):
        pairs = draw_scenes([known], recipe, device_rng("cpu", seed))
        looked_up = torch.nn.functional.grid_sample(pairs.moving, pairs.warp, align_corners=False)[:, 0]
        seen = pairs.covisible
        both = torch.stack([pairs.fixed[:, 0][seen], looked_up[seen]])
        assert torch.corrcoef(both)[0, 1] < -0.95, seed


def test_batches_take_turns_and_depend_on_their_number_alone(tmp_path):
    fixed, moving = write_pair(tmp_path, 1)
    unlabelled = scenes_of(Pair("u", "", fixed, moving), translation(0, 0), False, RECIPE)
    labelled = [labelled_scene(tmp_path)]
    batches = Batches(labelled, unlabelled, RECIPE, CPU)
    kinds = [isinstance(batches(n), Unlabelled) for n in range(4)]
    assert kinds == [False, True, False, True]
    again = Batches(labelled, unlabelled, RECIPE, CPU)
    assert torch.equal(again(3).fixed, batches(3).fixed) and not torch.equal(batches(1).fixed, batches(3).fixed)
    assert not any(isinstance(Batches(labelled, [], RECIPE, CPU)(n), Unlabelled) for n in range(2))
    assert all(isinstance(Batches([], unlabelled, RECIPE, CPU)(n), Unlabelled) for n in range(2))


def test_fixed_and_moving_change_places_in_half_of_the_draws_and_stay_aligned(tmp_path):
    recipe = dataclasses.replace(RECIPE, augment=STILL, flip=False)
    one = labelled_scene(tmp_path)
    pairs = draw_scenes([one] * 16, recipe, device_rng("cpu", 0), swap=True)
    swapped = [names == ("moving", "fixed") for names in pairs.modalities]
    assert 3 < sum(swapped) < 13
    line = (torch.arange(64) + 0.5) / 32 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    assert float((pairs.warp - grid).abs()[pairs.covisible].max()) < 1e-4
    assert all(bool(seen.any()) for seen in pairs.covisible)
    known = scenes_of(Pair("p", "", *write_pair(tmp_path, 0), truth_of(0)), translation(0, 0), False, RECIPE)[0]
    unlabelled = draw_scenes([known] * 16, recipe, device_rng("cpu", 0), swap=True)
    for names, seen in zip(unlabelled.modalities, unlabelled.covisible, strict=True):
        assert bool(seen.any()) == (names == ("fixed", "moving"))


def test_held_out_views_stay_the_same(tmp_path):
    found = [labelled_scene(tmp_path)]
    first, second = held_batches(found, RECIPE), held_batches(found, RECIPE)
    assert sum(map(len, first)) == RECIPE.guard.views
    assert all(torch.equal(a.fixed, b.fixed) for a, b in zip(first, second, strict=True))


class Finder:
    """A matcher that finds every pair where it is told, and counts its calls."""

    name = "finder"
    wants_colour = False

    def __init__(self, pose):
        self.pose, self.calls = pose, 0

    def __call__(self, fixed, moving, within, *, seed=0, threads=1, earlier=None):
        from xmatch.matchers.base import Matches, Proposal

        self.calls += 1
        return Matches(() if self.pose is None else (Proposal(self.pose, 1.0),))


def test_pairs_are_registered_once_and_that_is_kept(tmp_path):
    pairs = find_pairs(write_pairs(tmp_path, 2, 2)).pairs
    finder = Finder(np.eye(3))
    laid, unusable = pose_pairs(pairs, finder, tmp_path, seed=0, threads=1)
    assert finder.calls == 2 and not unusable and (tmp_path / POSES).exists()
    for one in laid:  # a few px are left to tie points
        middle = np.array([[SIDE / 2, SIDE / 2]])
        assert np.linalg.norm(one.transform(middle) - one.pair.truth(middle)) < 1.5
    again, _ = pose_pairs(pairs, Finder(None), tmp_path, seed=0, threads=1)
    np.testing.assert_array_equal(again[1].transform.matrix, laid[1].transform.matrix)
    assert [one.accepted for one in again] == [one.accepted for one in laid]


def test_a_pair_without_a_start_is_named_and_a_search_can_be_stopped(tmp_path):
    pairs = find_pairs(write_pairs(tmp_path, 3, 0)).pairs
    laid, unusable = pose_pairs(pairs, Finder(None), tmp_path, seed=0, threads=1)
    assert not laid and [row.where for row in unusable] == [
        "pairs.jsonl row 1",
        "pairs.jsonl row 2",
        "pairs.jsonl row 3",
    ]
    (tmp_path / POSES).unlink()
    finder = Finder(np.eye(3))
    laid, _ = pose_pairs(pairs, finder, tmp_path, seed=0, threads=1, asked_to_stop=lambda: finder.calls == 2)
    assert len(laid) == 2


def test_without_a_search_centres_lie_on_centres_and_nothing_is_trusted(tmp_path):
    pairs = find_pairs(write_pairs(tmp_path, 1, 0)).pairs
    (one,), _ = pose_pairs(pairs, None, tmp_path, seed=0, threads=1)
    np.testing.assert_allclose(one.transform.matrix, np.eye(3), atol=1e-9)
    assert not one.accepted
