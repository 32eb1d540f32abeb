"""All that needs a GPU, in one command of a few minutes: checks of the kernels, rates, and then training.

    python -m benchmarks.gpu_run --minutes 9 -o runs/gpu --data DIR
    python -m benchmarks.gpu_run --minutes 9 -o runs/more --data DIR --resume-from runs/gpu
    python -m benchmarks.gpu_run --minutes 9 -o runs/small --data DIR --train xmatch-small
    python -m benchmarks.gpu_run --minutes 2 -o runs/rehearsal --data DIR --device cpu
    python -m benchmarks.gpu_run --minutes 9 -o runs/trials --data DIR --trials recipes/trials/dense/*.yaml

With --trials several mixtures are tried beside each other and the best one goes on (`gpu_trials`); DIR is then a folder
that benchmarks/gpu_data.py has made, and the other parts are left out unless --parts names them.

The rates of the recipe's stages are measured first, and its steps scaled so that the schedule ends with the minutes.
The folder then holds gpu_run.json, the recipe as it was run, history.csv, validation.csv, weights.safetensors and the
newest checkpoints, 16 MiB each at most. A part that fails says so in the JSON, and the next one begins.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.gpu_rates import correlation, inference, machine, roma, structure
from benchmarks.gpu_trials import prepared, trials
from xmatch.errors import ModelError, ResourceError
from xmatch.networks.registry import load_objective
from xmatch.recipe import load_recipe
from xmatch.synth.recipe import STORED, build_mixture
from xmatch.training.arguments import document
from xmatch.training.distributed import Processes, choose_device
from xmatch.training.feed import Inline, batches, open_maker
from xmatch.training.loop import Reporter
from xmatch.training.phases import Phases
from xmatch.training.pretrain import Options, pretrain
from xmatch.training.recipe import PretrainRecipe, Stage
from xmatch.training.run import Run
from xmatch.training.session import set_up
from xmatch.training.state import checkpoints

ROOT = Path(__file__).parents[1]
TRAINED = {
    "xmatch-sparse": ROOT / "recipes/pretrain-sparse-gpu.yaml",
    "xmatch-small": ROOT / "recipes/pretrain-small.yaml",
}
"""What --train knows; the first is the default, since its second stage gained most a minute on a CPU."""
SHIPPED = ROOT / "xmatch/weights"
CHECKS = ("tests/ops", "tests/training/test_cuda.py", "tests/networks/test_objectives.py", "tests/synth/test_pairs.py")
CHECKS_S = 60
TRIES = 3
"""Of the training: one that ends for want of numbers or memory is begun again with a safer recipe."""
TRAINING_SHARE = 0.5
"""Of all minutes, that other parts leave for training: what has not begun by then is left out."""
LEAST_S = 30.0
"""That must be left for another try."""
LAST_S = 6.0
"""For the last save, and for processes to end."""
USED_SHARE = 0.95
"""Of the minutes that are left, for which steps are planned: validation, saving and waiting take the rest. A cosine cut
a little short at its end has lost nothing."""
FRESH_SHARE = 0.8
"""Of the scenes that the processes can make, that are asked for."""


class Session:
    """What the parts share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.whole = 60 * options.minutes
        self.deadline = time.monotonic() + self.whole
        self.device = choose_device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.found: dict[str, Any] = {"schema": "xmatch.gpu-run/1", "arguments": vars(options) | {"argv": sys.argv[1:]}}
        self.recipe = load_recipe(self._recipe_path(), PretrainRecipe)
        if options.makers is not None:
            self.recipe = dataclasses.replace(self.recipe, makers=options.makers)
        if not self.on_gpu and not options.resume_from:
            self.recipe = rehearsal(self.recipe)
        self.maker: Any = None
        if options.rates_from is not None:
            self.found["rates"] = json.loads(options.rates_from.read_text())["rates"]

    def _recipe_path(self) -> Path:
        """Of a run that goes on: the recipe that it was begun with."""
        if self.options.resume_from is None:
            return TRAINED[self.options.train]
        for name in ("recipe.yaml", "history.csv", "validation.csv"):
            if (self.options.resume_from / name).exists():
                shutil.copy(self.options.resume_from / name, self.options.output / name)
        for path in checkpoints(self.options.resume_from)[:1]:
            shutil.copy(path, self.options.output / path.name)
        return self.options.output / "recipe.yaml"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def within(self, most_s: float) -> float:
        """Seconds for a part that wants `most_s` of nine minutes."""
        return min(most_s, self.whole * most_s / 540)

    @property
    def is_late(self) -> bool:
        """Whether only training may begin."""
        return self.left < TRAINING_SHARE * self.whole

    def foresee(self) -> None:
        """Let the processes begin with the scenes of the first draws, while other parts are at work."""
        mixture = build_mixture(self.recipe.data, self.options.data)
        if self.maker is not None:
            mixture.make_with(self.maker)
            newest = checkpoints(self.options.output)
            step = int(re.search(r"checkpoint-(\d+)", newest[0].name)[1]) if newest else 0
            mixture.go_to(step, self.recipe.seed, 0)
            mixture.foresee(self.recipe.stage_at(step).size)

    def clock(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, function: Callable[[], Any], most_s: float = 1.0) -> float:
        """Mean of one call, over as many as take `most_s`, after two to warm up; on a CPU of one, at least."""
        for _ in range(2 if self.on_gpu else 0):
            function()
        begun, count = self.clock(), 0
        while count < (3 if self.on_gpu else 1) or time.perf_counter() - begun < most_s:
            function()
            count += 1
        return (self.clock() - begun) / count


