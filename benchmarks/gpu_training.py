"""What `gpu_run` trains: the rates of the recipe's stages, its steps scaled to the minutes, and the training itself."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.gpu_session import Session
from xmatch.errors import ModelError, ResourceError
from xmatch.networks.registry import load_objective
from xmatch.synth.recipe import STORED
from xmatch.training.arguments import document
from xmatch.training.distributed import Processes
from xmatch.training.feed import Inline, batches
from xmatch.training.loop import Reporter
from xmatch.training.phases import Phases
from xmatch.training.pretrain import Options, pretrain
from xmatch.training.recipe import PretrainRecipe, Stage
from xmatch.training.run import Run

TRIES = 3
"""Of the training: one that ends for want of numbers or memory is begun again with a safer recipe."""
LEAST_S = 30.0
"""That must be left for another try."""
LAST_S = 6.0
"""For the last save, and for processes to end."""
USED_SHARE = 0.95
"""Of the minutes that are left, for which steps are planned: validation, saving and waiting take the rest. A cosine cut
a little short at its end has lost nothing."""
FRESH_SHARE = 0.8
"""Of the scenes that the processes can make, that are asked for."""


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
