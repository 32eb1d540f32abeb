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
import importlib.util
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.gpu_rates import correlation, inference, machine, roma, structure, together
from benchmarks.gpu_session import ROOT, SHIPPED, TRAINED, Session
from benchmarks.gpu_training import rates, training
from benchmarks.gpu_trials import prepared, trials
from xmatch.recipe import load_recipe
from xmatch.training.feed import open_maker
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.session import set_up

CHECKS = ("tests/ops", "tests/training/test_cuda.py", "tests/networks/test_objectives.py", "tests/synth/test_pairs.py")
CHECKS_S = 60


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


PARTS: dict[str, Callable[[Session], Any]] = {
    part.__name__: part
    for part in (machine, checks, structure, inference, roma, correlation, rates, together, training)
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
