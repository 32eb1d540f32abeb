"""The scripts that measure adaptations: their pairs are what their manifests say, and their sums are sums."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_pairs import scene

from xmatch.adaptation.pairs import find_pairs
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.coords import to_centre_matrix
from xmatch.networks.registry import ARCHITECTURES
from xmatch.recipe import load_recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import adapt_aligned
    import adapt_tables

    yield adapt_tables, adapt_aligned
    for name in ("adapt_tables", "adapt_aligned", "adapt_measure"):
        sys.modules.pop(name)


def test_pairs_brought_out_of_line_come_back_by_their_truth(scripts, tmp_path):
    source = tmp_path / "aligned"
    source.mkdir()
    for number in range(10):
        for side in "ab":
            cv2.imwrite(str(source / f"p{number}_{side}.jpg"), cv2.GaussianBlur(scene(number, 96), (0, 0), 2))
    _, aligned = scripts
    train, val = aligned.write_pairs(source, tmp_path / "out")
    assert [len(find_pairs(part).labelled) for part in (train, val)] == [6, 3]
    for pair in find_pairs(train).labelled:
        fixed, moving = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (pair.fixed, pair.moving))
        matrix = to_centre_matrix(pair.truth.matrix)[:2]
        back = cv2.warpAffine(moving, matrix, (96, 96))
        seen = cv2.warpAffine(np.full((96, 96), 255, np.uint8), matrix, (96, 96)) == 255
        seen &= back > 0
        assert seen.mean() > 0.4 and np.abs(back[seen].astype(float) - fixed[seen]).mean() < 8


@pytest.mark.parametrize(("weights", "own"), [("xmatch-fields", "xmatch-fields"), ("xmatch-small", "xmatch")])
def test_a_switch_changes_the_networks_recipe_and_nothing_else(scripts, weights, own, tmp_path):
    own = AdaptRecipe.from_defaults(ARCHITECTURES[own].adaptation)
    tables, _ = scripts
    args = argparse.Namespace(recipe=None, weights=weights)
    read = {name: tables.changed(args, switch) for name, switch in tables.SWITCHES.items()}
    assert {**read["sft"], "pseudo": own.pseudo, "trust_verdicts": own.trust_verdicts} == {
        **own.as_dict(), "ema_decay": read["sft"]["ema_decay"]}  # fmt: skip
    if weights == "xmatch-small":
        paper = {"trust_verdicts": False}
        assert read["pl-f"] == {**own.as_dict(), **paper, "ema_decay": read["pl-f"]["ema_decay"]}
        assert read["fixed"]["threshold"] == {**own.as_dict()["threshold"], "kind": "fixed"}
        for values in read.values():
            (tmp_path / "r.json").write_text(json.dumps(values))
            load_recipe(tmp_path / "r.json", AdaptRecipe)


def test_tables_have_the_mean_and_the_range_of_the_draws(scripts, tmp_path):
    tables, _ = scripts
    for draw, error in enumerate([0.0, 5.0]):
        job = {"form": "crop", "set": "S", "shots": 2, "draw": draw, "switch": "pl-f"}
        result = {"job": job, "own": [None], "registered": [error], "adapted": {"better": bool(draw), "minutes": 3}}
        (tmp_path / f"{draw}.json").write_text(json.dumps(result))
    alone = {"job": {**job, "draw": 2}, "own": [None], "adapted": {"better": True, "minutes": 3}}
    (tmp_path / "2.json").write_text(json.dumps(alone))  # measured with --own
    (row,) = tables.summary(tmp_path)
    assert row["draws"] == 3 and row["refused"] == 1 and "own_auc" not in row
    told = row["registered_auc"]["10"]  # recall is a line between errors: 5 px of 10 cost a quarter
    assert [told[name] for name in ("mean", "least", "most")] == pytest.approx([87.5, 75, 100])


def test_every_result_that_comes_along_has_a_certificate():
    """What the oldest ones lack, they say; nothing is left out."""
    wanted = {"command", "time", "commit", "code_sha256", "versions", "hardware", "jobs", "threads"}
    results = [json.loads(path.read_text()) for path in sorted((BENCHMARKS / "adaptation").glob("*.json"))]
    assert results
    for result in results:
        proof = result["certificate"]
        assert {"data_sha256", "weights_sha256", "seed", "runs"} <= set(proof) and result["schema"].endswith("/1")
        assert all(set(run) == wanted and all(run.values()) for run in proof["runs"])


def test_a_certificate_names_data_and_weights_by_checksum(scripts, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("{}")
    from adapt_measure import born

    first = born([tmp_path], "xmatch-fields", seeds=[3], threads=1)
    (tmp_path / "pairs.jsonl").write_text("{ }")
    second = born([tmp_path], "xmatch-small", seeds=[3], threads=1)
    assert first["data_sha256"] != second["data_sha256"] and first["weights_sha256"] != second["weights_sha256"]
    assert first["seed"] == [3] and {"command", "commit", "code_sha256"} <= set(first["runs"][0])


def test_what_is_adapted_already_is_only_measured(scripts, tmp_path, monkeypatch):
    tables, _ = scripts
    job = tables.Job("crop", "S", 2, 0, "pl-f")
    report = tmp_path / "weights" / f"{job.name}.report.json"
    report.parent.mkdir()
    report.write_text(json.dumps({"output": "adapted.safetensors", "better": True}))
    asked = []
    monkeypatch.setattr(tables, "measured", lambda weights, folder, **how: asked.append(weights) or {"own": [1.0]})
    args = argparse.Namespace(data=tmp_path, output=tmp_path, device="cpu", threads=1, limit=None, own=True)
    result = tables.run(job, args)  # there are no pairs that anything could be adapted to
    assert asked == ["adapted.safetensors"] and result["own"] == [1.0] and result["adapted"]["better"]
    report.write_text(json.dumps({"output": None, "better": None}))
    monkeypatch.setattr(tables, "adapted", lambda *_: {"output": "gone-on.safetensors"})
    tables.run(job, args)
    assert asked[1:] == ["gone-on.safetensors"]  # one that was stopped is no result
