"""Batches by their number."""

import dataclasses
import os
import signal

import pytest
import torch

from xmatch.errors import InputError, ResourceError
from xmatch.recipe import load_recipe
from xmatch.synth.recipe import SourceSpec
from xmatch.training.feed import batches, open_feed, open_maker
from xmatch.training.recipe import PretrainRecipe

CPU = torch.device("cpu")


@pytest.fixture
def loaded(recipe):
    return lambda **more: load_recipe(recipe(**more), PretrainRecipe)


def test_a_batch_depends_on_its_number_and_rank_alone(loaded, tmp_path):
    draw, again = batches(loaded(), tmp_path, 0, CPU), batches(loaded(), tmp_path, 0, CPU)
    for number in (0, 1, 5):
        draw(number)
    assert torch.equal(draw(5).fixed, again(5).fixed) and torch.equal(draw(5).warp, again(5).warp)
    assert not torch.equal(draw(5).fixed, draw(6).fixed)
    assert not torch.equal(draw(5).fixed, batches(loaded(), tmp_path, 1, CPU)(5).fixed)


def test_sizes_follow_the_stages_and_difficulty_the_curriculum(loaded, tmp_path):
    draw = batches(loaded(), tmp_path, 0, CPU)
    assert draw(0).fixed.shape == (2, 1, 32, 32) and draw(4).fixed.shape == (2, 1, 64, 64)
    assert all(a == b for a, b in draw(0).modalities)


def test_a_stage_may_have_data_of_its_own(loaded):
    recipe = loaded()
    things = dataclasses.replace(recipe.stages[1], data=(SourceSpec("things"),))
    recipe = dataclasses.replace(recipe, stages=(recipe.stages[0], things))
    draw = batches(recipe, ".", 0, CPU)
    assert "thing" not in draw(3).modalities[0] and draw(4).modalities == (("thing", "thing"),) * 2
    assert [spec.kind for spec in recipe.all_data] == ["shapes", "things"]
    assert recipe.validation_data == things.data


def test_another_process_gives_the_same_batches_and_its_failures(loaded, tmp_path):
    recipe = loaded(feed="process")
    draw = batches(recipe, tmp_path, 0, CPU)
    with open_feed(recipe, tmp_path, 0, CPU) as feed:
        for number in (3, 4):
            ours, theirs = draw(number), feed.take(number)
            assert torch.equal(ours.moving, theirs.moving) and torch.equal(ours.covisible, theirs.covisible)
            assert ours.modalities == theirs.modalities
        pid = feed_process()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ResourceError, match="ended at batch"):
            for number in range(5, 8):
                feed.take(number)


def test_scenes_made_by_other_processes_change_nothing(loaded, tmp_path):
    worlds = SourceSpec("worlds", names=("cells", "drawn"), pool=4, fresh=1.0, side=72)
    recipe = dataclasses.replace(loaded(), data=(worlds,), makers=1)
    draw = batches(recipe, tmp_path, 0, CPU)
    with open_maker(recipe, CPU) as maker, open_feed(recipe, tmp_path, 0, CPU, maker) as feed:
        assert maker is not None
        for number in (0, 3):
            ours, theirs = draw(number), feed.take(number)
            assert torch.equal(ours.moving, theirs.moving) and torch.equal(ours.warp, theirs.warp)


def test_without_worlds_or_on_a_cpu_nobody_is_started_to_make_scenes(loaded, tmp_path):
    worlds = dataclasses.replace(loaded(), data=(SourceSpec("worlds"),))
    for recipe in (dataclasses.replace(loaded(), makers=2), worlds):
        with open_maker(recipe, CPU) as maker:
            assert maker is None


def test_what_drawing_raises_there_is_raised_here(recipe, tmp_path):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "flat.png"), np.zeros((64, 64), np.uint8))
    path = recipe(feed="process")
    path.write_text(path.read_text().replace("kind: shapes,", "kind: singles, folder: photos,"))
    with open_feed(load_recipe(path, PretrainRecipe), tmp_path, 0, CPU) as feed:
        with pytest.raises(InputError, match="flat"):
            feed.take(0)


def feed_process() -> int:
    import multiprocessing

    (child,) = multiprocessing.active_children()
    return child.pid
