"""`--max-minutes`: a run leaves before what would not end in time, and each session takes a step where it can."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from stubs import Tiny

from xmatch.errors import ExitCode
from xmatch.recipe import load_recipe
from xmatch.training.distributed import Processes
from xmatch.training.export import export_weights
from xmatch.training.feed import batches
from xmatch.training.loop import GRACE_SECONDS, POLL_SECONDS, Course, Reporter, train
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.run import Run
from xmatch.training.signals import StopRequest


class Slow:
    """A feed, and the clock beside it: each batch takes 30 s from the second on; the first takes `first`."""

    def __init__(self, draw, first: float = 30.0) -> None:
        self.draw, self.now, self.left = draw, 0.0, first

    def clock(self) -> float:
        return self.now

    def is_ready(self, number: int, seconds: float) -> bool:
        waited = min(seconds, self.left)
        self.now, self.left = self.now + waited, self.left - waited
        return self.left <= 0

    def take(self, number: int):
        self.left = 30.0
        return self.draw(number)

    def prepare(self, number: int) -> None: ...


def exported(loaded, folder, run, warn):
    return export_weights(folder, loaded, run, warn)


@pytest.fixture
def trained(recipe, tmp_path):
    def start(deadline: float, first: float = 30.0, validation: float | None = None, told: list | None = None, **more):
        """The outcome and the time it came at; `validation`: seconds of the one after step 3, as it turns out."""
        loaded = load_recipe(recipe(), PretrainRecipe)
        feed = Slow(batches(loaded, tmp_path, 0, "cpu"), first)

        def validate(run):
            feed.now += validation
            return [{"score": 1.0}]

        measured = {} if validation is None else {"validate": validate, "every": 3}
        course = Course(lambda step: {}, partial(exported, loaded), **measured, **more)
        run = Run(loaded, Tiny(), Tiny().config(None, {}), torch.device("cpu"), Processes())
        (tmp_path / "run").mkdir(exist_ok=True)
        talk = Reporter() if told is None else Reporter(warn=told.append)
        outcome = train(
            run, feed, course, tmp_path / "run", stop=StopRequest(), deadline=deadline, talk=talk, clock=feed.clock
        )
        return outcome, feed.now

    return start


def test_a_step_that_would_not_end_in_time_is_not_begun(trained):
    outcome, ended = trained(deadline=100.0)
    assert (outcome.stopped, outcome.step, ended) == ("time", 3, 90.0)


def test_a_validation_that_would_not_end_in_time_is_not_begun(trained):
    # It takes as long as five steps, by what is known of it: 60 + 30 + 150 s is more than 200.
    outcome, ended = trained(deadline=200.0, validation=150.0, validation_steps=5.0)
    assert (outcome.stopped, outcome.step, ended) == ("time", 2, 60.0)
    outcome, ended = trained(deadline=269.0, validation=150.0, validation_steps=5.0)
    assert (outcome.step, ended, outcome.validation["step"]) == (3, 240.0, 3)


def test_one_step_is_taken_however_short_the_time(trained):
    outcome, ended = trained(deadline=25.0)
    assert (outcome.step, ended) == (1, 30.0) and outcome.exit_code == ExitCode.OK


def test_a_first_batch_that_is_not_to_be_had_is_waited_for_a_little_and_told(trained):
    told: list[str] = []
    outcome, ended = trained(deadline=60.0, first=1000.0, told=told)
    assert (outcome.stopped, outcome.step) == ("time", 0)
    assert ended == pytest.approx(60.0 + GRACE_SECONDS, abs=2 * POLL_SECONDS)
    assert "nothing was trained" in told[0]
