"""`xmatch adapt`: from pairs and weights to adapted weights that were seen to be better, or to a plain no."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xmatch.adaptation.base import Base, open_base
from xmatch.adaptation.collect import Asked, Collected, collect
from xmatch.adaptation.draws import Batches, held_batches
from xmatch.adaptation.evidence import Row, labelled_score, unlabelled_score
from xmatch.adaptation.guard import Guard
from xmatch.adaptation.low_rank import additions, merged
from xmatch.adaptation.objective import FewShot
from xmatch.adaptation.origin import Origin
from xmatch.adaptation.outputs import LAST, Targets, write_weights
from xmatch.adaptation.pairs import Pair, Unusable
from xmatch.adaptation.poses import POSES, lay_pairs
from xmatch.adaptation.pseudo import NONE, OF_A_TEACHER
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.scenes import Scene, read_scenes
from xmatch.adaptation.verdicts import accepted
from xmatch.errors import ExitCode, InputError, UsageError, XmatchError
from xmatch.synth.pairs import TrainingPairs
from xmatch.training.distributed import Processes, choose_device
from xmatch.training.feed import Inline
from xmatch.training.loop import HISTORY, VALIDATION, Course, Outcome, Talk, train
from xmatch.training.objectives import load_objective
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
    recipe: AdaptRecipe = AdaptRecipe()
    matcher: str = "xmatch-small"
    weights: str | None = None
    max_minutes: float | None = None
    """Training ends after this long, set-up included, and what it has reached is judged."""
    resume: bool = True
    device: str = "auto"
    threads: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class Adapted:
    """How an adaptation ended."""

    exit_code: ExitCode
    """0: better; 4: not better; 130, 143: stopped before it was known."""
    outcome: Outcome
    collected: Collected
    base: Base
    untouched: list[Row]
    """Of the weights it began with; the first row has the score that counts."""
    best: Row
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
    begun = time.monotonic()
    recipe, targets = options.recipe, Targets.of(options.output)
    if options.asked.labelled == 0 and recipe.pseudo == NONE:
        raise UsageError("without labelled pairs and pseudo-labels there is nothing to learn from")
    device = choose_device(options.device)
    base = open_base(options.matcher, options.weights)
    targets.check(options.overwrite, [base.path])
    collected = collect(options.asked, recipe.guard, recipe.seed)
    for row in collected.unusable:
        talk.warn(f"passed over: {row.where}: {row.reason}")
    set_up(device, options.threads)
    with stop_on_signals() as stop, memory_told(recipe), held_folder(targets.run_folder, Processes()) as folder:
        return _Adaptation(options, base, collected, folder, device, targets, talk, begun).run(stop)


class _Adaptation:
    def __init__(
        self,
        options: Options,
        base: Base,
        collected: Collected,
        folder: Path,
        device: torch.device,
        targets: Targets,
        talk: Talk,
        begun: float,
    ) -> None:
        self.options, self.base, self.folder, self.device = options, base, folder, device
        self.recipe, self.targets, self.talk, self.collected = options.recipe, targets, talk, collected
        self.threads = options.threads or torch.get_num_threads()
        self.objective = FewShot(load_objective(base.family.objective), options.recipe)
        limit = options.max_minutes
        self.deadline = None if limit is None else begun + 60 * limit
        # The search for a start may take half of the time; pairs that it does not come to are left out.
        self.half_time = float("inf") if limit is None else begun + 30 * limit

    def run(self, stop: StopRequest) -> Adapted:
        if not self.options.resume:
            for path in (*checkpoints(self.folder), *(self.folder / n for n in (HISTORY, VALIDATION, POSES, LAST))):
                path.unlink(missing_ok=True)
        held, labelled, unlabelled = self._scenes(stop)
        guard = Guard(self._measure(held), self.recipe.guard.gain)
        parts = {"confidence": self.objective, "guard": guard, "origin": Origin(self.base, self.collected)}
        run = Run(self.recipe, self.objective, self.base.config, self.device, Processes(), parts)
        self._begin(run, guard)
        if self.recipe.pseudo in OF_A_TEACHER:
            teacher = run.averaged_model()
            self.objective.teacher = lambda: run.averaged_model(into=teacher)
        feed = Inline(Batches(labelled, unlabelled, self.recipe, self.device), self.device)
        course = Course(self._shown, self._export, guard.check, self.recipe.guard.every)
        outcome = train(run, feed, course, self.folder, stop=stop, deadline=self.deadline, talk=self.talk)
        if outcome.stopped == "time":
            guard.check(run)
        return self._end(guard, outcome, held)

    def _scenes(self, stop: StopRequest) -> tuple[list[Scene], list[Scene], list[Scene]]:
        """Held-out, labelled and unlabelled scenes."""
        collected, recipe = self.collected, self.recipe
        held, labelled, bad = [], [], []
        for pairs, into in ((collected.held_labelled, held), (collected.labelled, labelled)):
            scenes, unusable = read_scenes([(pair, pair.truth) for pair in pairs], True, recipe)
            into += scenes
            bad += unusable
        wanted = collected.held_unlabelled + (collected.unlabelled if recipe.pseudo != NONE else ())
        laid, lost = self._laid(wanted, stop)
        keys = {pair.key for pair in collected.held_unlabelled}
        unlabelled: list[Scene] = []
        for of_held, into in ((True, held), (False, unlabelled)):
            chosen = [(pair, pose) for pair, pose in laid if (pair.key in keys) == of_held]
            scenes, unusable = read_scenes(chosen, False, recipe)
            into += scenes
            bad += unusable
        for row in (*lost, *bad):
            self.talk.warn(f"passed over: {row.where}: {row.reason}")
        self.collected = dataclasses.replace(collected, unusable=(*collected.unusable, *lost, *bad))
        self._check_scenes(held, labelled, unlabelled, [*lost, *bad])
        return held, labelled, unlabelled

    def _check_scenes(self, held: list, labelled: list, unlabelled: list, bad: Sequence[Unusable]) -> None:
        """Raise InputError when what can be read is less than what is needed."""
        names = {scene.name for scene in labelled}
        asked = len(self.collected.labelled)
        told = f" ({bad[0].where}: {bad[0].reason})" if bad else ""
        if len(names) < asked:
            raise InputError(f"{len(names)} of {asked} labelled pairs can be read{told}")
        if not labelled and not unlabelled:
            raise InputError(f"no pair can be read{told}")
        if not held:
            raise InputError(f"none of the pairs that were held out can be read{told}")

    def _laid(self, pairs: Sequence[Pair], stop: StopRequest) -> tuple[list, list[Unusable]]:
        matcher = None
        if self.recipe.pose == "search":
            matcher = self._matcher(self.base.tensors)
        laid = lay_pairs(
            pairs,
            matcher,
            self.folder,
            seed=self.recipe.seed,
            threads=self.threads,
            progress=lambda share: self.talk.progress("look for a start", share),
            asked_to_stop=lambda: stop.exit_code is not None or time.monotonic() > self.half_time,
        )
        if stop.exit_code is not None:
            raise _Interrupted(stop.exit_code)
        return laid

    def _matcher(self, tensors: dict[str, torch.Tensor]):
        """The matcher around a network without additions."""
        network = load_objective(self.base.family.objective).build(self.base.config)
        network.load_state_dict(tensors)
        return self.base.family.matcher(network, str(self.device))

    def _measure(self, held: Sequence[Scene]):
        """What the guard asks: errors of held-out labelled pairs, else agreement of unlabelled ones."""
        of_truth = held_batches(held, self.recipe) if held[0].labelled else ()
        of_none = () if of_truth else held_batches(held, self.recipe)
        known = [scene for scene in held if scene.places is not None]
        shown: tuple[TrainingPairs, ...] = held_batches(known, self.recipe) if known else ()

        def measure(model: nn.Module) -> list[Row]:
            if of_truth:
                row = labelled_score(self.objective, model, of_truth, self.device)
                return [{**row, "modalities": "held out, labelled"}]
            row = unlabelled_score(model, of_none, self.device, self.recipe.finest)
            rows = [{"modalities": "held out, unlabelled", **row}]
            if shown:  # never asked by the guard: the truth of unlabelled pairs is for the report
                told = labelled_score(self.objective, model, shown, self.device)
                rows.append({**told, "modalities": "held out, truth known"})
            return rows

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

    def _end(self, guard: Guard, outcome: Outcome, held: Sequence[Scene]) -> Adapted:
        common = (outcome, self.collected, self.base, guard.untouched, guard.best)
        if outcome.stopped == "signal" or not guard.best:
            return Adapted(outcome.exit_code, *common, None, None, None)
        after = merged(guard.weights)
        verdicts = self._verdicts(after) if self.recipe.guard.verdicts and not held[0].labelled else None
        better = guard.better and (verdicts is None or verdicts["after"] >= verdicts["before"])
        numbers = {"before": guard.before, "after": guard.best, "verdicts": verdicts, "better": better}
        paths = self.targets.of_weights(better, low_rank=bool(self.recipe.lora_rank))
        writing = (self, int(guard.best["step"]), 60 * outcome.minutes, numbers, self.talk.warn)
        write_weights(paths[0], after, *writing, overwrite=self.options.overwrite or not better)
        for path in paths[1:]:
            write_weights(path, additions(guard.weights), *writing, overwrite=True, low_rank=True)
        from xmatch.adaptation.overlays import overlays

        shown = overlays(held, self.base.tensors, after, self)
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


class _Interrupted(XmatchError):
    """A signal came before there was anything to train."""

    code = "interrupted"

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__("interrupted; starts that were found are kept", hint="the same command goes on")
        self.exit_code = exit_code
