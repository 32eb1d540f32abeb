"""Learning rate and difficulty by step."""

import pytest

from xmatch.synth.difficulty import Difficulty
from xmatch.training.recipe import CurriculumSpec, OptimiserSpec
from xmatch.training.schedule import difficulty_at, learning_rate, progress

SPEC = OptimiserSpec(lr=1.0, warmup_steps=10, final_lr=0.1)


def test_the_rate_rises_linearly_and_reaches_its_top_at_the_end_of_the_warm_up():
    assert [learning_rate(SPEC, step, 111) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_the_rate_then_falls_as_half_a_cosine():
    assert learning_rate(SPEC, 60, 111) == pytest.approx(0.55)
    assert learning_rate(SPEC, 110, 111) == pytest.approx(0.1)


def test_no_warm_up_and_a_single_step_are_possible():
    assert learning_rate(OptimiserSpec(lr=1.0, warmup_steps=0), 0, 1) == 1.0


def test_the_curriculum_waits_climbs_and_stays():
    spec = CurriculumSpec(start=0.1, end=0.5)
    assert [progress(spec, step, 100) for step in (0, 10, 30, 50, 99)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert difficulty_at(spec, 0, 100) == Difficulty.EASY and difficulty_at(spec, 70, 100) == Difficulty.FULL


def test_without_a_ramp_everything_is_hard_at_once():
    assert progress(CurriculumSpec(start=0.0, end=0.0), 0, 100) == 1


def test_bounds_of_the_curriculum_can_be_changed_field_by_field():
    easy, full = CurriculumSpec(easy={"max_shift": 0.0}, full={"max_angle_deg": 30.0}).bounds()
    assert easy.max_shift == 0 and easy.gap == Difficulty.EASY.gap
    assert full.max_angle_deg == 30 and full.gap == Difficulty.FULL.gap


def test_an_unknown_field_of_difficulty_is_named():
    with pytest.raises(ValueError, match="max_angel.*known.*max_angle_deg"):
        CurriculumSpec(full={"max_angel": 3.0})
