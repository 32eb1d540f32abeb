"""Learning rate and difficulty as functions of the step, so that neither has a state to save."""

from __future__ import annotations

import math

from xmatch.synth.difficulty import Difficulty, between
from xmatch.training.recipe import CurriculumSpec, OptimiserSpec


def learning_rate(spec: OptimiserSpec, step: int, steps: int) -> float:
    """Of step 0, 1, ...: linear up to `lr`, then half a cosine down to `final_lr` of it at the last step.

    Loshchilov and Hutter 2017 (SGDR), without restarts.
    """
    if step < spec.warmup_steps:
        return spec.lr * (step + 1) / spec.warmup_steps
    share = min(1.0, (step - spec.warmup_steps) / max(1, steps - 1 - spec.warmup_steps))
    return spec.lr * (spec.final_lr + (1 - spec.final_lr) * (1 + math.cos(math.pi * share)) / 2)


def progress(spec: CurriculumSpec, step: int, steps: int) -> float:
    """How far the curriculum is at a step, in [0, 1]."""
    share = step / steps
    if share >= spec.end:
        return 1.0
    return max(0.0, (share - spec.start) / (spec.end - spec.start))


def difficulty_at(spec: CurriculumSpec, step: int, steps: int) -> Difficulty:
    return between(*spec.bounds(), progress(spec, step, steps))
