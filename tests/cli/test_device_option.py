"""`--device cuda` on a machine without one: exit code 2 from every command, before any work."""

from pathlib import Path

import pytest

COMMANDS = {
    "register": ("register", "optical.tif", "sar.tif", "--matcher", "structural"),
    "dry run": ("register", "optical.tif", "sar.tif", "--dry-run"),
    "batch": ("register", "--pairs", "pairs.csv"),
    "skipped": ("register", "optical.tif", "sar.tif", "--skip-existing"),
    "match": ("match", "optical.tif", "sar.tif"),
    "apply": ("apply", "sar.registered.report.json", "sar.tif", "-o", "again.tif"),
    "synth": ("synth", "--worlds", "city", "--count", "1"),
    "pretrain": ("pretrain", "recipe.yaml"),
    "adapt": ("adapt", ".", "--labelled", "0"),
    "eval": ("eval", "eval.yaml"),
}


@pytest.fixture
def folder(cli, pair):
    assert cli("register", *pair).code == 0
    Path("pairs.csv").write_text("optical.tif,sar.tif\n")
    Path("recipe.yaml").write_text(
        "model: {objective: dense}\ndata: [{kind: shapes}]\nstages: [{steps: 1, size: 64, batch: 1}]\n"
    )
    Path("eval.yaml").write_text("manifest: [none.jsonl]\n")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_gpu_that_is_not_there_is_wrong_usage(cli, folder, monkeypatch, command):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = sorted(Path().rglob("*"))
    result = cli(*command, "--device", "cuda")
    assert result.code == 2 and "'cuda': 0 CUDA devices" in result.err
    assert sorted(Path().rglob("*")) == before