def rehearsal(recipe: PretrainRecipe) -> PretrainRecipe:
    """The same run, small enough for a CPU."""
    stages = tuple(dataclasses.replace(stage, size=64 + 32 * n, batch=4) for n, stage in enumerate(recipe.stages))
    data, held = (
        tuple(dataclasses.replace(s, pool=8, side=192) if s.kind in STORED else s for s in specs)
        for specs in (recipe.data, recipe.validation.data)
    )
    validation = dataclasses.replace(recipe.validation, pairs=8, data=held)
    optimiser = dataclasses.replace(recipe.optimiser, lr=3e-4, warmup_steps=2)
    small = {"stages": stages, "data": data, "validation": validation, "optimiser": optimiser}
    return dataclasses.replace(recipe, **small, feed="inline", makers=1, log_every=5, checkpoint_minutes=0.3)


def checks(session: Session) -> dict[str, Any]:
    """The tests of kernels, training and synthesis on this device."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist"):
        command += ["-n", "6"]  # most of the time kernels are compiled
    command += (
        ("-k", "not compile_for_a_gpu", *session.options.tests)
        if session.on_gpu
        else ("tests/training/test_schedule.py",)
    )
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=session.within(session.options.checks_s)
        )
    except subprocess.TimeoutExpired as late:
        return {"passed": False, "output": f"not done after {late.timeout:g} s\n{(late.stdout or b'')[-1500:]!r}"}
    return {"passed": done.returncode == 0, "output": (done.stdout + done.stderr)[-2500:]}


def rates(session: Session) -> dict[str, Any]:
    """Steps a second of every stage, drawing included, and drawing alone; scenes a second of the processes."""
    recipe = session.recipe
    stored = {"pool": 8, "fresh": 0.0}  # what a scene costs is measured where they are made
    data = tuple(dataclasses.replace(s, **stored) if s.kind in STORED else s for s in recipe.data)
    rows = []
    for stage in recipe.stages:
        for factor in session.options.factors:
            if session.is_late and "training" in session.options.parts:
                break
            alone = dataclasses.replace(stage, batch=max(1, round(factor * stage.batch)), steps=10**6)
            rows.append(stage_rates(session, dataclasses.replace(recipe, data=data, stages=(alone,)), alone))
            print(json.dumps(rows[-1]), flush=True)
    return {"stages": rows, "scenes_s": session.maker and round(session.maker.per_second, 2)}


def stage_rates(session: Session, recipe: PretrainRecipe, stage: Stage) -> dict[str, Any]:
    objective = load_objective(recipe.model.objective)
    config = objective.config(recipe.model.size, recipe.model.config)
    run = Run(recipe, objective, config, session.device, Processes())
    draw = batches(recipe, session.options.data, 0, session.device, session.maker)
    feed, phases = Inline(draw, session.device), Phases(session.device)

    def step() -> None:
        run.advance(feed.take(run.step), phases, lambda: feed.prepare(run.step + 1))

    if session.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    step()
    both_s = session.seconds(step, 2.0)
    same = draw(0)
    train_s = session.seconds(lambda: run.advance(same, phases), 1.0)
    draw_s = session.seconds(lambda: draw(1), 0.5)
    row = {"size": stage.size, "batch": stage.batch, "finest": stage.finest, "steps_s": round(1 / both_s, 3)}
    row |= {"pairs_s": round(stage.batch / both_s, 1)}
    row |= {"train_ms": round(1e3 * train_s, 2), "draw_ms": round(1e3 * draw_s, 2)}
    if session.on_gpu:
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        row |= {"waits_train": waits(lambda: run.advance(same, phases)), "waits_draw": waits(lambda: draw(1))}
    return row


def waits(function: Callable[[], Any]) -> list[str]:
    """Where the host waits for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return [f"{Path(one.filename).name}:{one.lineno}" for one in caught]


