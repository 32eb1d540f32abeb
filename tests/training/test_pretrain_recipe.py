"""Recipes of training runs."""

import dataclasses
from pathlib import Path

import pytest

from xmatch.errors import UsageError
from xmatch.networks.registry import load_objective, objective_names
from xmatch.recipe import load_recipe
from xmatch.synth.recipe import SourceSpec
from xmatch.training.recipe import BESIDE_THE_POINT, PretrainRecipe, shaping_digest

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_step_knows_its_stage(recipe):
    loaded = load_recipe(recipe(), PretrainRecipe)
    assert loaded.steps == 8
    assert [loaded.stage_at(step).size for step in (0, 3, 4, 7, 8)] == [32, 32, 64, 64, 64]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sped: 1", "line 8: unknown key 'sped'"),
        ("ema_decay: 1.0", "ema_decay"),
        ("seed: soon", "line 8: seed: 'soon' is not a whole number"),
        ("curriculum: {start: 0.5, end: 0.2}", "line 8.*start <= end"),
        ("precision: fp8", "line 8.*one of auto, bf16, fp32"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(recipe, line, told):
    with pytest.raises(UsageError, match=told):
        load_recipe(recipe(more=line), PretrainRecipe)


def test_a_size_that_does_not_halve_is_refused(recipe):
    path = recipe()
    path.write_text(path.read_text().replace("size: 64", "size: 65"))
    with pytest.raises(UsageError, match="multiple of 32"):
        load_recipe(path, PretrainRecipe)


def test_only_what_shapes_the_weights_changes_the_digest(recipe):
    one = load_recipe(recipe(), PretrainRecipe)
    assert {f.name for f in dataclasses.fields(one)} >= set(BESIDE_THE_POINT)
    assert dataclasses.replace(one, log_every=7, feed="process", licence="MIT").digest() == one.digest()
    assert dataclasses.replace(one, seed=5).digest() != one.digest()
    assert dataclasses.replace(one, ema_decay=0.5).digest() != one.digest()


def test_runs_begun_before_stages_had_data_of_their_own_go_on(recipe):
    one = load_recipe(recipe(), PretrainRecipe)
    before = one.as_dict()
    for stage in before["stages"]:
        assert stage.pop("data") == ()
    assert one.digest() == shaping_digest(before, BESIDE_THE_POINT)
    stages = (*one.stages[:-1], dataclasses.replace(one.stages[-1], data=(SourceSpec("things"),)))
    assert dataclasses.replace(one, stages=stages).digest() != one.digest()


def test_the_recipes_that_come_along_name_objectives_and_sizes_that_exist():
    paths = sorted(RECIPES.glob("pretrain-*.yaml"))
    assert paths
    for path in paths:
        loaded = load_recipe(path, PretrainRecipe)
        assert load_objective(loaded.model.objective).config(loaded.model.size, loaded.model.config)


def test_an_unknown_objective_is_told_with_the_known_ones():
    with pytest.raises(UsageError, match="'dens'.*known: dense"):
        load_objective("dens")


@pytest.mark.parametrize("name", objective_names())
def test_an_unknown_size_or_field_of_the_model_is_told(name):
    objective = load_objective(name)
    with pytest.raises(UsageError, match="no size 'huge'"):
        objective.config("huge", {})
    with pytest.raises(UsageError, match="unknown field 'colour'"):
        objective.config(None, {"colour": 3})
