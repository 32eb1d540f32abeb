"""Whole runs: going on, stopping, failing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stubs import Endless, Tiny, tiny_entry

from xmatch.errors import ExitCode, InputError, ModelError, OutputError, ResourceError, UsageError
from xmatch.io.checksum import sha256
from xmatch.io.weights.files import load_weights, save_weights
from xmatch.networks.registry import ARCHITECTURES
from xmatch.training.distributed import Processes
from xmatch.training.pretrain import Options, plan
from xmatch.training.state import checkpoints, load_newest

TIMES = {"minutes", "pairs_per_second"}


def rows(folder: Path, name: str = "history.csv") -> list[dict[str, str]]:
    """Without what depends on the clock."""
    with open(folder / name, newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMES and not k.endswith("_share")} for row in found]


def state(folder: Path) -> dict:
    return load_newest(folder, print)[0]


def assert_same(a, b) -> None:
    """To the bit, whatever is nested in whatever."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds"}:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_a_run_leaves_history_validation_checkpoint_and_weights(recipe, session, tmp_path):
    outcome = session(recipe())
    assert (outcome.stopped, outcome.exit_code, outcome.step) == ("done", ExitCode.OK, 8)
    assert [row["step"] for row in rows(tmp_path / "run")] == ["3", "6", "8"]
    measured = rows(tmp_path / "run", "validation.csv")
    assert [row["step"] for row in measured if row["modalities"] == "all"] == ["3", "6", "8"]
    assert {row["pairs"] for row in measured if row["modalities"] == "all"} == {"3"}
    tensors, metadata = load_weights(outcome.weights)
    assert metadata.architecture == "tiny" and metadata.step == 8 and metadata.config["width"] == 4
    assert len(metadata.commit) in (0, 40, 46)
    assert metadata.recipe["sha256"] == state(tmp_path / "run")["digest"]
    assert tensors["head.weight"].dtype == torch.float16
    averaged = state(tmp_path / "run")["average"]["module.head.weight"]
    assert torch.equal(tensors["head.weight"], averaged.half())
    assert sorted(p.suffix for p in (tmp_path / "run").iterdir()) == [".csv", ".csv", ".pt", ".safetensors"]


def test_a_checkpoint_that_another_process_asks_for_is_saved_here_too(recipe, session, monkeypatch):
    """Clocks differ between processes; one that saved alone would wait for the others for ever."""
    steps = []
    monkeypatch.setattr("xmatch.training.loop.save_checkpoint", lambda folder, state: steps.append(state["step"]))
    monkeypatch.setattr(Processes, "any_of", lambda self, flags, device: [*flags[:-1], True])
    session(recipe())
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8, 8]  # the last one at the end of the session


def test_an_interrupted_run_is_the_uninterrupted_one_to_the_bit(recipe, session, tmp_path):
    """Dropout, batch normalisation, two stages, a curriculum, and reports that span interruptions."""
    whole = session(recipe(), "whole")
    for _ in range(8):
        part = session(recipe(), "parts", max_minutes=0)
    assert part.step == 8 and part.validation == whole.validation
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert rows(tmp_path / "parts", "validation.csv") == rows(tmp_path / "whole", "validation.csv")
    assert_same(state(tmp_path / "parts"), state(tmp_path / "whole"))


def test_a_run_goes_on_from_a_small_checkpoint_without_its_moments(recipe, session, tmp_path):
    path = recipe(more="small_checkpoints: true")
    first = session(path, max_minutes=0)
    kept = state(tmp_path / "run")
    session(recipe("whole.yaml"), run="whole", max_minutes=0)
    whole = state(tmp_path / "whole")
    assert kept["optimiser"] is None and kept["model"]["head.weight"].dtype == torch.float16
    assert kept["model"]["body.1.num_batches_tracked"].dtype == torch.int64
    averages = [found["average"]["module.head.weight"] for found in (kept, whole)]
    assert torch.equal(averages[0], averages[1].half()) and averages[1].dtype == torch.float32
    outcome = session(path)
    assert (first.step, outcome.step, outcome.exit_code) == (1, 8, ExitCode.OK)


def test_drawing_in_another_process_changes_nothing(recipe, session, tmp_path):
    session(recipe(), "here")
    session(recipe("other.yaml", feed="process"), "there", max_minutes=0)
    session(recipe("other.yaml", feed="process"), "there")
    here, there = state(tmp_path / "here"), state(tmp_path / "there")
    assert_same(here["model"], there["model"])
    assert rows(tmp_path / "here") == rows(tmp_path / "there")