def scaled(session: Session) -> PretrainRecipe:
    """The recipe with as many steps as the minutes allow, and as many scenes as the processes can make."""
    recipe = session.recipe
    rows = {(row["size"], row["batch"]): row["steps_s"] for row in session.found["rates"]["stages"]}
    speeds = [rows[stage.size, stage.batch] for stage in recipe.stages]
    whole_s = sum(stage.steps / speed for stage, speed in zip(recipe.stages, speeds, strict=True))
    factor = USED_SHARE * (session.left - LAST_S) / whole_s
    stages = tuple(dataclasses.replace(s, steps=max(1, round(factor * s.steps))) for s in recipe.stages)
    steps = sum(stage.steps for stage in stages)
    scenes_s = session.found["rates"].get("scenes_s")
    if scenes_s:
        wanted = sum(s.fresh for s in recipe.data if s.kind in STORED)
        more = FRESH_SHARE * scenes_s / max(speeds) / wanted
        data = tuple(
            dataclasses.replace(s, fresh=round(more * s.fresh, 3)) if s.kind in STORED else s for s in recipe.data
        )
        recipe = dataclasses.replace(recipe, data=data)
    validation = dataclasses.replace(recipe.validation, every=max(1, steps // 5))
    return dataclasses.replace(recipe, stages=stages, validation=validation)


def training(session: Session) -> dict[str, Any]:
    """The recipe, scaled to the minutes that are left; or the run of --resume-from, as it was begun."""
    recipe, fresh = session.recipe, session.options.resume_from is None
    told = session.found.get("rates", {}).get("stages", ())
    if fresh and {(stage.size, stage.batch) for stage in recipe.stages} <= {
        (row["size"], row["batch"]) for row in told
    }:
        recipe = scaled(session)
    for number in range(TRIES):
        before = session.left
        try:
            return trained(session, recipe, fresh, again=number > 0)
        except (ModelError, ResourceError) as error:
            session.found.setdefault("begun_again", []).append(str(error))
            if not fresh or number == TRIES - 1 or session.left < LEAST_S:
                raise
            print("begun again:", error, flush=True)
            recipe = safer(recipe, error, session.left / before)
    raise AssertionError("the last try ends or raises")


def safer(recipe: PretrainRecipe, error: Exception, share: float) -> PretrainRecipe:
    """For want of memory half of the pairs; where the loss is not finite float32, then a third of the learning rate.

    Args:
        share: of the time, and so of the steps, that is left.
    """
    half = isinstance(error, ResourceError)
    stages = tuple(
        dataclasses.replace(s, steps=max(1, round(share * s.steps)), batch=max(1, s.batch // 2) if half else s.batch)
        for s in recipe.stages
    )
    optimiser = recipe.optimiser
    if not half and recipe.precision == "fp32":
        optimiser = dataclasses.replace(optimiser, lr=optimiser.lr / 3)
    precision = recipe.precision if half else "fp32"
    return dataclasses.replace(recipe, stages=stages, optimiser=optimiser, precision=precision)


def trained(session: Session, recipe: PretrainRecipe, fresh: bool, again: bool) -> dict[str, Any]:
    options, path = session.options, session.options.output / "recipe.yaml"
    if fresh:
        path.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.as_dict())), sort_keys=False))
    given = Options(
        path,
        options.output,
        max_minutes=(session.left - LAST_S) / 60,
        device=options.device,
        threads=options.threads,
        data=options.data,
        init=options.init,
        resume=not again,
    )
    talk = Reporter(say=lambda line: print(line, flush=True), warn=lambda line: print(line, flush=True))
    return document(pretrain(given, talk, session.maker))


