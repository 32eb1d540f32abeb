"""`xmatch pretrain`: from a recipe to weights."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from xmatch.io.weights.files import load_state
from xmatch.io.weights.published_pickles import import_weights
from xmatch.networks.architecture import Architecture, NetworkObjective
from xmatch.networks.loading import fitted, load_companion
from xmatch.networks.registry import load_objective
from xmatch.networks.weights import find_weights
from xmatch.recipe import load_recipe
from xmatch.synth.pairs import TrainingPairs
from xmatch.synth.recipe import build_mixture
from xmatch.synth.sources.worlds import SceneMaker
from xmatch.training.distributed import Processes, choose_device, joined
from xmatch.training.export import export_weights, source_line
from xmatch.training.feed import batches, open_feed, open_maker
from xmatch.training.history import Row
from xmatch.training.loop import HISTORY, VALIDATION, Course, Reporter, TrainingOutcome, train
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.run import Run
from xmatch.training.schedule import learning_rate, progress
from xmatch.training.session import check_same, held_folder, memory_errors_explained, set_up
from xmatch.training.signals import stop_on_signals
from xmatch.training.start import Start
from xmatch.training.state import checkpoints, load_newest
from xmatch.training.validation import measure, validation_pairs


@dataclass(frozen=True)
class Options:
    """What the command line says about one session of a run."""

    recipe: Path
    output: Path | None = None
    """Folder of the run; None: runs/<name of the recipe>."""
    max_minutes: float | None = None
    """Save and leave after this long, set-up included."""
    resume: bool = True
    """Go on from the folder's newest checkpoint; else remove what is there."""
    device: str = "auto"
    seed: int | None = None
    """In place of the recipe's."""
    threads: int | None = None
    data: Path | None = None
    """Where relative folders of the recipe start; None: the recipe's own folder."""
    init: Path | None = None
    """Weights to start from instead of random ones: a file, or the name of a model of the package."""
    companion_weights: str | None = None
    """Of the network that the trained one looks with, where there is one."""
    begun: float = field(default_factory=time.monotonic)
    """When the command was started, on `time.monotonic`: loading torch takes a while too."""

    @property
    def run_folder(self) -> Path:
        return self.output or Path("runs") / self.recipe.stem

    @property
    def data_folder(self) -> Path:
        return self.data or self.recipe.parent

    def load(self) -> PretrainRecipe:
        """
        Raises:
            UsageError: the recipe is wrong.
        """
        recipe = load_recipe(self.recipe, PretrainRecipe)
        return recipe if self.seed is None else dataclasses.replace(recipe, seed=self.seed)


def pretrain(options: Options, talk: Reporter = Reporter(), maker: SceneMaker | None = None) -> TrainingOutcome:
    """Train as a recipe says, or go on with it.

    Args:
        options: of this session.
        talk: told of what happens.
        maker: makes scenes already; None: the run has its own.

    Raises:
        UsageError: a wrong recipe or device, or the folder holds a run of another recipe.
        InputError: the data cannot be used.
        OutputError: the folder cannot be written to, or another run is at work there.
        ModelError: `init` or the checkpoints cannot be used, or the loss is not finite.
        ResourceError: out of memory.
    """
    recipe = options.load()
    objective = _objective(recipe, options)
    config = objective.config(recipe.model.size, recipe.model.config)
    device = choose_device(options.device)
    if objective.entry.not_run:
        talk.warn(f"note: {objective.entry.not_run}")
    set_up(device, options.threads, recipe.precision)
    with joined(device) as processes, stop_on_signals() as stop, memory_errors_explained(recipe):
        talk = talk if processes.writes else Reporter()
        # The data come first: nothing is made on the disk before they are found to be usable.
        with (
            open_maker(recipe, device, processes.count) if maker is None else nullcontext(maker) as maker,
            open_feed(recipe, options.data_folder, processes.rank, device, maker) as feed,
            held_folder(options.run_folder, processes) as folder,
        ):
            start = Start()
            run = Run(recipe, objective, config, device, processes, {Start.name: start})
            _begin(run, objective.entry, start, options, folder, talk)
            deadline = None if options.max_minutes is None else options.begun + 60 * options.max_minutes
            course = _course(recipe, start, options, processes, maker)
            return train(run, feed, course, folder, stop=stop, deadline=deadline, talk=talk)


