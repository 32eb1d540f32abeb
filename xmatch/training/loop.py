"""The loop: steps, reports, validation, checkpoints, and the reasons to stop. It knows nothing of matching."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from xmatch.errors import ExitCode, XmatchError
from xmatch.training.export import WEIGHTS
from xmatch.training.feed import Feed
from xmatch.training.history import History, Row
from xmatch.training.phases import Phases
from xmatch.training.run import Run
from xmatch.training.signals import StopRequest
from xmatch.training.state import checkpoints, save_checkpoint

HISTORY, VALIDATION = "history.csv", "validation.csv"
POLL_SECONDS = 0.5
"""Seconds between two looks at signals and clock while a batch is waited for: a person does not notice it."""
GRACE_SECONDS = 10.0
"""So long after the deadline the first batch is waited for. Half of the 20 s that `--max-minutes` is kept within."""

Clock = Callable[[], float]
Stopped = Literal["done", "time", "signal"]


@dataclass(frozen=True)
class Reporter:
    """How the loop speaks of itself; nothing by default."""

    say: Callable[[str], object] = lambda line: None
    """A line of text."""
    warn: Callable[[str], object] = lambda line: None
    """A line that should not be missed."""
    progress: Callable[[str, float], object] = lambda stage, share: None
    """What is being done, and the share of all steps that are done."""


@dataclass(frozen=True)
class Course:
    """What a kind of training has beside its steps."""

    shown: Callable[[int], Row]
    """Of step 0, 1, ...: learning rates and the like, for the history."""
    export: Callable[[Path, Run, Callable[[str], object]], Path]
    """Write the weights into a folder; told where to warn."""
    validate: Callable[[Run], Sequence[Row]] | None = None
    """Measurements; the first row speaks for all."""
    every: int = 0
    """Steps between two validations; the last step is followed by one too."""
    state: Callable[[Run], dict[str, Any]] = Run.state_dict
    """What goes into a checkpoint."""
    validation_steps: float = 0.0
    """About how many steps one takes as long as, until one has been timed."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a session ended."""

    stopped: Stopped
    """done: all steps taken; time: the minutes are over; signal: asked to stop."""
    exit_code: ExitCode
    step: int
    steps: int
    minutes: float
    """Of training, sessions before this one included."""
    pairs_per_second: float
    """In this session, validation and files included."""
    losses: dict[str, float]
    """As last reported."""
    validation: dict[str, Any]
    """Of all pairs, as last measured."""
    checkpoint: str | None
    """None in processes that write nothing."""
    weights: str | None


def train(
    run: Run,
    feed: Feed,
    course: Course,
    folder: Path,
    *,
    stop: StopRequest,
    deadline: float | None = None,
    talk: Reporter = Reporter(),
    clock: Clock = time.monotonic,
) -> TrainingOutcome:
    """Take the steps that are left of a run.

    Args:
        run: changed in place.
        feed: batches by number.
        course: what is done beside the steps.
        folder: for checkpoints, history and weights; written by the first process.
        stop: set by signals.
        deadline: on `clock`; the run saves and leaves before a step, with the validation that follows it, that would
            not end by then. One step is taken all the same, unless its batch is not there `GRACE_SECONDS` later.
        talk: told of what happens.
        clock: seconds.

    Raises:
        ModelError: the loss is not finite, step after step.
        OutputError: the folder cannot be written to.
    """
    return _Session(run, folder, course, talk, clock).take_steps(feed, stop, deadline)