def test_after_a_crash_the_rows_since_the_checkpoint_come_again(recipe, session, tmp_path, monkeypatch):
    session(recipe(), "whole")
    session(recipe(), "crashed", max_minutes=0)

    class Crash(Tiny):
        steps = 0

        def step(self, model, batch, *, finest=1):
            Crash.steps += 1
            if Crash.steps == 6:
                raise KeyError("a bug")
            return super().step(model, batch, finest=finest)

    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Crash))
    with pytest.raises(KeyError):
        session(recipe(), "crashed")
    assert [row["step"] for row in rows(tmp_path / "crashed")] == ["3", "6"]
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Tiny))
    session(recipe(), "crashed")
    assert rows(tmp_path / "crashed") == rows(tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(recipe, session, tmp_path):
    session(recipe())
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    outcome = session(recipe())
    assert outcome.step == 8 and outcome.pairs_per_second == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_the_seed_changes_the_run_and_another_seed_or_recipe_is_refused(recipe, session, tmp_path):
    session(recipe(), "a", max_minutes=0)
    session(recipe(), "b", max_minutes=0, seed=5)
    weights = [state(tmp_path / name)["model"]["head.weight"] for name in "ab"]
    assert not torch.equal(*weights)
    with pytest.raises(UsageError, match="another recipe or seed"):
        session(recipe(), "b")
    with pytest.raises(UsageError, match="another recipe"):
        session(recipe(last=5), "a")
    assert session(recipe(last=5), "a", resume=False, max_minutes=0).step == 1


def test_another_number_of_processes_is_refused(recipe, session, tmp_path, monkeypatch):
    session(recipe(), max_minutes=0)
    from xmatch.training.session import check_same

    loaded = state(tmp_path / "run")
    with pytest.raises(UsageError, match="begun with 1 processes, now there are 2"):
        check_same(loaded, Options(recipe()).load(), Processes(0, 2), tmp_path)


def test_a_truncated_checkpoint_falls_back_to_the_one_before(recipe, session, tmp_path, capsys):
    session(recipe(), max_minutes=0)
    session(recipe(), max_minutes=0)
    last = checkpoints(tmp_path / "run")[0]
    last.write_bytes(last.read_bytes()[:-100])
    assert session(recipe(), max_minutes=0).step == 2


def test_what_a_run_on_keypoints_writes_is_a_matcher_s_weights(recipe, session):
    from xmatch.matchers.registry import load_matcher

    path = recipe(last=1)
    path.write_text(path.read_text().replace("{objective: tiny, config: {}}", "{objective: aliked, size: aliked-t16}"))
    path.write_text(path.read_text().replace("size: 32", "size: 64"))
    done = session(path, max_minutes=0)
    assert done.step == 1 and load_matcher("auto", str(done.weights), "cpu").name == "aliked"


def test_weights_to_start_from_are_the_first_average(recipe, session, tmp_path):
    donor = session(recipe(), "donor")
    tensors, metadata = load_weights(donor.weights)
    path = recipe()
    path.write_text(path.read_text().replace("lr: 1e-2", "lr: 1e-12"))
    outcome = session(path, "heir", init=Path(donor.weights))
    assert outcome.step == 8
    heir, told = load_weights(outcome.weights)
    assert torch.equal(heir["head.weight"], tensors["head.weight"])
    assert told.sources == [{"file": "weights.safetensors", "sha256": sha256(donor.weights)}] and not metadata.sources
    tensors["extra"] = tensors.pop("head.weight")
    save_weights(tmp_path / "other.safetensors", tensors, metadata)
    with pytest.raises(ModelError, match="missing: head.weight.*not expected: extra"):
        session(recipe(), "other", init=tmp_path / "other.safetensors")


class Sick(Tiny):
    """Not finite in the steps named."""

    steps: list[int] = []
    bad: set[int] = set()

    def step(self, model, batch, *, finest=1):
        Sick.steps.append(1)
        if len(Sick.steps) in Sick.bad:
            batch.fixed.fill_(float("nan"))
        return super().step(model, batch, finest=finest)


@pytest.fixture
def sick(monkeypatch):
    def choose(*bad: int) -> None:
        Sick.steps, Sick.bad = [], set(bad)
        monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Sick))

    return choose


