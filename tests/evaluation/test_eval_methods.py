"""Several matchers, peers and controls on the same pairs: who is asked, what is saved, and what failures cost."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from xmatch.cli.runtime import run
from xmatch.errors import ExitCode, OutputError, UsageError
from xmatch.evaluation import (
    EvalRecipe,
    MatcherSpec,
    methods,
    plan,
    predict,
    read_predictions,
    results_document,
    summarise,
)
from xmatch.evaluation.plan import Task
from xmatch.evaluation.predict import for_method, recipe_digest, refuse_unsupported
from xmatch.matchers.registry import MATCHERS

SHIFT = (6.0, 4.0)


@pytest.fixture
def folder(tmp_path):
    """Two pairs, moving being a part of fixed that starts at SHIFT."""
    rows = []
    for name in ("a", "b"):
        rng = np.random.default_rng(ord(name))
        fixed = cv2.resize(rng.integers(30, 255, (12, 15), dtype=np.uint8), (90, 72), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f"{name}_fixed.png"), fixed)
        cv2.imwrite(str(tmp_path / f"{name}_moving.png"), fixed[int(SHIFT[1]) :, int(SHIFT[0]) :])
        matrix = [[1, 0, SHIFT[0]], [0, 1, SHIFT[1]], [0, 0, 1]]
        rows.append({"fixed": f"{name}_fixed.png", "moving": f"{name}_moving.png", "moving_to_fixed": matrix})
    text = "".join(json.dumps({**row, "pixel_origin": "corner"}) + "\n" for row in rows)
    (tmp_path / "pairs.jsonl").write_text(text)
    return tmp_path


def recipe_of(*matchers, **more):
    return EvalRecipe(manifest=("pairs.jsonl",), matchers=matchers, **more)


def measured(recipe, folder):
    """The results of every method of a recipe, by its name."""
    tasks, found = plan(recipe, folder), {}
    for method in refuse_unsupported(tasks, methods(recipe)):
        path = found[method] = folder / f"{method.file_name}.jsonl"
        predict(tasks, recipe, path, certificate={}, data_sha256="d", method=method)
    return results_document(found, recipe)


def test_controls_join_after_what_was_asked_and_no_name_comes_twice():
    controls = ["centre", "border-fit", "landmark-affine", "truth"]
    assert [m.name for m in methods(recipe_of("mi", "identity"))] == ["mi", "identity", *controls]
    assert [m.name for m in methods(recipe_of("mi", controls=False))] == ["mi"]
    assert [(m.name, m.kind) for m in methods(recipe_of())][0] == ("auto", "matcher")


def test_a_name_is_a_matcher_before_it_is_a_peer_unless_marked():
    own, peer = methods(recipe_of("sift", "peer:sift", controls=False))
    assert (own.kind, own.uses) == ("matcher", "sift") and (peer.kind, peer.uses) == ("peer", "sift")
    assert own.file_name != peer.file_name


@pytest.mark.parametrize(
    "matchers",
    [
        ("sitf",),
        ("peer:structural",),
        ("mi", "mi"),
        ("program",),
        (MatcherSpec("program", command="tool '{fixed} {moving} {output}"),),
        ("arosics",),
        (MatcherSpec("orb", transform="similarity", name="x"), MatcherSpec("akaze", name="x")),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(matchers):
    with pytest.raises(UsageError):
        methods(recipe_of(*matchers))


def test_truth_scores_full_and_identity_is_as_far_off_as_the_shift(folder):
    results = measured(recipe_of("peer:orb"), folder)
    assert list(results["matchers"]) == ["peer:orb", "identity", "centre", "border-fit", "truth"]
    sets = {name: part["mean"] for name, part in results["matchers"].items()}
    assert sets["truth"]["auc"]["3"]["value"] == pytest.approx(100) and sets["truth"]["n"] == 2
    assert sets["identity"]["median_error_px"] == pytest.approx(np.hypot(*SHIFT))
    assert sets["peer:orb"]["seconds_per_pair"] > 0 and sets["peer:orb"]["peak_memory_mib"] > 1


def test_an_answer_without_a_transform_is_no_failure_but_infinitely_wrong(folder):
    """The images have no black border, and border-fit says so."""
    results = measured(recipe_of("identity"), folder)
    border = results["matchers"]["border-fit"]
    assert results["ok"] and border["n"]["failed"] == 0 and border["mean"]["median_error_px"] is None
    _, _, rows = read_predictions(folder / "border-fit.jsonl")
    assert "border" in rows[0]["verdict"]["reason"] and not rows[0]["verdict"]["accepted"]


@pytest.mark.parametrize(
    ("body", "timeout_s", "reason"),
    [("import sys; sys.exit('out of luck')", 300.0, "out of luck"), ("import time; time.sleep(60)", 3.0, "after 3 s")],
    ids=["crash", "hang"],
)
def test_a_program_that_crashes_or_hangs_is_a_row_with_its_reason(folder, body, timeout_s, reason):
    command = f"'{sys.executable}' -S -c \"{body}\" {{fixed}} {{moving}} {{output}}"
    spec = MatcherSpec("program", "mine", command=command)
    recipe = recipe_of(spec, "identity", controls=False, peer_timeout_s=timeout_s, limit=1)
    results = measured(recipe, folder)
    (failure,) = results["failures"]
    assert not results["ok"] and failure["matcher"] == "mine" and reason in failure["message"]
    assert results["matchers"]["identity"]["ok"] and str(folder) not in json.dumps(results["failures"])


def test_a_peer_that_does_not_say_how_sure_it_is_has_rates_but_no_curves(folder):
    verdict = measured(recipe_of("centre", controls=False), folder)["matchers"]["centre"]["verdict"]
    assert verdict["roc"] is None and verdict["reliability"] is None and verdict["risk_coverage"] is None
    assert verdict["right_accepted"]["n"] + verdict["wrong_accepted"]["n"] <= 2


def test_strangers_are_shown_to_peers_but_not_to_controls(folder):
    recipe = recipe_of("orb", unrelated=True)
    tasks = plan(recipe, folder)
    by_name = {method.name: len(for_method(tasks, method)) for method in methods(recipe)}
    assert by_name == {"orb": 4, "identity": 2, "centre": 2, "border-fit": 2, "landmark-affine": 0, "truth": 2}


def test_a_matcher_may_join_later_without_the_others_running_again():
    alone, joined = recipe_of("structural"), recipe_of("mi", "structural", controls=False)
    digests = [recipe_digest(r, next(m for m in methods(r) if m.name == "structural")) for r in (alone, joined)]
    assert digests[0] == digests[1]
    other = methods(recipe_of("mi"))[0]
    assert recipe_digest(alone, other) != digests[0]


def test_weights_that_changed_are_not_mixed(folder, monkeypatch):
    matcher = SimpleNamespace(name="weighty", wants_colour=False)
    monkeypatch.setitem(MATCHERS, "weighty", lambda *built_from: matcher)
    weights = folder / "w.bin"
    weights.write_bytes(b"one")
    recipe = recipe_of(MatcherSpec("weighty", weights=str(weights)), controls=False)
    tasks = plan(recipe, folder)
    predict([], recipe, folder / "p.jsonl", certificate={}, data_sha256="d")
    weights.write_bytes(b"two")
    with pytest.raises(OutputError, match="other weights"):
        predict(tasks, recipe, folder / "p.jsonl", certificate={}, data_sha256="d")


def test_peers_are_refused_for_poses_and_controls_stay_away():
    task = Task("x", "s", "a", "b", truth={}, kind="pose")
    with pytest.raises(UsageError, match="akaze"):
        refuse_unsupported([task], methods(recipe_of("structural", "akaze")))
    assert [m.name for m in refuse_unsupported([task], methods(recipe_of("structural")))] == ["structural"]


def test_a_summary_is_the_same_however_often_it_is_computed(folder):
    recipe = recipe_of("centre", controls=False)
    measured(recipe, folder)
    assert summarise(folder / "centre.jsonl", recipe) == summarise(folder / "centre.jsonl", recipe)


@pytest.fixture
def eval_cli(folder, monkeypatch):
    """Runs `xmatch eval` on the folder's pairs."""
    from xmatch.cli import app

    monkeypatch.chdir(folder)
    (folder / "r.yaml").write_text("manifest: [pairs.jsonl]\nmatchers: [centre]\n")
    return lambda *words: run(app, ["eval", "r.yaml", "-q", *words])


