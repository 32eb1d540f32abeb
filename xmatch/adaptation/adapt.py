"""`xmatch adapt`: from pairs and weights to adapted weights that were seen to be better, or to a plain no."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from xmatch.adaptation.base import Base, open_base
from xmatch.adaptation.collect import Collected, collect
from xmatch.adaptation.draws import Batches, held_batches
from xmatch.adaptation.evidence import Evidence, Row, labelled_score, unlabelled_score
from xmatch.adaptation.guard import Gain, Guard, Measure
from xmatch.adaptation.low_rank import additions, merged, stored, with_base
from xmatch.adaptation.material import Judges, Material, prepare
from xmatch.adaptation.objective import FewShot
from xmatch.adaptation.options import AdaptOptions
from xmatch.adaptation.origin import Origin
from xmatch.adaptation.outputs import LAST, AdaptationFiles, WeightsWriter
from xmatch.adaptation.overlays import Overlay, overlays
from xmatch.adaptation.poses import POSES
from xmatch.adaptation.pseudo import NONE, OF_A_TEACHER
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.verdicts import accepted
from xmatch.errors import ExitCode, InputError, UsageError
from xmatch.training.distributed import Processes, choose_device
from xmatch.training.feed import Inline
from xmatch.training.history import History
from xmatch.training.loop import HISTORY, VALIDATION, Course, Reporter, TrainingOutcome, train
from xmatch.training.run import Run, RunPart
from xmatch.training.schedule import learning_rate
from xmatch.training.session import check_same, held_folder, memory_errors_explained, set_up
from xmatch.training.signals import StopRequest, stop_on_signals
from xmatch.training.state import checkpoints, load_newest


@dataclass(frozen=True, eq=False, kw_only=True)
class Adapted:
    """How an adaptation ended."""

    exit_code: ExitCode
    """0: better; 4: not better; 130, 143: stopped before it was known."""
    outcome: TrainingOutcome
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
    verdicts: dict[str, int] | None = None
    """Accepted registrations of held-out pairs, "before" and "after", "of" so many; None where none were counted."""
    better: bool | None = None
    """None when it was stopped before it was known."""
    weights: Path | None = None
    """Where the best weights are."""
    overlays: tuple[Overlay, ...] = ()
    """Of held-out pairs."""

    @property
    def before(self) -> Row:
        return self.untouched[0]


def adapt(options: AdaptOptions, talk: Reporter = Reporter()) -> Adapted:
    """Adapt weights to the pairs, or go on with it.

    Raises:
        UsageError: a wrong option or recipe, or the folder of the run holds another one.
        InputError: the pairs cannot be used.
        OutputError: the output exists or cannot be written.
        ModelError: the weights or the checkpoints cannot be used, or the loss is not finite.
        ResourceError: out of memory.
    """
    files = AdaptationFiles.of(options.output)
    device = choose_device(options.device)
    base = open_base(options.matcher, options.weights, options.companion_weights)
    recipe = _recipe(options, base)
    files.check(options.overwrite, [base.path])
    collected = collect(options.request, recipe.guard, recipe.seed)
    for row in collected.unusable:
        talk.warn(f"passed over: {row.where}: {row.reason}")
    set_up(device, options.threads, recipe.precision)
    with (
        stop_on_signals() as stop,
        memory_errors_explained(recipe),
        held_folder(files.run_folder, Processes()) as folder,
    ):
        return _Adaptation(options, recipe, base, collected, folder, device, files, talk).run(stop)


def _recipe(options: AdaptOptions, base: Base) -> AdaptRecipe:
    """The recipe that was asked for, or the network's own.

    Raises:
        UsageError: it is none for these weights and pairs.
    """
    recipe = options.recipe or base.recipe
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    base.entry.check_side(recipe.size)
    if recipe.pseudo != NONE and not base.entry.predicts_warp:
        raise UsageError(
            f"{base.entry.name} predicts no warp, so it has no pseudo-labels",
            hint=f"pseudo: {NONE}, with labelled pairs or trust_verdicts: true",
        )
    if options.request.labelled == 0 and recipe.pseudo == NONE and not recipe.trust_verdicts:
        raise UsageError("without labelled pairs and pseudo-labels there is nothing to learn from")
    return recipe


class _Adaptation:
    def __init__(
        self,
        options: AdaptOptions,
        recipe: AdaptRecipe,
        base: Base,
        collected: Collected,
        folder: Path,
        device: torch.device,
        files: AdaptationFiles,
        talk: Reporter,
    ) -> None:
        self.options, self.base, self.folder, self.device = options, base, folder, device
        self.recipe, self.files, self.talk, self.collected = recipe, files, talk, collected
        self.threads = options.threads or torch.get_num_threads()
        self.pretraining = base.objective
        self.objective = FewShot(self.pretraining, recipe, base.entry.predicts_warp)
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
        origin = Origin(self.base, self.collected)
        parts: dict[str, RunPart] = {"confidence": self.objective, "guard": guard, "origin": origin}
        run = Run(self.recipe, self.objective, self.base.config, self.device, Processes(), parts)
        self._begin(run, guard)
        if self.recipe.pseudo in OF_A_TEACHER:
            self.objective.teacher = run.averaged_model()
        batches = Batches(material.labelled, material.unlabelled, self.recipe, self.device)
        feed = Inline(batches, self.device)
        course = Course(self._shown, self._export, guard.check, self.recipe.guard.every)
        outcome = train(run, feed, course, self.folder, stop=stop, deadline=self.deadline, talk=self.talk)
        if outcome.stopped == "time" and outcome.validation.get("step") != run.step:
            measured = History(self.folder / VALIDATION, run.step)  # the curve ends with what is judged
            for row in guard.check(run):
                measured.add({"step": run.step, **row})
        return self._end(guard, outcome, material)

    def _measure(self, material: Material) -> Measure:
        """What the guard asks: errors where there is a truth, if only of a registration; else agreement."""
        if material.judges == "unlabelled" and not self.base.entry.predicts_warp:
            raise InputError(
                "none of the held-out pairs registers so that it can be trusted, and "
                f"{self.base.entry.name} cannot judge itself",
                hint="give three labelled pairs",
            )
        held = held_batches(material.held, self.recipe)
        with_truth = held_batches(material.known, self.recipe) if material.known else ()

        def score(model: nn.Module) -> Evidence:
            if material.judges == "unlabelled":
                return unlabelled_score(model, held, self.device, self.recipe.finest)
            return labelled_score(self.pretraining, model, held, self.device)

        def measure(model: nn.Module) -> tuple[Evidence, list[Row]]:
            found = score(model)
            found = replace(found, row={**found.row, "modalities": f"held out, {material.judges}"})
            if not with_truth:
                return found, []
            # Never asked by the guard: the truth of unlabelled pairs is for the report.
            row = labelled_score(self.pretraining, model, with_truth, self.device).row
            return found, [{**row, "modalities": "held out, truth known"}]

        return measure

    def _begin(self, run: Run, guard: Guard) -> None:
        found = load_newest(self.folder, self.talk.warn) if self.options.resume else None
        if found is not None:
            state, path = found
            check_same(state, self.recipe, Processes(), self.folder)
            run.load_state_dict(state)
            self.talk.say(f"going on from {path} at step {run.step} of {run.recipe.steps}")
            return
        run.start_from(with_base(run.model.state_dict(), self.base.tensors))
        guard.begin(run)
        for row in guard.untouched:
            self.talk.say("untouched: " + "  ".join(f"{name} {value}" for name, value in row.items()))

    def _shown(self, step: int) -> Row:
        spec = self.recipe.optimiser
        decoder = learning_rate(spec, step, self.recipe.steps)
        return {"learning_rate": decoder, "encoder_learning_rate": decoder * spec.encoder_lr / spec.lr}

    def _writer(self, warn: Callable[[str], object]) -> WeightsWriter:
        return WeightsWriter(self.base, self.recipe, self.collected, self.device, warn)

    def _export(self, folder: Path, run: Run, warn: Callable[[str], object]) -> Path:
        path = folder / LAST
        weights = merged(stored(run.averaged_model().state_dict()))
        self._writer(warn).write(path, weights, step=run.step, seconds=run.seconds)
        return path

    def _end(self, guard: Guard, outcome: TrainingOutcome, material: Material) -> Adapted:
        adapted = Adapted(
            exit_code=outcome.exit_code,
            outcome=outcome,
            recipe=self.recipe,
            collected=self.collected,
            judges=material.judges,
            registered=material.registered,
            base=self.base,
            untouched=guard.untouched,
            best=guard.best,
            gain=guard.gain,
        )
        if outcome.stopped == "signal" or not guard.best:
            return adapted
        best = stored(guard.weights)
        after = merged(best)
        verdicts = self._verdicts(after) if self.recipe.guard.verdicts and material.judges != "labelled" else None
        better = guard.better and (verdicts is None or verdicts["after"] >= verdicts["before"])
        gain = guard.gain and guard.gain.as_dict()
        numbers = {"before": guard.before, "after": guard.best, "gain": gain, "verdicts": verdicts, "better": better}
        step, seconds = int(guard.best["step"]), 60 * outcome.minutes
        writer = self._writer(self.talk.warn)
        whole, *low_rank = self.files.of_weights(better, low_rank=bool(self.recipe.lora_rank))
        overwrite = self.options.overwrite or not better
        writer.write(whole, after, step=step, seconds=seconds, numbers=numbers, overwrite=overwrite)
        for path in low_rank:
            writer.write(path, additions(best), step=step, seconds=seconds, numbers=numbers, low_rank=True)
        pictures: tuple[Overlay, ...] = ()
        if self.base.entry.predicts_warp:
            networks = self.base.network(), self.base.network(after)
            pictures = overlays(material.held, *networks, self.recipe, self.device)
        code = ExitCode.OK if better else ExitCode.UNTRUSTED
        return replace(adapted, exit_code=code, verdicts=verdicts, better=better, weights=whole, overlays=pictures)

    def _verdicts(self, after: Mapping[str, Tensor]) -> dict[str, int]:
        pairs = self.collected.held_unlabelled
        found = {"of": len(pairs)}
        for name, tensors in (("before", self.base.tensors), ("after", after)):
            found[name] = accepted(
                self.base.matcher(tensors, str(self.device)),
                pairs,
                seed=self.recipe.seed,
                threads=self.threads,
                progress=self._progress(f"verdicts {name}"),
            )
        return found

    def _progress(self, stage: str) -> Callable[[float], object]:
        return lambda share: self.talk.progress(stage, share)