class _Session:
    def __init__(self, run: Run, folder: Path, course: Course, talk: Reporter, clock: Clock) -> None:
        self.run, self.folder, self.course, self.talk, self.clock = run, folder, course, talk, clock
        self.recipe = run.recipe
        self.writes = run.processes.writes
        self.losses: dict[str, float] = {}
        self.validation: dict[str, Any] = {}
        self.saved: Path | None = None
        self.weights: Path | None = None
        if self.writes:
            events = folder / "events" if self.recipe.tensorboard else None
            self.history = History(folder / HISTORY, run.step, events)
            self.measured = History(folder / VALIDATION, run.step, events)
        self.first_step, self.pairs = run.step, 0
        self.step_seconds: deque[float] = deque([0.0], maxlen=5)
        self.validate_seconds: float | None = None
        self.save_seconds = 0.0
        self.begun = self.ticked = self.saved_at = clock()
        self.reported_at, self.pairs_reported = self.begun, 0

    def take_steps(self, feed: Feed, stop: StopRequest, deadline: float | None) -> TrainingOutcome:
        run, recipe = self.run, self.recipe
        phases = Phases(run.device)
        stopped: Stopped = "done"
        started = self.clock()

        def reasons() -> tuple[bool, ...]:
            # Clocks differ: what one process sees, all are told of, or one would wait for the others for ever.
            now = self.clock()
            due = now - self.saved_at > 60 * recipe.checkpoint_minutes
            late = deadline is not None and now + self._needed(now - started) > deadline
            return stop.exit_code is not None, late, due

        try:
            while run.step < recipe.steps:
                number = run.step
                reported = self._is_reported(number)
                phases.begin(reported)
                started = self.clock()
                if (left_by := self._left_waiting(feed, number, stop, deadline)) is not None:
                    stopped = left_by
                    break
                batch = feed.take(number)
                phases.end("synthesis")
                # Not ahead of a step that is timed: its drawing would go unseen.
                ahead = not reported and number + 1 < recipe.steps and not self._is_reported(number + 1)
                prepare = partial(feed.prepare, number + 1) if ahead else lambda: None
                run.advance(batch, phases, prepare)
                asked, late, due = run.processes.any_of(reasons(), run.device)
                self.step_seconds.append(self.clock() - started)
                self.pairs += len(batch) * run.processes.count
                self._tick()
                self.talk.progress("train", run.step / recipe.steps)
                if reported:
                    self._report(phases)
                left = run.step < recipe.steps
                if self.course.every and (run.step % self.course.every == 0 or not left):
                    self._validate()
                if left and (asked or late):
                    stopped = "signal" if asked else "time"
                    break
                if due:
                    self._save()
        except XmatchError as error:
            if error.path is None and self.saved is not None:
                error.path = str(self.saved)  # the last good checkpoint
            raise
        finally:
            if self.writes:
                self.history.close()
                self.measured.close()
        return self._end(stopped, stop)

    def _needed(self, this_step: float) -> float:
        """Seconds until the next step is done, by the slowest of the last ones, with the saving, and the validations
        that follow it and the step that was just taken."""
        step, every = max(this_step, *self.step_seconds), self.course.every
        known = self.course.validation_steps * step if self.validate_seconds is None else self.validate_seconds
        taken, following = self.run.step, self.run.step + 1
        validations = [every and (n % every == 0 or n >= self.recipe.steps) for n in (taken, following)]
        return step + known * sum(map(bool, validations)) + self.save_seconds

    def _left_waiting(self, feed: Feed, number: int, stop: StopRequest, deadline: float | None) -> Stopped | None:
        """Wait for a batch; why that ended before it came. Several processes wait for each other instead."""
        if self.run.processes.count > 1:
            return None
        is_first = self.run.step == self.first_step
        while not feed.is_ready(number, POLL_SECONDS):
            if stop.exit_code is not None:
                return "signal"
            if deadline is not None and self.clock() > deadline + GRACE_SECONDS * is_first:
                if is_first:
                    self.talk.warn("the time was over before the first batch was drawn; nothing was trained")
                return "time"
        return None

    def _is_reported(self, number: int) -> bool:
        return (number + 1) % self.recipe.log_every == 0 or number + 1 == self.recipe.steps

    def _tick(self) -> None:
        now = self.clock()
        self.run.seconds += now - self.ticked
        self.ticked = now

    def _report(self, phases: Phases) -> None:
        run, recipe, now = self.run, self.recipe, self.clock()
        self.losses = {name: round(value, 6) for name, value in run.means().items()}
        rate = (self.pairs - self.pairs_reported) / max(now - self.reported_at, 1e-9)
        self.pairs_reported, self.reported_at = self.pairs, now
        row: Row = {
            "step": run.step,
            "minutes": round(run.seconds / 60, 3),
            **self.course.shown(run.step - 1),
            **self.losses,
            "pairs_per_second": round(rate, 2),
            **phases.shares(),
        }
        if self.writes:
            self.history.add(row)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        self.talk.say(f"step {run.step}/{recipe.steps}  {shown}  {rate:.1f} pairs/s")

    def _validate(self) -> None:
        if self.writes and self.course.validate is not None:
            self.talk.progress("validate", self.run.step / self.recipe.steps)
            begun = self.clock()
            rows = self.course.validate(self.run)
            self.validate_seconds = self.clock() - begun
            for row in rows:
                self.measured.add({"step": self.run.step, **row})
            self.validation = {"step": self.run.step, **rows[0]}
            self.talk.say("  ".join(f"{name} {value}" for name, value in self.validation.items()))
        self.run.processes.wait()
        self._tick()

    def _save(self) -> None:
        self._tick()
        if self.writes:
            self.saved = save_checkpoint(self.folder, self.course.state(self.run))
            self.weights = self.course.export(self.folder, self.run, self.talk.warn)
        self.run.processes.wait()
        self.saved_at = self.clock()
        self.save_seconds, self.ticked = self.saved_at - self.ticked, self.saved_at

    def _end(self, stopped: Stopped, stop: StopRequest) -> TrainingOutcome:
        run, recipe = self.run, self.recipe
        if run.step > self.first_step or not checkpoints(self.folder):
            self._save()
        elif self.writes:  # nothing was left to do
            self.saved, self.weights = checkpoints(self.folder)[0], self.folder / WEIGHTS
        code = (stop.exit_code or ExitCode.TERMINATED) if stopped == "signal" else ExitCode.OK
        took = max(self.clock() - self.begun, 1e-9)
        return TrainingOutcome(
            stopped=stopped,
            exit_code=code,
            step=run.step,
            steps=recipe.steps,
            minutes=round(run.seconds / 60, 3),
            pairs_per_second=round(self.pairs / took, 2),
            losses=self.losses,
            validation=self.validation,
            checkpoint=None if self.saved is None else str(self.saved),
            weights=None if self.weights is None else str(self.weights),
        )