def test_three_sick_batches_in_a_row_are_skipped_and_leave_no_trace(recipe, session, tmp_path, sick):
    sick(2, 3, 4, 6)
    assert session(recipe()).stopped == "done"
    found = state(tmp_path / "run")
    assert found["optimiser"]["state"][0]["step"] == 4
    assert all(value.isfinite().all() for value in found["model"].values())
    assert all(float(row["total"]) < 100 for row in rows(tmp_path / "run"))


def test_the_fourth_ends_the_run_and_names_step_and_checkpoint(recipe, session, tmp_path, sick):
    sick(*range(3, 9))
    with pytest.raises(ModelError, match="step 5: total, shift, gradient_norm not finite") as caught:
        session(recipe(more="checkpoint_minutes: 1e-9"))
    assert caught.value.path == str(checkpoints(tmp_path / "run")[0])
    assert all(value.isfinite().all() for value in state(tmp_path / "run")["model"].values())


def test_want_of_memory_names_the_stage(recipe, session, monkeypatch):
    class Greedy(Tiny):
        def step(self, model, batch, *, finest=1):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Greedy))
    with pytest.raises(ResourceError, match="out of GPU memory.*2 pairs of 64 px.*lower batch"):
        session(recipe())


def test_two_runs_do_not_share_a_folder(recipe, session, tmp_path, monkeypatch):
    class Second(Tiny):
        def step(self, model, batch, *, finest=1):
            monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Tiny))
            with pytest.raises(OutputError, match="another run"):
                session(recipe())
            return super().step(model, batch, finest=finest)

    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Second))
    assert session(recipe(), max_minutes=0).step == 1


def test_an_empty_folder_of_images_is_told_before_any_work(recipe, session, tmp_path):
    path = recipe()
    path.write_text(path.read_text().replace("kind: shapes,", "kind: singles, folder: photos,"))
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="no images in this folder"):
        session(path)
    with pytest.raises(InputError, match="no images in this folder"):
        plan(Options(path))


def test_a_plan_writes_nothing(recipe, tmp_path):
    planned = plan(Options(recipe(), tmp_path / "run"))
    assert planned["steps"] == 8 and planned["pairs"] == 16 and planned["batch"] == [2, 1, 32, 32]
    assert not (tmp_path / "run").exists()
    json.dumps(planned)


def spawned(recipe, folder: Path, *more: str, **env: str) -> subprocess.Popen:
    """The command line of `stubs.py` in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, str(Path(__file__).with_name("stubs.py")), str(recipe), "-o", str(folder), *more]
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_saves_after_the_step_and_ends(recipe, tmp_path):
    options = ("--json", "--device", "cpu")
    process = spawned(recipe(feed="process"), tmp_path / "run", *options, XMATCH_TEST_SIGNAL="SIGINT")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    answer = json.loads(out)
    assert (answer["stopped"], answer["step"], answer["ok"]) == ("signal", 3, False)
    assert state(tmp_path / "run")["step"] == 3


def test_sigterm_does_too(recipe, session, tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Endless))
    monkeypatch.setenv("XMATCH_TEST_SIGNAL", "SIGTERM")
    monkeypatch.setattr(Endless, "steps", 0)
    outcome = session(recipe())
    assert (outcome.stopped, outcome.step, outcome.exit_code) == ("signal", 3, 143)
    assert state(tmp_path / "run")["step"] == 3


def test_training_loads_neither_rasterio_nor_typer_nor_rich():
    code = "import sys, xmatch.training.arguments; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded and not loaded & {"rasterio", "typer", "rich", "tifffile", "SimpleITK", "scipy"}


def test_weights_too_large_for_float16_are_written_whole_and_it_is_said(recipe, tmp_path, monkeypatch):
    class Huge(Tiny):
        def build(self, config):
            net = super().build(config)
            torch.nn.init.constant_(net.head.bias, 1e6)
            return net

    from xmatch.training.loop import Reporter
    from xmatch.training.pretrain import pretrain

    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry(Huge))
    told = []
    options = Options(recipe(), tmp_path / "run", max_minutes=0, device="cpu")
    outcome = pretrain(options, Reporter(warn=told.append))
    assert "no matcher of xmatch runs it yet" in told[0] and "beyond the range of float16" in told[1]
    assert load_weights(outcome.weights)[0]["head.bias"].dtype == torch.float32