def test_the_command_line_names_matchers_and_leaves_controls_out(eval_cli, folder):
    assert eval_cli("--matchers", "identity, centre", "--no-controls") == ExitCode.OK
    results = json.loads((folder / "r.results.json").read_text())
    assert list(results["matchers"]) == ["identity", "centre"]
    assert {path.name for path in folder.glob("*.predictions.jsonl")} == {
        "r.results.identity.predictions.jsonl",
        "r.results.centre.predictions.jsonl",
    }


def test_a_name_that_the_recipe_describes_means_what_is_described(eval_cli, folder):
    answer = "import json, sys; json.dump([[1, 0, 6], [0, 1, 4], [0, 0, 1]], open(sys.argv[1], 'w'))"
    (folder / "answer.py").write_text(answer)
    command = f"{sys.executable} {folder}/answer.py {{output}} {{fixed}} {{moving}}"
    ours = f"{{matcher: program, name: ours, command: '{command}'}}"
    (folder / "r.yaml").write_text(f"manifest: [pairs.jsonl]\nmatchers: [mi, {ours}]\n")
    assert eval_cli("--matchers", "ours", "--no-controls") == ExitCode.OK
    results = json.loads((folder / "r.results.json").read_text())
    assert list(results["matchers"]) == ["ours"]
    assert results["matchers"]["ours"]["sets"]["pairs"]["success"]["3"]["value"] == 100


def test_an_unknown_name_is_two_and_nothing_has_run(eval_cli, folder):
    assert eval_cli("--matchers", "identity,sitf") == ExitCode.USAGE
    assert eval_cli("--matchers", "identity", "--matcher", "centre") == ExitCode.USAGE
    assert not list(folder.glob("r.results*"))


def test_a_failing_program_makes_eight(eval_cli, folder):
    command = f"{sys.executable} -S -c 1/0 {{fixed}} {{moving}} {{output}}"
    (folder / "r.yaml").write_text(
        f"manifest: [pairs.jsonl]\nmatchers: [centre, {{matcher: program, name: broken, command: '{command}'}}]\n"
    )
    assert eval_cli("--limit", "1") == ExitCode.BATCH
    results = json.loads((folder / "r.results.json").read_text())
    assert [failure["matcher"] for failure in results["failures"]] == ["broken"]
    assert results["matchers"]["centre"]["n"]["failed"] == 0
