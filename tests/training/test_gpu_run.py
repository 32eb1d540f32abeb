"""`benchmarks/gpu_run.py`: the schedule fits the minutes, and what is written down is what was run."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from benchmarks import gpu_run, gpu_training
from xmatch.errors import ModelError, ResourceError
from xmatch.io.weights.files import load_weights
from xmatch.networks.registry import trained_architecture
from xmatch.recipe import load_recipe
from xmatch.training.recipe import PretrainRecipe


@pytest.fixture
def session(tmp_path):
    recipe = load_recipe(gpu_run.TRAINED["xmatch-small"], PretrainRecipe)
    rates = [{"size": s.size, "batch": s.batch, "steps_s": 10.0 * n} for n, s in enumerate(recipe.stages, 1)]
    options = argparse.Namespace(
        output=tmp_path, resume_from=None, device="cpu", threads=1, data=tmp_path, init=None, parts=()
    )
    found = {"rates": {"stages": rates, "scenes_s": 20.0}}
    return SimpleNamespace(recipe=recipe, options=options, found=found, left=406.0, is_late=False, maker=None)


def test_steps_fill_the_minutes_that_are_left_in_the_shares_of_the_recipe(session):
    found = gpu_training.scaled(session)
    seconds = sum(stage.steps / (10.0 * n) for n, stage in enumerate(found.stages, 1))
    assert seconds == pytest.approx(gpu_training.USED_SHARE * 400, rel=0.01)
    ratios = [new.steps / old.steps for new, old in zip(found.stages, session.recipe.stages, strict=True)]
    assert max(ratios) == pytest.approx(min(ratios), rel=0.01)
    fastest = 10.0 * len(found.stages)
    assert found.data[0].fresh == pytest.approx(gpu_training.FRESH_SHARE * 20 / fastest, abs=1e-3)


def test_the_recipe_that_is_written_is_the_one_that_was_run(session, monkeypatch):
    seen = []
    monkeypatch.setattr(gpu_training, "pretrain", lambda options, talk, maker: seen.append(options.load()))
    monkeypatch.setattr(gpu_training, "document", lambda outcome: {})
    gpu_training.training(session)
    assert seen[0].digest() == gpu_training.scaled(session).digest()


def test_a_part_that_fails_is_told_and_the_next_one_begins(session, tmp_path):
    session.found = {}

    def broken(session):
        raise RuntimeError("no kernel")

    gpu_run.attempt(session, "checks", broken)
    gpu_run.attempt(session, "inference", lambda session: [1])
    text = (tmp_path / "gpu_run.json").read_text()
    assert "no kernel" in text and session.found["inference"] == [1]


@pytest.mark.parametrize("error", [ModelError("not finite"), ResourceError("out of GPU memory")], ids=["nan", "memory"])
def test_a_training_that_fails_is_begun_again_with_a_safer_recipe_in_the_time_that_is_left(session, monkeypatch, error):
    seen = []

    def train(options, talk, maker):
        seen.append((options.load(), options.resume))
        if len(seen) == 1:
            session.left /= 2
            raise error
        return {"steps": 7}

    monkeypatch.setattr(gpu_training, "pretrain", train)
    monkeypatch.setattr(gpu_training, "document", dict)
    assert gpu_training.training(session) == {"steps": 7}
    (first, resumed), (second, goes_on) = seen
    assert resumed and not goes_on and session.found["begun_again"] == [str(error)]
    assert second.steps == pytest.approx(first.steps / 2, rel=0.01)
    smaller = [new.batch / old.batch for new, old in zip(second.stages, first.stages, strict=True)]
    if isinstance(error, ResourceError):
        assert smaller == [0.5] * 4 and second.precision == first.precision
    else:
        assert smaller == [1.0] * 4 and (first.precision, second.precision) == ("auto", "fp32")


@pytest.mark.parametrize("name", gpu_run.TRAINED)
def test_what_is_trained_goes_on_from_weights_of_its_own_network(name):
    recipe = load_recipe(gpu_run.TRAINED[name], PretrainRecipe)
    tensors, shipped = load_weights(gpu_run.SHIPPED / f"{name}.safetensors")
    network = trained_architecture(recipe.model.objective)
    built = network.build(network.config(recipe.model.size, recipe.model.config)).state_dict()
    assert (network.name, recipe.licence) == (shipped.architecture, shipped.licence)
    assert {key: value.shape for key, value in built.items()} == {key: value.shape for key, value in tensors.items()}
    assert any(source.pinhole_share > 0 for source in recipe.data), "parallax, and not only planes"
    assert recipe.curriculum.bounds()[1].moved > 0, "and things that moved"
    assert recipe.small_checkpoints and recipe.checkpoint_minutes <= 1.5


def test_once_half_of_the_minutes_are_gone_only_training_begins(session, monkeypatch):
    session.found, session.is_late, session.options.parts = {}, True, ("rates", "training")
    seen = []
    monkeypatch.setattr(gpu_training, "pretrain", lambda options, talk, maker: seen.append(options.load()))
    monkeypatch.setattr(gpu_training, "document", lambda outcome: {"steps": 7})
    gpu_run.attempt(session, "rates", lambda session: "done")
    gpu_run.attempt(session, "training", gpu_training.training)
    assert session.found["rates"] == gpu_run.LEFT_OUT and session.found["training"] == {"steps": 7}
    assert seen[0].stages == session.recipe.stages, "nothing to scale them by"
