"""Whole adaptations with a tiny network: they help, they go on, they refuse."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
from itertools import cycle

import numpy as np
import pytest
import torch
from made_pairs import write_pair, write_pairs, write_tiny

from xmatch.adaptation.adapt import adapt
from xmatch.adaptation.collect import PairRequest, collect
from xmatch.adaptation.document import document, reason, write_reports
from xmatch.adaptation.guard import Guard
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.pseudo import NONE, SCHEMES
from xmatch.adaptation.recipe import AdaptOptimiser, AdaptRecipe, GuardSpec, Scheme, ThresholdKind, ThresholdSpec
from xmatch.adaptation.thresholds import THRESHOLDS
from xmatch.errors import ExitCode, InputError, ModelError, OutputError, UsageError, XmatchError
from xmatch.io.weights.files import load_weights, save_weights
from xmatch.networks.registry import ARCHITECTURES
from xmatch.report.numbers import number
from xmatch.training.loop import Reporter
from xmatch.training.state import load_newest

SMALL_MOTION = {"max_angle_deg": 4.0, "max_scale": 1.05, "max_shift": 0.03, "shear": 0.0, "perspective": 0.02}
RECIPE = AdaptRecipe(
    steps=6,
    batch=2,
    size=64,
    view_px=72,
    pose="centre",
    augment=SMALL_MOTION,
    guard=GuardSpec(every=3, views=1, verdicts=False),
    log_every=2,
)
FAST = AdaptOptimiser(lr=3e-3, encoder_lr=3e-3)


@pytest.fixture
def options(tmp_path):
    """Options of a run in tmp_path/<name>: 4 labelled pairs of 7 are known, 3 are drawn."""
    pairs = write_pairs(tmp_path / "pairs", 7, 4)
    weights = write_tiny(tmp_path / "tiny.safetensors")

    def make(name: str = "out", labelled=3, recipe: AdaptRecipe = RECIPE, **more) -> AdaptOptions:
        more = {"weights": str(weights), "device": "cpu", "threads": 1, **more}
        return AdaptOptions(
            request=PairRequest(labelled, pairs), output=tmp_path / f"{name}.safetensors", recipe=recipe, **more
        )

    return make


def changed(**more) -> AdaptRecipe:
    return dataclasses.replace(RECIPE, **more)


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def state(folder) -> dict:
    return load_newest(folder, print)[0]


def test_on_an_easy_shift_of_sensor_the_held_out_error_falls(options, tmp_path):
    recipe = changed(
        steps=40, batch=4, optimiser=FAST, batch_norm="trained", guard=GuardSpec(every=10, views=4, verdicts=False)
    )
    adapted = adapt(options(recipe=recipe))
    assert adapted.exit_code == ExitCode.OK and adapted.better
    assert adapted.best["epe_px"] < 0.6 * adapted.before["epe_px"]
    assert adapted.best["score"] > adapted.before["score"] + 10
    tensors, metadata = load_weights(tmp_path / "out.safetensors")
    assert metadata.architecture == "xmatch" and metadata.licence == "Apache-2.0"
    assert metadata.step == adapted.best["step"] and metadata.numbers["better"] is True
    assert metadata.sources == [{"file": "tiny.safetensors", "sha256": adapted.base.sha256}]
    # What was kept is what scored best, not what came last.
    best = max(rows(tmp_path / "out.run" / "validation.csv"), key=lambda row: float(row["score"]))
    assert int(best["step"]) == adapted.best["step"]
    assert torch.equal(tensors["refiners.4.out.bias"], state(tmp_path / "out.run")["parts"]["guard"]["weights"][
        "refiners.4.out.bias"].half())  # fmt: skip


def test_an_interrupted_adaptation_is_the_uninterrupted_one_to_the_bit(options, tmp_path):
    """Threshold, optimiser, guard and best weights too; a teacher that is an average has most to remember."""
    guard = GuardSpec(every=2, views=1, verdicts=False)
    recipe = changed(steps=4, guard=guard, pseudo="pl-ema-f", threshold=ThresholdSpec(momentum=0.5))
    whole = adapt(options("whole", recipe=recipe))
    for _ in range(4):
        part = adapt(options("parts", recipe=recipe, max_minutes=0, overwrite=True))
    assert part.outcome.step == 4 and part.best == whole.best and part.before == whole.before
    one, other = (state(tmp_path / f"{name}.run") for name in ("whole", "parts"))
    for name, value in one["model"].items():
        assert torch.equal(value, other["model"][name]), name
    assert one["parts"]["confidence"] == other["parts"]["confidence"] != {"matching": 0.5, "sure": 0.5}
    assert one["optimiser"]["param_groups"] == other["optimiser"]["param_groups"]
    kept = [{k: v for k, v in row.items() if not k.endswith(("_share", "minutes", "_second"))}
            for row in rows(tmp_path / "parts.run" / "history.csv")]  # fmt: skip
    assert [row["step"] for row in kept] == ["2", "4"]
    assert (tmp_path / "whole.safetensors").exists() == (tmp_path / "parts.safetensors").exists()


def test_the_curve_of_a_run_that_time_ended_shows_what_was_judged(options, tmp_path):
    chosen = options(max_minutes=0)
    adapted = adapt(chosen)
    assert adapted.outcome.stopped == "time" and adapted.outcome.step == adapted.best["step"] == 1
    measured = rows(tmp_path / "out.run" / "validation.csv")
    assert [(row["step"], float(row["score"])) for row in measured] == [("1", adapted.best["score"])]
    page, _ = write_reports(adapted, chosen, document(adapted, chosen))
    assert f": {number(adapted.best['score'])}</title>" in page.read_text(), "the last value stands by its curve"


def test_when_it_is_worse_nothing_is_replaced_and_both_are_kept(options, tmp_path):
    wild = AdaptOptimiser(lr=0.1, encoder_lr=0.1)
    ruinous = changed(optimiser=wild, guard=GuardSpec(every=6, views=2, verdicts=False, gain=50.0))
    before = (tmp_path / "tiny.safetensors").read_bytes()
    (tmp_path / "out.safetensors").write_bytes(b"older weights")
    adapted = adapt(options(recipe=ruinous, overwrite=True))
    assert adapted.exit_code == ExitCode.UNTRUSTED and adapted.better is False
    assert (tmp_path / "out.safetensors").read_bytes() == b"older weights"
    assert (tmp_path / "tiny.safetensors").read_bytes() == before
    assert adapted.weights == tmp_path / "out.not-better.safetensors" and adapted.weights.exists()
    told = document(adapted, options(recipe=ruinous))
    assert told["ok"] is False and told["exit_code"] == 4 and "score" in told["reason"]


@pytest.mark.parametrize(("scheme", "threshold"), [*zip(SCHEMES, cycle(THRESHOLDS)), (NONE, "adaptive")])
def test_every_switch_runs_and_moves_the_weights(options, tmp_path, scheme, threshold):
    guard = GuardSpec(every=9, views=1, verdicts=False)
    recipe = changed(steps=2, pseudo=scheme, threshold=ThresholdSpec(threshold), guard=guard)
    adapted = adapt(options(recipe=recipe))
    start, end = load_weights(tmp_path / "tiny.safetensors")[0], state(tmp_path / "out.run")["model"]
    assert not all(torch.equal(value.float(), end[name].float()) for name, value in start.items())
    history = rows(tmp_path / "out.run" / "history.csv")
    assert ("tau" in history[0]) == (scheme != NONE)
    assert adapted.outcome.stopped == "done"


def test_normalisations_keep_their_statistics_unless_told_otherwise(options, tmp_path):
    start = load_weights(tmp_path / "tiny.safetensors")[0]
    name = next(name for name in start if name.endswith("running_mean"))
    adapt(options("frozen", recipe=changed(steps=2)))
    adapt(options("trained", recipe=changed(steps=2, batch_norm="trained")))
    frozen, trained = (state(tmp_path / f"{run}.run")["model"][name] for run in ("frozen", "trained"))
    assert torch.equal(frozen, start[name]) and not torch.equal(trained, start[name])


def test_encoder_and_decoder_have_their_own_learning_rates(options, tmp_path):
    recipe = changed(steps=2, optimiser=AdaptOptimiser(lr=1e-3, encoder_lr=1e-12, weight_decay=0.0))
    adapt(options(recipe=recipe))
    start, end = load_weights(tmp_path / "tiny.safetensors")[0], state(tmp_path / "out.run")["model"]
    moved = {
        part: max(float((end[n] - start[n]).abs().max()) for n in start if n.startswith(part) and start[n].ndim > 1)
        for part in ("encoder.", "attention.")
    }
    assert moved["encoder."] < 1e-9 < 1e-4 < moved["attention."]
    history = rows(tmp_path / "out.run" / "history.csv")
    assert float(history[0]["learning_rate"]) == 1e-3 and float(history[0]["encoder_learning_rate"]) == 1e-12


def test_without_labels_agreement_with_itself_is_the_evidence(options, tmp_path):
    adapted = adapt(options(labelled=0))
    assert not adapted.collected.labelled and adapted.collected.held_unlabelled
    assert adapted.before["modalities"] == "held out, unlabelled" and 0 <= adapted.before["score"] <= 100
    told = {row["modalities"] for row in rows(tmp_path / "out.run" / "validation.csv")}
    assert told <= {"held out, unlabelled", "held out, truth known"}


def test_the_truth_of_unlabelled_pairs_is_not_learned_from(options, tmp_path, monkeypatch):
    """The same run with the unlabelled pairs' truths gone gives the same weights."""
    recipe = changed(steps=3)
    adapt(options("known", labelled=0, recipe=recipe))
    manifest = tmp_path / "pairs" / "pairs.jsonl"
    bare = [{k: v for k, v in json.loads(line).items() if k in ("fixed", "moving")}
            for line in manifest.read_text().splitlines()]  # fmt: skip
    manifest.write_text("\n".join(map(json.dumps, bare)))
    adapt(options("unknown", labelled=0, recipe=recipe))
    one, other = (state(tmp_path / f"{name}.run")["model"] for name in ("known", "unknown"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_fewer_trusted_registrations_stand_in_the_way(options, tmp_path, monkeypatch):
    counts = iter([3, 1])
    monkeypatch.setattr("xmatch.adaptation.adapt.accepted", lambda *args, **more: next(counts))
    monkeypatch.setattr(Guard, "better", True)
    recipe = changed(steps=2, guard=GuardSpec(every=2, views=1, verdicts=True))
    adapted = adapt(options(labelled=2, recipe=recipe))
    assert adapted.verdicts == {"before": 3, "after": 1, "of": 1} and adapted.better is False
    assert "1 instead of 3 of 1 registrations are trusted" in reason(adapted)


def test_another_recipe_or_other_weights_or_pairs_are_refused_in_the_same_folder(options, tmp_path):
    adapt(options(max_minutes=0))
    with pytest.raises(UsageError, match="another recipe"):
        adapt(options(recipe=changed(seed=9), overwrite=True))
    with pytest.raises(UsageError, match="other pairs"):
        adapt(options(labelled=4, overwrite=True))
    other = write_tiny(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(UsageError, match="other weights"):
        adapt(options(weights=str(other), overwrite=True))
    shorter = changed(steps=2)
    assert adapt(options(weights=str(other), recipe=shorter, overwrite=True, resume=False)).outcome.step == 2


def test_outputs_that_exist_are_refused_before_any_work(options, tmp_path):
    (tmp_path / "out.report.html").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        adapt(options())
    assert not (tmp_path / "out.run").exists() and (tmp_path / "out.report.html").read_text() == "mine"
    with pytest.raises(UsageError, match="does not end in"):
        adapt(dataclasses.replace(options(), output=tmp_path / "weights.pt"))
    with pytest.raises(OutputError, match="also an input"):
        adapt(dataclasses.replace(options(), output=tmp_path / "tiny.safetensors", overwrite=True))


def test_weights_of_another_architecture_are_refused(options, tmp_path):
    entry = ARCHITECTURES["disk"]
    torch.save(entry.build(entry.config(None, {})).state_dict(), tmp_path / "disk.pth")
    with pytest.raises(ModelError, match="of disk; adapted can be xmatch"):
        adapt(options(weights=str(tmp_path / "disk.pth")))


def test_weights_that_do_not_fit_their_own_config_are_refused(options, tmp_path):
    tensors, metadata = load_weights(tmp_path / "tiny.safetensors")
    odd = tmp_path / "odd.safetensors"
    save_weights(odd, {**tensors, "more.weight": torch.zeros(1)}, metadata)
    with pytest.raises(ModelError, match="1 not expected: more.weight"):
        adapt(options(weights=str(odd)))
    config = {**metadata.config, "heads": 7}
    save_weights(odd, tensors, dataclasses.replace(metadata, config=config), overwrite=True)
    with pytest.raises(ModelError, match="configuration cannot be used"):
        adapt(options(weights=str(odd)))
    assert not (tmp_path / "out.run").exists()


def test_a_signal_during_the_search_ends_it_and_keeps_what_was_found(options, tmp_path, monkeypatch):
    def signalled(pairs, matcher, folder, **more):
        (folder / "poses.json").write_text("{}")
        os.kill(os.getpid(), signal.SIGTERM)
        return [], []

    monkeypatch.setattr("xmatch.adaptation.material.pose_pairs", signalled)
    with pytest.raises(XmatchError, match="interrupted") as caught:
        adapt(options())
    assert caught.value.exit_code == ExitCode.TERMINATED and caught.value.code == "interrupted"
    assert (tmp_path / "out.run" / "poses.json").exists() and not list(tmp_path.glob("out.*safetensors"))


def test_a_loss_that_is_not_finite_ends_with_the_last_good_checkpoint_kept(options, tmp_path, monkeypatch):
    adapt(options(max_minutes=0))
    from xmatch.adaptation.objective import FewShot

    def sick(self, model, batch, *, finest=1):
        return {"total": sum(p.sum() for p in model.parameters()) * float("nan")}

    monkeypatch.setattr(FewShot, "step", sick)
    with pytest.raises(ModelError, match="not finite"):
        adapt(options(overwrite=True))
    assert state(tmp_path / "out.run")["step"] == 1


def test_an_unreadable_pair_among_many_is_passed_over_and_named(options, tmp_path):
    told = []
    damaged = tmp_path / "pairs" / "05_moving.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    adapted = adapt(options(), Reporter(warn=told.append))
    assert any("pairs.jsonl row 6" in line for line in told)
    assert [row.where for row in adapted.collected.unusable] == ["pairs.jsonl row 6"]


def test_evidence_is_held_out_of_labelled_pairs_only_where_there_are_more_than_two(tmp_path):
    pairs = write_pairs(tmp_path, 13, 6)
    guard = GuardSpec(labelled=2, unlabelled=8)
    many, few = (collect(PairRequest(n, pairs), guard, seed=0) for n in (5, 2))
    assert (len(many.labelled), len(many.held_labelled), len(many.held_unlabelled)) == (3, 2, 0)
    assert (len(few.labelled), len(few.held_labelled), len(few.held_unlabelled)) == (2, 0, 2)
    groups = [{p.key for p in group} for group in (few.labelled, few.unlabelled, few.held_unlabelled)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 13


def test_with_nothing_to_judge_by_it_does_not_begin(tmp_path):
    write_pairs(tmp_path, 2, 2)
    with pytest.raises(InputError, match="none is left to judge"):
        collect(PairRequest(2, tmp_path), GuardSpec(), 0)
    with pytest.raises(UsageError, match="no pairs are named"):
        collect(PairRequest(2), GuardSpec(), 0)


def test_labelled_and_unlabelled_folders_may_differ(tmp_path):
    few = write_pairs(tmp_path / "few", 3, 3)
    for place in range(4, 9):
        write_pair(tmp_path / "many", place)
    found = collect(PairRequest(2, few, (tmp_path / "many",)), GuardSpec(), 0)
    assert {p.fixed.parent.name for p in found.labelled} == {"few"}
    assert len(found.unlabelled) + len(found.held_unlabelled) == 6
    named = collect(PairRequest(few, None, (tmp_path / "many",)), GuardSpec(), 0)
    assert len(named.labelled) + len(named.held_labelled) == 3 and len(named.unlabelled) == 5


def test_nothing_to_learn_from_is_refused(options):
    with pytest.raises(UsageError, match="nothing to learn"):
        adapt(options(labelled=0, recipe=changed(pseudo="none")))


def test_words_of_recipes_are_those_of_the_code():
    from typing import get_args

    assert set(get_args(Scheme)) == {*SCHEMES, NONE} and set(get_args(ThresholdKind)) == set(THRESHOLDS)


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"size": 100},
        {"augment": {"twist": 1.0}},
        {"augment": {"elastic": 0.02}, "pseudo": "pl-t"},
        {"lora_rank": 2, "batch_norm": "trained"},
        {"lambda_ssl": -1.0},
        {"ema_decay": 1.0},
    ],
)
def test_recipes_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError):
        AdaptRecipe(**bad)


