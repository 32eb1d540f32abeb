"""`xmatch adapt`, from the command line to the files."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.adaptation.made_pairs import write_pair, write_pairs, write_tiny
from xmatch.adaptation.objective import FewShot
from xmatch.cli.adapt import parse_labelled
from xmatch.errors import ExitCode, UsageError

RECIPE = """\
steps: 4
batch: 1
size: 64
view_px: 72
pose: centre
guard: {every: 2, views: 1, verdicts: false, gain: GAIN}
log_every: 2
"""
TINY = ("--weights", "tiny.safetensors", "--recipe", "adapt.yaml", "--device", "cpu", "--threads", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """pairs/ with five pairs, three of them labelled; tiny.safetensors; adapt.yaml, which any result satisfies."""
    monkeypatch.chdir(tmp_path)
    write_pairs(Path("pairs"), 5, 3)
    write_tiny(Path("tiny.safetensors"))
    Path("adapt.yaml").write_text(RECIPE.replace("GAIN", "0"))
    return tmp_path


@pytest.fixture
def always_better(monkeypatch):
    from xmatch.adaptation.guard import Guard

    monkeypatch.setattr(Guard, "better", True)


def test_better_weights_are_written_with_a_report(cli, folder, always_better):
    result = cli("adapt", "pairs", "--labelled", "3", "-o", "mine.safetensors", *TINY, "--json")
    assert result.code == ExitCode.OK
    told = result.json
    assert (told["schema"], told["ok"], told["better"], told["step"]) == ("xmatch.adapt/1", True, True, 4)
    assert told["output"] == "mine.safetensors" and told["evidence"] == "held-out labelled pairs"
    assert len(told["pairs"]["labelled"]) == 2 and len(told["pairs"]["held_out"]) == 1
    names = {path.name for path in Path().iterdir()}
    assert {"mine.safetensors", "mine.report.html", "mine.report.json", "mine.run"} <= names
    assert json.loads(Path("mine.report.json").read_text())["best"] == told["best"]
    assert "\x1b" not in result.err and "better: Held-out labelled pairs score" in result.err
    assert cli("models", "info", "mine.safetensors").code == ExitCode.OK


def test_not_better_is_four_and_both_are_kept(cli, folder):
    Path("adapt.yaml").write_text(RECIPE.replace("GAIN", "100"))
    before = Path("tiny.safetensors").read_bytes()
    result = cli("adapt", "pairs", "--labelled", "3", *TINY, "--json")
    assert result.code == ExitCode.UNTRUSTED and result.json["better"] is False
    assert not Path("adapted.safetensors").exists() and Path("adapted.not-better.safetensors").exists()
    assert Path("tiny.safetensors").read_bytes() == before
    assert "Keep the weights that you had" in Path("adapted.report.html").read_text()


def test_the_folder_of_unlabelled_pairs_will_do_alone(cli, folder, always_better):
    result = cli("adapt", "--labelled", "2", "--unlabelled", "pairs", *TINY, "--json", "-q")
    assert result.code == ExitCode.OK and result.err == ""
    assert len(result.json["pairs"]["labelled"]) == 2 and result.json["evidence"] == "held-out unlabelled pairs"


def test_without_labels(cli, folder, always_better):
    result = cli("adapt", "--labelled", "0", "--unlabelled", "pairs", *TINY, "--json", "-q")
    assert result.code == ExitCode.OK and result.json["pairs"]["labelled"] == []


def test_tie_points_label_a_pair(cli, folder, always_better):
    for number in range(3):
        write_pair(Path("bare"), number)
    rows = ["fixed_x,fixed_y,moving_x,moving_y", *(f"{x},{y},{x},{y}" for x, y in ((5, 5), (60, 8), (10, 62)))]
    Path("00.csv").write_text("\n".join(rows))
    result = cli("adapt", "--labelled", "00.csv", "--unlabelled", "bare", *TINY, "--json", "-q")
    assert result.code == ExitCode.OK and result.json["pairs"]["labelled"] == ["00"]


def test_every_row_that_is_passed_over_is_in_the_result(cli, folder, always_better):
    with open("pairs/pairs.jsonl", "a") as file:
        file.write('{"fixed": "none.png", "moving": "00_moving.png"}\n')
        file.write('{"fixed": "00_fixed.png", "moving": "00_moving.png", "pixel_origin": "corner", ')
        file.write('"moving_to_fixed": [[1, 1, 0], [1, 1, 0], [0, 0, 1]]}\n')
    result = cli("adapt", "pairs", "--labelled", "3", *TINY, "--json")
    assert [row["where"] for row in result.json["skipped"]] == ["pairs.jsonl row 6", "pairs.jsonl row 7"]
    assert "none.png" in result.json["skipped"][0]["reason"] and "invertible" in result.json["skipped"][1]["reason"]
    assert "passed over: pairs.jsonl row 6" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("pairs", "--labelled", "4"), ExitCode.INPUT, "4 labelled pairs are asked for, 3 of 5"),
        (("nowhere",), ExitCode.INPUT, "no such folder"),
        (("empty",), ExitCode.INPUT, "no pairs here"),
        ((), ExitCode.USAGE, "no pairs are named"),
        (("pairs", "--labelled", "-1"), ExitCode.USAGE, "0 or more"),
        (("pairs", "--labelled", "some.csv"), ExitCode.USAGE, "neither a number nor a path"),
        (("pairs", "--labelled", "03_moving.csv"), ExitCode.INPUT, "one line"),
        (("pairs", "-o", "weights.pt"), ExitCode.USAGE, ".safetensors"),
        (("pairs", "-o", "empty.safetensors/out.safetensors"), ExitCode.OUTPUT, "cannot be made"),
        (("pairs", "--weights", "none.safetensors"), ExitCode.MODEL, "no such file"),
        (("pairs", "--weights", "empty.safetensors"), ExitCode.MODEL, "empty"),
        (("pairs", "--pattern", "x"), ExitCode.USAGE, "pattern"),
        (("pairs", "--device", "abacus"), ExitCode.USAGE, "abacus"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(cli, folder, arguments, code, told):
    Path("empty").mkdir()
    Path("empty.safetensors").write_bytes(b"")
    rows = ["fixed_x,fixed_y,moving_x,moving_y", *(f"{x},{x},{x},{x}" for x in (5, 20, 40, 60))]
    Path("03_moving.csv").write_text("\n".join(rows))
    before = sorted(path.name for path in Path().rglob("*"))
    result = cli("adapt", *TINY, *arguments, "--json")
    assert result.code == code and told in result.json["error"]["message"] + str(result.json["error"]["hint"])
    assert sorted(path.name for path in Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("steps:", "stps:", "line 1: unknown key 'stps'"),
        ("pose: centre", "pose: north", "line 5"),
        ("size: 64", "size: 65", "multiple of 32"),
        ("batch: 1", "batch: .nan", "line 2"),
        ("steps: 4", "steps: !!python/object:os.system 4", "tag"),
        ("steps: 4", "\tsteps: 4", "tab"),
    ],
)
def test_a_wrong_recipe_is_two_with_its_line(cli, folder, old, new, told):
    Path("adapt.yaml").write_text(RECIPE.replace("GAIN", "0").replace(old, new))
    result = cli("adapt", "pairs", *TINY, "--json")
    assert result.code == ExitCode.USAGE and told in result.json["error"]["message"]
    assert not Path("adapted.run").exists()


def test_the_number_and_the_path_of_labelled():
    assert parse_labelled("0") == 0 and parse_labelled("12") == 12
    assert parse_labelled(str(Path(__file__))) == Path(__file__)
    with pytest.raises(UsageError):
        parse_labelled("two")


def test_sigterm_saves_and_the_same_command_goes_on(cli, folder, always_better, monkeypatch):
    step = FewShot.step

    def signalled(self, *given, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *given, **more)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(FewShot, "step", signalled)
        stopped = cli("adapt", "pairs", *TINY)
    assert stopped.code == ExitCode.TERMINATED and "stopped: It was stopped before" in stopped.err
    (checkpoint,) = Path("adapted.run").glob("checkpoint-*.pt")
    assert not Path("adapted.safetensors").exists() and not Path("adapted.report.html").exists()
    result = cli("adapt", "pairs", *TINY, "--max-minutes", "0")
    assert f"going on from adapted.run/{checkpoint.name}" in result.err
