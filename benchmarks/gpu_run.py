"""All that needs a GPU, in one command of a few minutes: checks of the kernels, rates, and then training.

    python benchmarks/gpu_run.py --minutes 9 -o runs/gpu --data DIR
    python benchmarks/gpu_run.py --minutes 2 -o runs/rehearsal --data DIR --device cpu
    python benchmarks/gpu_run.py --minutes 9 -o runs/more --data DIR --resume-from runs/gpu
    python benchmarks/gpu_run.py --minutes 9 -o runs/trials --data DIR --trials recipes/trials/*.yaml

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
import os
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
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_trials import prepared, trials
from xmatch.networks.registry import load_objective
from xmatch.recipe import load_recipe
from xmatch.synth.recipe import build_mixture
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
TRAINED = {"xmatch-small": ROOT / "recipes/pretrain-small.yaml"}
"""What --train knows."""
SHIPPED = ROOT / "xmatch/weights/xmatch-small.safetensors"
CHECKS = ("tests/ops", "tests/training/test_cuda.py", "tests/networks/test_objectives.py", "tests/synth/test_pairs.py")
CHECKS_S, CORRELATION_S = 60, 30
LAST_S = 6.0
"""For the last save, and for processes to end."""
USED_SHARE = 0.95
"""Of the minutes that are left, for which steps are planned: validation, saving and waiting take the rest. A cosine cut
a little short at its end has lost nothing."""
FRESH_SHARE = 0.8
"""Of the scenes that the processes can make, that are asked for."""


class Moved(TorchDispatchMode):
    """Bytes that operators read and write, views left out: what moves if none is fused."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view and "empty" not in str(function):
            tensors = [x for x in tree_flatten((args, kwargs, result))[0] if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return result


class Session:
    """What the parts share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.deadline = time.monotonic() + 60 * options.minutes
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
        """Mean of one call, over as many as take `most_s`, after two to warm up."""
        for _ in range(2):
            function()
        begun, count = self.clock(), 0
        while count < 3 or time.perf_counter() - begun < most_s:
            function()
            count += 1
        return (self.clock() - begun) / count


def rehearsal(recipe: PretrainRecipe) -> PretrainRecipe:
    """The same run, small enough for a CPU."""
    stages = tuple(dataclasses.replace(stage, size=64 + 32 * n, batch=4) for n, stage in enumerate(recipe.stages))
    data, held = (
        tuple(dataclasses.replace(s, pool=8, side=192) if s.kind == "worlds" else s for s in specs)
        for specs in (recipe.data, recipe.validation.data)
    )
    validation = dataclasses.replace(recipe.validation, pairs=8, data=held)
    optimiser = dataclasses.replace(recipe.optimiser, lr=3e-4, warmup_steps=2)
    small = {"stages": stages, "data": data, "validation": validation, "optimiser": optimiser}
    return dataclasses.replace(recipe, **small, feed="inline", makers=1, log_every=5, checkpoint_minutes=0.3)


def machine(session: Session) -> dict[str, Any]:
    """What it is, and its ceilings: a large copy and a large product of matrices."""
    device, on_gpu = session.device, session.on_gpu
    source, target = (torch.zeros(2**30 if on_gpu else 2**24, device=device) for _ in range(2))
    copy_s = session.seconds(lambda: target.copy_(source), 0.3)
    side, dtype = (8192, torch.bfloat16) if on_gpu else (1024, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product_s = session.seconds(lambda: a @ b, 0.5)
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads",
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "copy_gb_s": round(2 * source.nbytes / copy_s / 1e9, 1),
        "product_tflop_s": round(2 * side**3 / product_s / 1e12, 3),
        "dtype": str(dtype).removeprefix("torch."),
    }


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
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=session.options.checks_s)
    except subprocess.TimeoutExpired as late:
        return {
            "passed": False,
            "output": f"not done after {session.options.checks_s:g} s\n{(late.stdout or b'')[-1500:]!r}",
        }
    return {"passed": done.returncode == 0, "output": (done.stdout + done.stderr)[-2500:]}


@torch.no_grad()
def inference(session: Session) -> list[dict[str, Any]]:
    """Pairs a second of encoding, attention, global matching and refinement, and the share of both ceilings."""
    objective = load_objective(session.recipe.model.objective)
    config = objective.config(session.recipe.model.size, session.recipe.model.config)
    model = objective.build(config).to(session.device).eval()
    side = 512 if session.on_gpu else 128
    shapes = [(side, batch) for batch in ((1, 8, 64) if session.on_gpu else (1,))]
    shapes += [(stage.size, stage.batch) for stage in session.recipe.stages] if session.on_gpu else []
    ceilings = session.found.get("machine", {})
    rows = []
    for size, batch in shapes:
        image = torch.rand(batch, 1, size, size, device=session.device)
        valid = torch.ones_like(image, dtype=torch.bool)

        def match(image=image, valid=valid) -> Any:
            with torch.autocast(session.device.type, torch.bfloat16, enabled=session.on_gpu):
                return model(image, valid, image.flip(3), valid)

        with Moved() as moved, FlopCounterMode(display=False) as counted:
            match()
        seconds = session.seconds(match, 0.7)
        row = {"size": size, "batch": batch, "ms": 1e3 * seconds, "pairs_s": batch / seconds}
        row |= {"gflop_pair": counted.get_total_flops() / batch / 1e9, "mib_pair": moved.bytes / batch / 2**20}
        if "copy_gb_s" in ceilings:
            row["flop_share"] = counted.get_total_flops() / seconds / 1e12 / ceilings["product_tflop_s"]
            row["bandwidth_share"] = moved.bytes / seconds / 1e9 / ceilings["copy_gb_s"]
        rows.append({name: round(value, 4) for name, value in row.items()})
    return rows


def correlation(session: Session) -> list[dict[str, Any]]:
    """benchmarks/local_correlation.py; what it had told when its time was over."""
    if not session.on_gpu:
        return []
    command = [sys.executable, str(ROOT / "benchmarks/local_correlation.py"), "--device", "cuda", "--rounds", "5"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told, errors = process.communicate(timeout=CORRELATION_S)
    except subprocess.TimeoutExpired:
        process.kill()
        told, errors = process.communicate()
    rows = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return rows if rows or not errors else [{"failed": errors[-1500:]}]


def rates(session: Session) -> dict[str, Any]:
    """Steps a second of every stage, drawing included, and drawing alone; scenes a second of the processes."""
    recipe = session.recipe
    worlds = {"pool": 8, "fresh": 0.0}  # what a scene costs is measured where they are made
    data = tuple(dataclasses.replace(s, **worlds) if s.kind == "worlds" else s for s in recipe.data)
    rows = []
    for stage in recipe.stages:
        for factor in session.options.factors:
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
        fresh = round(FRESH_SHARE * scenes_s / max(speeds), 3)
        data = tuple(dataclasses.replace(s, fresh=fresh) if s.kind == "worlds" else s for s in recipe.data)
        recipe = dataclasses.replace(recipe, data=data)
    validation = dataclasses.replace(recipe.validation, every=max(1, steps // 5))
    return dataclasses.replace(recipe, stages=stages, validation=validation)


def training(session: Session) -> dict[str, Any]:
    """The recipe, scaled to the minutes that are left; or the run of --resume-from, as it was begun."""
    options, path = session.options, session.options.output / "recipe.yaml"
    if options.resume_from is None:
        recipe = scaled(session) if "stages" in session.found.get("rates", {}) else session.recipe
        path.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.as_dict())), sort_keys=False))
    given = Options(
        path,
        options.output,
        max_minutes=(session.left - LAST_S) / 60,
        device=options.device,
        threads=options.threads,
        data=options.data,
        init=options.init,
    )
    talk = Reporter(say=lambda line: print(line, flush=True), warn=lambda line: print(line, flush=True))
    return document(pretrain(given, talk, session.maker))


PARTS: dict[str, Callable[[Session], Any]] = {
    part.__name__: part for part in (machine, checks, inference, correlation, rates, training)
}
"""In the order in which they are done."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True)
    add("--minutes", type=float, default=9.0, help="for all parts together")
    add("--device", default="cuda")
    add("--threads", type=int, help="of this process; default all cores")
    add("--train", choices=TRAINED, default="xmatch-small")
    add("--data", type=Path, default=Path("."), help="where relative folders of the recipe start")
    add("--init", type=Path, default=SHIPPED, help="weights to start from")
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
    options.output.mkdir(parents=True, exist_ok=True)
    session = Session(options)
    set_up(session.device, options.threads)
    trains = not {"training", "trials"}.isdisjoint(options.parts)
    with open_maker(session.recipe, session.device) if trains else nullcontext() as session.maker:
        if "training" in options.parts:
            attempt(session, "scenes", lambda session: session.foresee())
        if "trials" in options.parts:
            attempt(session, "prepared", prepared)
        for name in options.parts:
            attempt(session, name, trials if name == "trials" else PARTS[name])
    return int(any(isinstance(part, dict) and "failed" in part for part in session.found.values()))


def attempt(session: Session, name: str, part: Callable[[Session], Any]) -> None:
    """Do a part, and write down what has been found so far."""
    begun = time.monotonic()
    try:
        session.found[name] = part(session)
    except Exception:
        session.found[name] = {"failed": traceback.format_exc()[-3000:]}
    session.found.setdefault("seconds", {})[name] = round(time.monotonic() - begun, 1)
    print(name, json.dumps(session.found[name], default=str)[-1500:], flush=True)
    text = json.dumps(session.found, indent=1, default=str)
    (session.options.output / "gpu_run.json").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