def plan(options: Options) -> dict[str, Any]:
    """What `pretrain` would do, after checking recipe, data, model and folder; writes nothing.

    Raises:
        XmatchError: what the run itself would begin with.
    """
    recipe = options.load()
    objective = _objective(recipe, options)
    config = objective.config(recipe.model.size, recipe.model.config)
    device = choose_device(options.device)
    pairs = batches(recipe, options.data_folder, 0, "cpu")(0)
    found = load_newest(options.run_folder, lambda line: None) if options.resume else None
    if found is not None:
        check_same(found[0], recipe, Processes(), options.run_folder)
    return {
        "schema": "xmatch.plan/1",
        "ok": True,
        "output": str(options.run_folder),
        "objective": recipe.model.objective,
        "matcher": objective.entry.matcher,
        "notes": [objective.entry.not_run] if objective.entry.not_run else [],
        "parameters": sum(p.numel() for p in objective.build(config).parameters()),
        "device": str(device),
        "data": [source_line(spec) for spec in recipe.all_data],
        "batch": list(pairs.fixed.shape),
        "steps": recipe.steps,
        "pairs": sum(stage.steps * stage.batch for stage in recipe.stages),
        "step": found[0]["step"] if found else 0,
        "recipe_sha256": recipe.digest(),
    }


def _objective(recipe: PretrainRecipe, options: Options) -> NetworkObjective:
    objective = load_objective(recipe.model.objective)
    for stage in recipe.stages:
        objective.entry.check_side(stage.size)
    companion = load_companion(objective.entry, options.companion_weights)
    objective.companion = companion.as_companion() if companion else None
    return objective


def _begin(run: Run, entry: Architecture[Any], start: Start, options: Options, folder: Path, talk: Reporter) -> None:
    """Put a run where it was left, or where `init` says."""
    if not options.resume and run.processes.writes:
        for path in (*checkpoints(folder), folder / HISTORY, folder / VALIDATION):
            path.unlink(missing_ok=True)
    run.processes.wait()
    found = load_newest(folder, talk.warn) if options.resume else None
    if found is not None:
        state, path = found
        check_same(state, run.recipe, run.processes, folder)
        run.load_state_dict(state)
        talk.say(f"going on from {path} at step {run.step} of {run.recipe.steps}")
    elif options.init is not None:
        path = find_weights(options.init)
        load_state(run.model, fitted(entry, import_weights(path).state_dict), path)
        start.begin(path)
        run.start_from(run.model.state_dict())


def _course(
    recipe: PretrainRecipe, start: Start, options: Options, processes: Processes, maker: SceneMaker | None
) -> Course:
    """Errors on a fixed set of pairs, and where learning rate and curriculum are."""

    def shown(step: int) -> Row:
        return {
            "learning_rate": learning_rate(recipe.optimiser, step, recipe.steps),
            "difficulty": round(progress(recipe.curriculum, step, recipe.steps), 4),
        }

    @cache
    def held_out() -> tuple[TrainingPairs, ...]:
        return validation_pairs(recipe, options.data_folder, maker)  # drawn when they are needed: it takes long

    def validate(run: Run) -> list[Row]:
        return measure(run.objective, run.averaged_model(), held_out(), run.device)

    def export(folder: Path, run: Run, warn: Callable[[str], object]) -> Path:
        return export_weights(folder, recipe, run, warn, start.sources)

    validates = bool(recipe.validation.every) and processes.writes
    if validates:
        build_mixture(recipe.validation_data, options.data_folder)  # what is wrong is said at once

    work = [stage.batch * stage.size**2 for stage in recipe.stages]
    steps = recipe.validation.pairs * recipe.stages[-1].size ** 2 / min(work)
    state = Run.small_state_dict if recipe.small_checkpoints else Run.state_dict
    return Course(shown, export, validate if validates else None, recipe.validation.every, state, steps)