PARTS: dict[str, Callable[[Session], Any]] = {
    part.__name__: part for part in (machine, checks, structure, inference, roma, correlation, rates, training)
}
"""In the order in which they are done."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True)
    add("--minutes", type=float, default=9.0, help="for all parts together")
    add("--device", default="cuda")
    add("--threads", type=int, help="of this process; default all cores")
    add("--train", choices=TRAINED, default=next(iter(TRAINED)))
    add("--data", type=Path, default=Path("."), help="where relative folders of the recipe start")
    add("--init", type=Path, help="weights to start from; default: those in the package")
    add("--resume-from", type=Path, help="folder of a run before, to be gone on with")
    add("--makers", type=int, help="processes that make scenes; default: as many as cores are free")
    add("--trials", nargs="+", type=Path, default=[], help="recipes, of which the best one is trained on")
    add("--parts", nargs="+", choices=[*PARTS, "trials"], help="default: all; with --trials: checks and trials")
    add("--checks-s", type=float, default=CHECKS_S, help="seconds that the part `checks` has")
    add("--tests", nargs="+", default=CHECKS, help="what the part `checks` runs")
    add("--rates-from", type=Path, help="gpu_run.json of a run before on such a machine, in place of the part `rates`")
    add("--factors", nargs="+", type=float, default=[1.0], help="of the stages' batches, whose rates are measured")
    options = parser.parse_args()
    options.parts = options.parts or (["checks", "trials"] if options.trials else list(PARTS))
    options.init = options.init or SHIPPED / f"{options.train}.safetensors"
    options.output.mkdir(parents=True, exist_ok=True)
    session = Session(options)
    first = load_recipe(options.trials[0], PretrainRecipe) if options.trials else session.recipe
    set_up(session.device, options.threads, first.precision)
    trains = not {"training", "trials"}.isdisjoint(options.parts)
    with open_maker(session.recipe, session.device) if trains else nullcontext() as session.maker:
        if "training" in options.parts:
            attempt(session, "scenes", lambda session: session.foresee())
        if "trials" in options.parts:
            attempt(session, "prepared", prepared)
        for name in options.parts:
            attempt(session, name, trials if name == "trials" else PARTS[name])
    return int(any(isinstance(part, dict) and "failed" in part for part in session.found.values()))


LEFT_OUT = {"left_out": "the minutes that remain are for training"}


def attempt(session: Session, name: str, part: Callable[[Session], Any]) -> None:
    """Do a part, and write down what has been found so far."""
    begun = time.monotonic()
    trains = "training" in session.options.parts
    try:
        session.found[name] = LEFT_OUT if trains and name != "training" and session.is_late else part(session)
    except Exception:
        session.found[name] = {"failed": traceback.format_exc()[-3000:]}
    session.found.setdefault("seconds", {})[name] = round(time.monotonic() - begun, 1)
    print(name, json.dumps(session.found[name], default=str)[-1500:], flush=True)
    text = json.dumps(session.found, indent=1, default=str)
    (session.options.output / "gpu_run.json").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
