"""`xmatch eval`, from the command line to the files."""

import inspect
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import typer

from xmatch.cli.eval import eval_command
from xmatch.cli.recipes import recipe_class
from xmatch.cli.register import register_command
from xmatch.cli.runtime import run
from xmatch.correspondences import Correspondences
from xmatch.errors import ExitCode, InputError
from xmatch.evaluation import EvalRecipe
from xmatch.geometry import TRANSFORMS, translation
from xmatch.recipe import load_recipe
from xmatch.result import Registration, Verdict

RECIPES = Path(__file__).parents[2] / "recipes"
APP = typer.Typer()
APP.command("eval")(eval_command)


def stand_in(fixed, moving, options):
    """1 px off the truth, which is the identity; refuses images whose name says so."""
    if "refused" in moving.header.path:
        raise InputError("no valid pixels", path=moving.header.path)
    verdict = Verdict(accepted=True, probability=0.8, reason="as told")
    return Registration({}, {}, translation(1, 0), Correspondences.empty(), np.zeros(0, bool), np.zeros(0), verdict)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two pairs and a recipe, the current one; matchers are replaced."""
    import rasterio

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xmatch.registration.pipeline.register", stand_in)
    (tmp_path / "data" / "SAR").mkdir(parents=True)
    rows = []
    for name in ("a", "b"):
        with rasterio.open(f"data/SAR/{name}.png", "w", driver="PNG", width=16, height=12, count=1, dtype="uint8") as f:
            f.write(np.random.default_rng(ord(name)).integers(0, 255, (1, 12, 16), dtype=np.uint8))
        rows.append({"fixed": f"{name}.png", "moving": f"{name}.png", "moving_to_fixed": np.eye(3).tolist()})
    text = "".join(json.dumps({**row, "pixel_origin": "center"}) + "\n" for row in rows)
    (tmp_path / "data" / "SAR" / "pairs.jsonl").write_text(text)
    (tmp_path / "small.yaml").write_text("manifest: [data/*/pairs.jsonl]\nregister: {matcher: mi, seed: 7}\n")
    return tmp_path


def refuse_one(folder):
    (folder / "data" / "SAR" / "b.png").rename(folder / "data" / "SAR" / "refused.png")
    manifest = folder / "data" / "SAR" / "pairs.jsonl"
    manifest.write_text(manifest.read_text().replace("b.png", "refused.png"))


def test_the_results_file_holds_metrics_and_their_certificate(folder):
    assert run(APP, ["small.yaml"]) == ExitCode.OK
    results = json.loads((folder / "small.results.json").read_text())
    assert results["schema"] == "xmatch.evaluation/2" and results["ok"]
    assert results["matchers"]["mi"]["sets"]["SAR"]["median_error_px"] == pytest.approx(1)
    assert results["matchers"]["mi"]["sets"]["SAR"]["success"]["3"]["value"] == 100
    assert results["certificate"]["seed"] == 7 and results["recipe"]["register"]["matcher"] == "mi"
    (session,) = results["certificate"]["runs"]
    assert session["command"].split()[0] == "xmatch" and session["versions"]["numpy"] == np.__version__
    assert session["hardware"]["cores"] >= 1 and len(session["code_sha256"]) == 64
    assert (folder / "small.results.mi.predictions.jsonl").read_text().count('"id"') == 2


def test_json_goes_to_stdout_and_is_the_file(folder, capsys):
    assert run(APP, ["small.yaml", "-o", "out.json", "--json", "-q"]) == ExitCode.OK
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((folder / "out.json").read_text())
    assert captured.err == ""


def test_the_table_goes_to_stderr_without_control_codes(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    run(APP, ["small.yaml"])
    captured = capsys.readouterr()
    assert captured.out == "" and "results" in captured.err and "\x1b" not in captured.err


def test_a_failed_pair_makes_eight_and_the_rest_is_measured(folder):
    refuse_one(folder)
    assert run(APP, ["small.yaml"]) == ExitCode.BATCH
    results = json.loads((folder / "small.results.json").read_text())
    assert results["matchers"]["mi"]["n"] == {"related": 2, "unrelated": 0, "failed": 1}
    assert results["failures"][0]["code"] == "input" and results["failures"][0]["matcher"] == "mi"
    assert results["matchers"]["mi"]["sets"]["SAR"]["success"]["3"]["value"] == 50


def test_the_command_line_wins_over_the_recipe(folder):
    run(APP, ["small.yaml", "--matcher", "sift", "--transform", "affine", "--seed", "3", "--limit", "1"])
    results = json.loads((folder / "small.results.json").read_text())
    chosen = results["recipe"]["register"]
    assert (chosen["matcher"], chosen["transform"], chosen["seed"]) == ("sift", "affine", 3)
    assert results["matchers"]["sift"]["n"]["related"] == 1


def test_manifests_start_at_the_recipe_or_where_data_says(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    (folder / "small.yaml").rename(folder / "elsewhere" / "small.yaml")
    assert run(APP, ["elsewhere/small.yaml"]) == ExitCode.INPUT
    assert run(APP, ["elsewhere/small.yaml", "--data", "."]) == ExitCode.OK


def test_results_are_not_overwritten_unless_told(folder):
    (folder / "small.results.json").write_text("precious")
    assert run(APP, ["small.yaml"]) == ExitCode.OUTPUT
    assert (folder / "small.results.json").read_text() == "precious"
    assert not list(folder.glob("*.predictions.jsonl"))
    assert run(APP, ["small.yaml", "--overwrite"]) == ExitCode.OK
    assert json.loads((folder / "small.results.json").read_text())["ok"]


def test_pairs_on_a_gpu_are_under_way_at_once(folder, monkeypatch):
    """Those of matchers that compute together, and of these the results say so."""
    all_begun = threading.Barrier(2, timeout=10)

    def register(fixed, moving, options):
        if options.matcher == "structural":
            all_begun.wait()
        return stand_in(fixed, moving, options)

    monkeypatch.setattr("xmatch.registration.pipeline.register", register)
    assert run(APP, ["small.yaml", "--matchers", "structural,mi", "--device", "cpu:0"]) == ExitCode.OK
    saved = {name: Path(f"small.results.{name}.predictions.jsonl").read_text() for name in ("structural", "mi")}
    assert '"at_once": 16' in saved["structural"] and '"at_once"' not in saved["mi"]
    assert saved["structural"].count('"peak_memory_mib": null') == 2
    assert run(APP, ["small.yaml", "--device", "cpu:0", "--at-once", "2", "-j", "2"]) == ExitCode.USAGE
    assert run(APP, ["small.yaml", "--device", "cpu:0", "--at-once", "2", "--matchers", "mi,sift"]) == ExitCode.USAGE


def test_an_interrupted_run_leaves_predictions_and_goes_on(folder, monkeypatch):
    asked = []

    def interrupted(fixed, moving, options):
        asked.append(moving.header.path)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return stand_in(fixed, moving, options)

    monkeypatch.setattr("xmatch.registration.pipeline.register", interrupted)
    assert run(APP, ["small.yaml"]) == ExitCode.INTERRUPTED
    assert not (folder / "small.results.json").exists()
    assert run(APP, ["small.yaml"]) == ExitCode.OK and len(asked) == 3
    assert len(json.loads((folder / "small.results.json").read_text())["matchers"]["mi"]["pairs"]) == 2


def test_predictions_of_another_recipe_are_kept(folder):
    run(APP, ["small.yaml"])
    (folder / "small.results.json").unlink()
    before = (folder / "small.results.mi.predictions.jsonl").read_bytes()
    assert run(APP, ["small.yaml", "--transform", "affine"]) == ExitCode.OUTPUT
    assert (folder / "small.results.mi.predictions.jsonl").read_bytes() == before


@pytest.mark.parametrize("line", ["matchr: mi", "manifest: 3", "limit: .nan", "register: {seed: x}", "right_px: 50"])
def test_a_wrong_recipe_is_two_and_writes_nothing(folder, line, capsys):
    (folder / "wrong.yaml").write_text(f"manifest: [x]\n{line}\n" if "manifest" not in line else line)
    assert run(APP, ["wrong.yaml", "--json"]) == ExitCode.USAGE
    failure = json.loads(capsys.readouterr().out)
    assert failure["error"]["code"] == "usage" and "line" in failure["error"]["message"]
    assert not list(folder.glob("wrong.results*"))


def test_an_unknown_transform_is_two(folder):
    assert run(APP, ["small.yaml", "--transform", "wobble"]) == ExitCode.USAGE


def test_the_recipes_that_come_along_can_be_read():
    paths = sorted(RECIPES.glob("eval-*.yaml"))
    assert len(paths) >= 5
    for path in paths:
        assert load_recipe(path, EvalRecipe).register.transform in ("auto", *TRANSFORMS)


def test_the_example_for_register_names_its_options_and_their_defaults():
    recipe = load_recipe(RECIPES / "register.yaml", recipe_class(register_command))
    written = {key: value for key, value in vars(recipe).items() if value is not None}
    defaults = {name: p.default for name, p in inspect.signature(register_command).parameters.items()}
    assert written and written == {key: defaults[key] for key in written}
