"""Several mixtures tried beside each other on one GPU, the better ones for longer: successive halving.

Every trial is a recipe, begun from the shipped weights. All draw from the same scenes, are measured on the same real
pairs (`gpu_real`), and the minutes that are left belong to the best one whose licence allows to ship it. What is kept
are the weights that measured best at any time, the shipped ones mixed in or not, never merely the last.
Jamieson and Talwalkar, AISTATS 2016; mixing with the weights begun from: Wortsman et al., CVPR 2022.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_real import SIDES_PX, Looks, load_looks, measured
from benchmarks.gpu_trial import Shared, Trial
from xmatch.errors import ModelError, XmatchError
from xmatch.io.checksum import sha256
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.provenance import commit
from xmatch.recipe import load_recipe
from xmatch.synth.recipe import STORED
from xmatch.synth.sources.worlds import MadeHere
from xmatch.training.export import fits_half, hardware, source_line
from xmatch.training.feed import Inline
from xmatch.training.phases import Phases
from xmatch.training.recipe import PretrainRecipe, Stage

ROUNDS = (0.3, 0.15)
"""Shares of the time for the first round, of all trials, and the second, of the better half; one goes on after."""
MEASURE_EVERY_S = 30.0
WARM_UP = 5
"""Steps."""
MIXED = (1.0, 0.5)
"""Shares of the new weights that are measured; the rest are those that were begun from."""
MIXED_LAST = (1.0, 0.75, 0.5, 0.25)
WARM_STEPS = 20
LEAST_LR = 0.02


class Tournament:
    """All trials, and the files that tell of them."""

    def __init__(self, session: Any) -> None:
        self.session, self.device, self.output = session, session.device, session.options.output
        self.rehearsed = not session.on_gpu
        self.found: dict[str, Any] = {"trials": {}, "measured": []}
        self.best: dict[str, float] = {}
        self.maker = Shared(session.maker or MadeHere(), self.device)
        self.trials = [self.trial(path) for path in session.options.trials]
        for trial in self.trials:
            trial.foresee()
        self.current = self.trials[0]
        self.feed = Inline(lambda number: self.current.draw(number), self.device)
        self.phases = Phases(self.device)
        self.begun_from = {k: v.detach().clone() for k, v in self.trials[0].run.model.state_dict().items()}
        self.judged = copy.deepcopy(self.trials[0].run.model).eval()
        sides, limit = ((96,), 1) if self.rehearsed else (SIDES_PX, None)
        real, skipped = session.options.data / "real", 90 if self.rehearsed else 0
        self.looks: tuple[Looks, ...] = tuple(load_looks(real, side, self.device, limit, skipped) for side in sides)
        self.begun = time.monotonic()

    def trial(self, path: Path) -> Trial:
        recipe = load_recipe(path, PretrainRecipe)
        recipe = small(recipe) if self.rehearsed else recipe
        return Trial(path.stem, recipe, self.session.options.data, self.maker, self.session)

    def warm_up(self) -> None:
        """Compile kernels, and wait for the first scenes, on nobody's account; pairs are drawn ahead, as in training.

        Raises:
            ModelError: a step was left out, since something was not finite.
        """
        trial = self.current = self.trial(self.session.options.trials[0])
        for number in range(WARM_UP):
            batch = self.feed.take(number)
            trial.run.advance(batch, self.phases, lambda ahead=number + 1: self.feed.prepare(ahead))
            if trial.run.skipped:
                raise ModelError(f"step {number} of {trial.name}, to warm up: loss or gradient is not finite")

    def measure(self, trial: Trial | None, share: float = 1.0) -> float:
        """Score of a trial's averaged weights with those begun from mixed in; None: of the latter alone."""
        begun = time.monotonic()
        state = (
            self.begun_from if trial is None else mixed(self.begun_from, trial.run.averaged_model().state_dict(), share)
        )
        self.judged.load_state_dict(state)
        row = measured(self.judged, self.looks)
        name = "begun from" if trial is None else trial.name
        told_ = {"trial": name, "share": share, "step": 0, "pairs": 0, "seconds": 0.0}
        if trial is not None:
            told_ |= {"step": trial.run.step, "pairs": trial.pairs, "seconds": round(trial.seconds, 1)}
            trial.best = max(trial.best, row["score"])
            told_ |= {key: round(value, 4) for key, value in trial.run.means().items()} if trial.run.sums else {}
        else:
            self.best = dict.fromkeys(("weights", "research"), row["score"])
        row = (
            told_
            | row
            | {"at_s": round(time.monotonic() - self.begun, 1), "took_s": round(time.monotonic() - begun, 1)}
        )
        self.found["measured"].append(row)
        print(" ".join(f"{k} {v}" for k, v in row.items() if k != "sets"), flush=True)
        if trial is not None:
            kind = "weights" if trial.free else "research"
            if row["score"] > self.best[kind]:
                self.best[kind] = row["score"]
                self.save(state, trial, self.output / f"{kind}.safetensors", row)
        self.tell()
        return row["score"]

    def tell(self) -> None:
        self.found |= {"best": self.best, "scenes": len(self.maker)}
        if self.session.maker is not None:
            self.found["scenes_s"] = round(self.session.maker.per_second, 2)
        (self.output / "trials.json").write_text(json.dumps(self.found, indent=1))

    def save(self, state: Mapping[str, Tensor], trial: Trial, path: Path, row: Mapping[str, Any]) -> None:
        recipe, run = trial.recipe, trial.run
        kept = {key: row[key] for key in ("trial", "share", "score")}
        metadata = WeightsMetadata(
            name=recipe.model.size or "xmatch",
            architecture=run.objective.architecture,
            licence=recipe.licence or "",
            config=run.config,
            data=[source_line(spec) for spec in recipe.data],
            recipe={**recipe.as_dict(), "sha256": recipe.digest(), "trial": kept},
            commit=commit() or "",
            step=run.step,
            minutes=round(trial.seconds / 60, 2),
            hardware=hardware(self.device, 1),
            sources=[{"file": self.session.options.init.name, "sha256": sha256(self.session.options.init)}],
        )
        save_weights(path, state, metadata, half=fits_half(state), overwrite=True)

    def train(self, trial: Trial, seconds: float, last: bool = False) -> None:
        """Steps for so long, measured now and then and at the end."""
        self.current, run, recipe = trial, trial.run, trial.recipe
        batch = self.feed.take(run.step)
        begun = measured_at = time.monotonic()
        first_step, paused = run.step, 0.0
        while True:
            share = (time.monotonic() - begun - paused) / seconds
            if share >= 1 or self.session.left < self.reserve:
                break
            if last:
                trial.stage = stage_of(share, recipe)
            self.feed.prepare(run.step + 1)
            rate = recipe.optimiser.lr * min(1.0, (run.step + 1) / WARM_STEPS)
            if last:
                rate *= LEAST_LR + (1 - LEAST_LR) * (1 + math.cos(math.pi * share)) / 2
            constant = dataclasses.replace(recipe.optimiser, lr=rate, warmup_steps=0, final_lr=1.0)
            run.recipe = dataclasses.replace(recipe, optimiser=constant)
            run.advance(batch, self.phases)
            trial.pairs += len(batch)
            batch = self.feed.take(run.step)
            if time.monotonic() - measured_at > MEASURE_EVERY_S and last:
                trial.seconds += time.monotonic() - measured_at
                at = time.monotonic()
                self.measure(trial)
                measured_at = time.monotonic()
                paused += measured_at - at
        trial.seconds += time.monotonic() - measured_at
        took = max(time.monotonic() - begun - paused, 1e-9)
        steps = run.step - first_step
        row = {"steps": steps, "steps_s": round(steps / took, 2), "size": trial.stage.size}
        if self.device.type == "cuda":
            row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
        self.found["trials"].setdefault(trial.name, []).append(row)
        print(trial.name, row, flush=True)
        for mix in MIXED_LAST if last else MIXED:
            if self.session.left > self.reserve / 2:
                self.measure(trial, mix)

    def tried(self, trial: Trial, seconds: float) -> None:
        """One that fails is out; the others go on."""
        try:
            self.train(trial, seconds)
        except (XmatchError, RuntimeError) as error:
            trial.best = -math.inf
            self.found["trials"].setdefault(trial.name, []).append({"failed": str(error)[:1000]})
            print(trial.name, "failed:", str(error)[:1000], flush=True)

    def hold(self) -> dict[str, Any]:
        self.reserve = 6.0
        begun = time.monotonic()
        self.warm_up()
        self.found["warm_up_s"] = round(time.monotonic() - begun, 1)
        self.measure(None)
        if self.session.on_gpu:
            self.measure(None)  # timed without what the first one compiles
        took = self.found["measured"][-1]["took_s"]
        self.reserve = 4.0 + took * len(MIXED_LAST)
        alive = self.trials
        whole = self.session.left - self.reserve - took * len(MIXED) * 1.6 * len(alive)
        whole = max(whole, 0.3 * self.session.left)
        for share in ROUNDS if len(alive) > 1 else ():
            for trial in alive:
                self.tried(trial, share * whole / len(alive))
            alive = sorted(alive, key=lambda trial: -trial.best)[: max(1, (len(alive) + 1) // 2)]
            print("going on with", [trial.name for trial in alive], flush=True)
        free = [trial for trial in self.trials if trial.free] or self.trials
        winner = max(free, key=lambda trial: trial.best)
        self.found["winner"] = winner.name
        self.train(winner, max(1.0, self.session.left - self.reserve - took), last=True)
        self.tell()
        return {key: self.found[key] for key in ("winner", "best", "scenes", "trials")}


def stage_of(share: float, recipe: PretrainRecipe) -> Stage:
    """Of the last run, so far on; trials before it know the first stage alone."""
    return recipe.stage_at(int(share * recipe.steps))


def mixed(old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """New weights with a share, old ones with the rest; whole numbers are the new ones'."""
    return {k: torch.lerp(old[k], v, share) if v.is_floating_point() else v.clone() for k, v in new.items()}


def small(recipe: PretrainRecipe) -> PretrainRecipe:
    """The same trial, small enough for a CPU."""
    data = tuple(dataclasses.replace(s, pool=8, side=192) if s.kind in STORED else s for s in recipe.data)
    stages = tuple(dataclasses.replace(stage, size=96, batch=4) for stage in recipe.stages)
    return dataclasses.replace(recipe, data=data, stages=stages)


def prepared(session: Any) -> None:
    """Ask for the first scenes, so that they are made while other parts are at work."""
    session.tournament = Tournament(session)


def trials(session: Any) -> dict[str, Any]:
    """The part of `gpu_run`."""
    return session.tournament.hold()