def test_the_recipes_that_come_along_are_read():
    from pathlib import Path

    from xmatch.recipe import load_recipe

    folder = Path(__file__).parents[2] / "recipes"
    names = ("adapt.yaml", "adapt-srif.yaml", "adapt-roma.yaml")
    ours, paper, roma = (load_recipe(folder / name, AdaptRecipe) for name in names)
    for recipe, network in ((ours, "xmatch"), (roma, "roma")):  # the file says what happens without one
        assert recipe == AdaptRecipe.from_defaults(ARCHITECTURES[network].adaptation)
    for recipe in (paper, roma):
        assert (recipe.steps, recipe.batch, recipe.size) == (12_500, 8, 448)
        assert (recipe.optimiser.encoder_lr, recipe.optimiser.lr) == (1e-4, 5e-6)
        assert recipe.lambda_sup == ours.lambda_sup == 0.01 and recipe.lambda_ssl == ours.lambda_ssl == 1e-4


def test_the_report_has_curves_and_pictures_and_the_json_says_the_same(options, tmp_path):
    chosen = options(labelled=2, recipe=changed(guard=GuardSpec(every=3, views=1, verdicts=False)))
    adapted = adapt(chosen)
    told = document(adapted, chosen, ["xmatch", "adapt"])
    page, data = write_reports(adapted, chosen, told)
    assert json.loads(data.read_text()) == json.loads(json.dumps(told))
    text = page.read_text()
    assert "Threshold and pseudo-labels" in text and text.count("data:image/jpeg") == 4 * len(adapted.overlays) > 0
    assert np.isfinite(adapted.before["score"])
