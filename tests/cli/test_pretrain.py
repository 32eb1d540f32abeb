"""`xmatch pretrain`, from the command line to the files."""

import json
import sys
from pathlib import Path

import pytest

from xmatch.errors import ExitCode
from xmatch.training.arguments import parser

RECIPE = """\
model:
  config: {channels: [8, 8, 16, 16], heads: 1, attention_layers: 1, blocks: [1, 1, 1, 1], coarse_channels: 16}
data: [{kind: shapes, names: [visible]}]
stages: [{steps: 2, size: 32, batch: 1}]
validation: {every: 0}
feed: inline
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("tiny.yaml")
    path.write_text(RECIPE)
    return path


def test_a_run_goes_into_a_folder_of_the_recipes_name_and_goes_on_there(cli, recipe):
    first = cli("pretrain", recipe, "--device", "cpu", "--threads", "1", "--max-minutes", "0", "--json", "-q")
    assert first.code == ExitCode.OK and first.err == ""
    assert (first.json["schema"], first.json["stopped"], first.json["step"]) == ("xmatch.pretrain/1", "time", 1)
    assert first.json["validation"] == {}
    second = cli("pretrain", recipe, "--device", "cpu", "--threads", "1")
    assert second.code == ExitCode.OK and second.out == ""
    assert "going on from runs/tiny/checkpoint-00000001" in second.err and "step 2/2  total" in second.err
    assert second.err.splitlines()[-1] == "done: step 2 of 2, runs/tiny/weights.safetensors"
    assert "\x1b" not in second.err


def test_a_dry_run_tells_the_plan_and_writes_nothing(cli, recipe):
    result = cli("pretrain", recipe, "--dry-run", "--device", "cpu")
    assert result.code == ExitCode.OK and "2 steps, 2 pairs" in result.out and "into runs/tiny" in result.out
    planned = cli("pretrain", recipe, "--dry-run", "--device", "cpu", "--json", "--seed", "3").json
    assert planned["parameters"] > 1000 and planned["batch"] == [1, 1, 32, 32]
    assert planned["recipe_sha256"] != cli("pretrain", recipe, "--dry-run", "--json").json["recipe_sha256"]
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("feed:", "fed:", "line 6: unknown key 'fed'"),
        ("heads: 1", "heads: 7", "model's config"),
        ("model:", "model:\n  objective: guess", "no objective 'guess'"),
        ("[visible]", "[invisible]", "'invisible'"),
        ("size: 32", "size: !!python/name:os.system", "tag"),
    ],
)
def test_a_wrong_recipe_is_two(cli, recipe, old, new, told):
    recipe.write_text(RECIPE.replace(old, new))
    result = cli("pretrain", recipe, "--json", "--device", "cpu")
    assert result.code == ExitCode.USAGE and told in result.json["error"]["message"]
    assert not Path("runs").exists()


def test_a_folder_of_images_that_is_missing_is_three(cli, recipe):
    recipe.write_text(RECIPE.replace("kind: shapes,", "kind: singles, folder: photos,"))
    result = cli("pretrain", recipe, "--json", "--device", "cpu", "--data", "elsewhere")
    assert result.code == ExitCode.INPUT and result.json["error"]["path"] == "elsewhere/photos"


def test_a_folder_that_cannot_be_made_is_five(cli, recipe):
    assert cli("pretrain", recipe, "-o", "tiny.yaml/run", "--device", "cpu").code == ExitCode.OUTPUT


def test_weights_that_are_none_are_six(cli, recipe):
    Path("bad.safetensors").write_bytes(b"")
    result = cli("pretrain", recipe, "--init", "bad.safetensors", "--json", "--device", "cpu")
    assert result.code == ExitCode.MODEL and result.json["error"]["path"] == "bad.safetensors"


def test_checkpoints_that_are_all_damaged_are_six(cli, recipe):
    cli("pretrain", recipe, "--max-minutes", "0", "-q", "--device", "cpu")
    (checkpoint,) = Path("runs/tiny").glob("checkpoint-*")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    result = cli("pretrain", recipe, "--device", "cpu")
    assert result.code == ExitCode.MODEL and "--no-resume" in result.err and "truncated" in result.err
    assert cli("pretrain", recipe, "--no-resume", "-q", "--device", "cpu").code == ExitCode.OK


def test_a_bar_on_a_terminal_takes_the_place_of_the_lines(cli, recipe, monkeypatch):
    monkeypatch.setattr("xmatch.cli.console._can_draw", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    result = cli("pretrain", recipe, "--device", "cpu")
    assert result.code == ExitCode.OK and "pairs/s" not in result.err
    assert "done: step 2 of 2" in result.err


def test_the_command_line_without_typer_has_the_same_options(recipe):
    import typer.main

    from xmatch.cli import app

    command = typer.main.get_command(app).commands["pretrain"]
    ours = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} - {"recipe"}
    theirs = {name for action in parser()._actions for name in action.option_strings}
    # Nothing there reaches the network.
    assert ours - theirs == {"-v", "--verbose", "--debug", "--offline"} and theirs - ours == {"-h", "--help"}
    given = parser().parse_args(["r.yaml", "--no-resume"])
    assert given.recipe == Path("r.yaml") and given.resume is False and given.device == "auto"


def test_without_typer_failures_are_told_alike(recipe, capsys):
    from xmatch.training.arguments import run

    assert run(["none.yaml", "--json"]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["path"] == "none.yaml" and captured.err.startswith("xmatch: none.yaml")
    assert run([str(recipe), "--dry-run", "--json", "--device", "cpu"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["steps"] == 2
