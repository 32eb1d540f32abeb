"""`xmatch adapt`: from pairs and weights to adapted weights that were seen to be better, or to a plain no."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xmatch.adaptation.base import Base, open_base
from xmatch.adaptation.collect import Asked, Collected, collect
from xmatch.adaptation.draws import Batches, held_batches
from xmatch.adaptation.evidence import Evidence, Row, fields_score, labelled_score, unlabelled_score
from xmatch.adaptation.guard import Gain, Guard
from xmatch.adaptation.low_rank import additions, merged
from xmatch.adaptation.material import Judges, Material, prepare
from xmatch.adaptation.objective import FewShot
from xmatch.adaptation.origin import Origin
from xmatch.adaptation.outputs import LAST, Targets, write_weights
from xmatch.adaptation.poses import POSES
from xmatch.adaptation.pseudo import NONE, OF_A_TEACHER
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.verdicts import accepted
from xmatch.errors import ExitCode, InputError, UsageError
from xmatch.networks.registry import load_objective
from xmatch.synth.pairs import TrainingPairs
from xmatch.training.distributed import Processes, choose_device
from xmatch.training.feed import Inline
from xmatch.training.history import History
from xmatch.training.loop import HISTORY, VALIDATION, Course, Outcome, Talk, train
from xmatch.training.run import Run
from xmatch.training.schedule import learning_rate
from xmatch.training.session import check_same, held_folder, memory_told, set_up
from xmatch.training.signals import StopRequest, stop_on_signals
from xmatch.training.state import checkpoints, load_newest


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    asked: Asked
    output: Path
    recipe: AdaptRecipe | None = None
    """None: that of the family the weights belong to."""
    matcher: str = "xmatch-fields"
    weights: str | None = None
    max_minutes: float | None = None
    """Training ends after this long, set-up included, and what it has reached is judged."""
    resume: bool = True
    device: str = "auto"
    threads: int | None = None
    overwrite: bool = False
    seed: int | None = None
    """In place of the recipe's."""
    begun: float = field(default_factory=time.monotonic)
    """When the command was started, on `time.monotonic`: loading torch takes a while too."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """How an adaptation ended."""

    exit_code: ExitCode
    """0: better; 4: not better; 130, 143: stopped before it was known."""
    outcome: Outcome
    recipe: AdaptRecipe
    collected: Collected
    judges: Judges
    """What the held-out pairs are."""
    registered: int
    """Unlabelled pairs that counted as labelled."""
    base: Base
    untouched: list[Row]
    """Of the weights it began with; the first row has the score that counts."""
    best: Row
    gain: Gain | None
    """Of the score, on the same views; None when it was stopped before anything was measured."""
    verdicts: dict[str, int] | None
    """Accepted registrations of held-out pairs, "before" and "after", "of" so many; None where none were counted."""
    better: bool | None
    """None when it was stopped before it was known."""
    weights: Path | None
    """Where the best weights are."""
    shown: tuple[Any, ...] = ()
    """`xmatch.adaptation.overlays.Overlay`s of held-out pairs."""

    @property
    def before(self) -> Row:
        return self.untouched[0]


def adapt(options: Options, talk: Talk = Talk()) -> Adapted:
    """Adapt weights to the pairs, or go on with it.

    Raises:
        UsageError: a wrong option or recipe, or the folder of the run holds another one.
        InputError: the pairs cannot be used.
        OutputError: the output exists or cannot be written.
        ModelError: the weights or the checkpoints cannot be used, or the loss is not finite.
        ResourceError: out of memory.
    """
    targets = Targets.of(options.output)
    device = choose_device(options.device)
    base = open_base(options.matcher, options.weights)
    recipe = _recipe(options, base)
    targets.check(options.overwrite, [base.path])
    collected = collect(options.asked, recipe.guard, recipe.seed)
    for row in collected.unusable:
        talk.warn(f"passed over: {row.where}: {row.reason}")
    set_up(device, options.threads)
    with stop_on_signals() as stop, memory_told(recipe), held_folder(targets.run_folder, Processes()) as folder:
        return _Adaptation(options, recipe, base, collected, folder, device, targets, talk).run(stop)


def _recipe(options: Options, base: Base) -> AdaptRecipe:
    """The recipe that was asked for, or the family's own.

    Raises:
        UsageError: it is none for these weights and pairs.
    """
    recipe = options.recipe or base.family.recipe
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    if recipe.pseudo != NONE and not base.family.scales:
        raise UsageError(
            f"{base.metadata.architecture} predicts no warp, so it has no pseudo-labels",
            hint=f"pseudo: {NONE}, with labelled pairs or trust_verdicts: true",
        )
    if options.asked.labelled == 0 and recipe.pseudo == NONE and not recipe.trust_verdicts:
        raise UsageError("without labelled pairs and pseudo-labels there is nothing to learn from")
    return recipe


class _Adaptation:
    def __init__(
        self,
        options: Options,
        recipe: AdaptRecipe,
        base: Base,
        collected: Collected,
        folder: Path,
        device: torch.device,
        targets: Targets,
        talk: Talk,
    ) -> None:
        self.options, self.base, self.folder, self.device = options, base, folder, device
        self.recipe, self.targets, self.talk, self.collected = recipe, targets, talk, collected
        self.threads = options.threads or torch.get_num_threads()
        self.objective = FewShot(load_objective(base.family.objective), recipe, base.family.scales)
        limit = options.max_minutes
        self.deadline = None if limit is None else options.begun + 60 * limit
        # The search for a start may take half of the time; pairs that it does not come to are left out.
        self.half_time = float("inf") if limit is None else options.begun + 30 * limit

    def run(self, stop: StopRequest) -> Adapted:
        if not self.options.resume:
            for path in (*checkpoints(self.folder), *(self.folder / n for n in (HISTORY, VALIDATION, POSES, LAST))):
                path.unlink(missing_ok=True)
        material = prepare(
            self.collected,
            self.recipe,
            self.folder,
            threads=self.threads,
            talk=self.talk,
            stop=stop,
            until=self.half_time,
        )
        self.collected = material.collected
        views = [scene.name for scene in material.held for _ in range(self.recipe.guard.views)]
        guard = Guard(self._measure(material), views, self.recipe.guard.gain)
        parts = {"confidence": self.objective, "guard": guard, "origin": Origin(self.base, self.collected)}
        run = Run(self.recipe, self.objective, self.base.config, self.device, Processes(), parts)
        self._begin(run, guard)
        if self.recipe.pseudo in OF_A_TEACHER:
            teacher = run.averaged_model()
            self.objective.teacher = lambda: run.averaged_model(into=teacher)
        batches = Batches(material.labelled, material.unlabelled, self.recipe, self.device)
        feed = Inline(batches, self.device)
        course = Course(self._shown, self._export, guard.check, self.recipe.guard.every)
        outcome = train(run, feed, course, self.folder, stop=stop, deadline=self.deadline, talk=self.talk)
        if outcome.stopped == "time" and outcome.validation.get("step") != run.step:
            measured = History(self.folder / VALIDATION, run.step)  # the curve ends with what is judged
            for row in guard.check(run):
                measured.add({"step": run.step, **row})
        return self._end(guard, outcome, material)

    def _matcher(self, tensors: dict[str, torch.Tensor]):
        """The matcher around a network without additions."""
        network = load_objective(self.base.family.objective).build(self.base.config)
        network.load_state_dict(tensors)
        return self.base.family.matcher(network, str(self.device))

    def _measure(self, material: Material):
        """What the guard asks: errors where there is a truth, if only of a registration; else agreement."""
        if material.judges == "unlabelled" and not self.base.family.scales:
            raise InputError(
                "none of the held-out pairs registers so that it can be trusted, and "
                f"{self.base.metadata.architecture} cannot judge itself",
                hint="give three labelled pairs",
            )
        held = held_batches(material.held, self.recipe)
        shown: tuple[TrainingPairs, ...] = held_batches(material.known, self.recipe) if material.known else ()

        def measure(model: nn.Module) -> tuple[Evidence, list[Row]]:
            if not self.base.family.scales:
                found = fields_score(self.objective, model, held, self.device)
            elif material.judges == "unlabelled":
                found = unlabelled_score(model, held, self.device, self.recipe.finest)
            else:
                found = labelled_score(self.objective, model, held, self.device)
            found = replace(found, row={**found.row, "modalities": f"held out, {material.judges}"})
            if not shown:
                return found, []
            # Never asked by the guard: the truth of unlabelled pairs is for the report.
            told = labelled_score(self.objective, model, shown, self.device).row
            return found, [{**told, "modalities": "held out, truth known"}]

        return measure

    def _begin(self, run: Run, guard: Guard) -> None:
        found = load_newest(self.folder, self.talk.warn) if self.options.resume else None
        if found is not None:
            state, path = found
            check_same(state, self.recipe, Processes(), self.folder)
            run.load_state_dict(state)
            self.talk.say(f"going on from {path} at step {run.step} of {run.recipe.steps}")
            return
        state = run.model.state_dict()
        run.model.load_state_dict({**additions(state), **self.base.tensors})
        run.average.restart(run.model)
        guard.begin(run)
        for row in guard.untouched:
            self.talk.say("untouched: " + "  ".join(f"{name} {value}" for name, value in row.items()))

    def _shown(self, step: int) -> Row:
        spec = self.recipe.optimiser
        decoder = learning_rate(spec, step, self.recipe.steps)
        return {"learning_rate": decoder, "encoder_learning_rate": decoder * spec.encoder_lr / spec.lr}

    def _export(self, folder: Path, run: Run, warn) -> Path:
        path = folder / LAST
        write_weights(path, merged(run.average.values()), self, run.step, run.seconds, {}, warn)
        return path

    def _end(self, guard: Guard, outcome: Outcome, material: Material) -> Adapted:
        of_pairs = self.collected, material.judges, material.registered
        common = (outcome, self.recipe, *of_pairs, self.base, guard.untouched, guard.best, guard.gain)
        if outcome.stopped == "signal" or not guard.best:
            return Adapted(outcome.exit_code, *common, None, None, None)
        after = merged(guard.weights)
        verdicts = self._verdicts(after) if self.recipe.guard.verdicts and material.judges != "labelled" else None
        better = guard.better and (verdicts is None or verdicts["after"] >= verdicts["before"])
        gain = guard.gain and guard.gain.as_dict()
        numbers = {"before": guard.before, "after": guard.best, "gain": gain, "verdicts": verdicts, "better": better}
        paths = self.targets.of_weights(better, low_rank=bool(self.recipe.lora_rank))
        writing = (self, int(guard.best["step"]), 60 * outcome.minutes, numbers, self.talk.warn)
        write_weights(paths[0], after, *writing, overwrite=self.options.overwrite or not better)
        for path in paths[1:]:
            write_weights(path, additions(guard.weights), *writing, overwrite=True, low_rank=True)
        shown: tuple = ()
        if self.base.family.scales:
            from xmatch.adaptation.overlays import overlays

            shown = overlays(material.held, self.base.tensors, after, self)
        code = ExitCode.OK if better else ExitCode.UNTRUSTED
        return Adapted(code, *common, verdicts, better, paths[0], shown)

    def _verdicts(self, after: dict[str, torch.Tensor]) -> dict[str, int]:
        pairs = self.collected.held_unlabelled
        found = {}
        for name, tensors in (("before", self.base.tensors), ("after", after)):
            found[name] = accepted(
                self._matcher(tensors),
                pairs,
                seed=self.recipe.seed,
                threads=self.threads,
                progress=lambda share, name=name: self.talk.progress(f"verdicts {name}", share),
            )
        return {**found, "of": len(pairs)}
