"""What a training run is: read from recipes/pretrain-*.yaml, checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.recipe import SourceSpec

Precision = Literal["auto", "bf16", "fp32"]
FeedKind = Literal["auto", "inline", "process"]

SIDE_MULTIPLE = 32
"""Of image sizes: the coarsest stride of any objective is 16, and each size halves to a whole number of cells."""

BESIDE_THE_POINT = (
    "checkpoint_minutes",
    "description",
    "feed",
    "licence",
    "log_every",
    "makers",
    "small_checkpoints",
    "tensorboard",
    "validation",
)
"""Keys that change nothing about the weights: a run may go on with other values."""


@dataclass(frozen=True)
class ModelSpec:
    objective: str = "dense"
    """Of `xmatch.networks.registry.objective_names`."""
    size: str | None = None
    """Name of a shape; None: the objective's first."""
    config: dict[str, Any] = field(default_factory=dict)
    """Fields of that shape to be changed."""


@dataclass(frozen=True)
class Stage:
    """So many steps with images of one size."""

    steps: int
    size: int
    """Side of the square images, px."""
    batch: int
    """Pairs per step and process."""
    finest: int = 1
    """Stride of the last refinement that is trained, px; 16: global matching alone. Other objectives take no notice."""
    data: tuple[SourceSpec, ...] = ()
    """What this stage is trained on; empty: the `data` of the recipe."""

    def __post_init__(self) -> None:
        if min(self.steps, self.size, self.batch, self.finest) < 1:
            raise ValueError("steps, size, batch and finest must be at least 1")
        if self.size % SIDE_MULTIPLE:
            raise ValueError(f"size must be a multiple of {SIDE_MULTIPLE}")


@dataclass(frozen=True)
class OptimiserSpec:
    """AdamW with a linear warm-up and a cosine decay."""

    lr: float = 4e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 500
    final_lr: float = 0.01
    """Learning rate of the last step, share of `lr`."""
    clip: float = 1.0
    """Largest norm of the gradient of all parameters together."""

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.clip <= 0:
            raise ValueError("lr and clip must be above 0")
        if self.weight_decay < 0 or self.warmup_steps < 0 or not 0 <= self.final_lr <= 1:
            raise ValueError("want weight_decay >= 0, warmup_steps >= 0 and final_lr in [0, 1]")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in [0, 1)")

    def lr_of(self, parameter: str) -> float:
        """Learning rate of the parameter of that name; the schedule scales those of all alike."""
        return self.lr


@dataclass(frozen=True)
class CurriculumSpec:
    """From easy to full difficulty. From scratch on hard pairs a matcher does not start to learn."""

    start: float = 0.0
    """Share of all steps before which everything is easy."""
    end: float = 0.33
    """Share of all steps after which everything is as hard as it gets; 0: from the first step."""
    easy: dict[str, float] = field(default_factory=dict)
    """Fields of `Difficulty.EASY` to be changed."""
    full: dict[str, float] = field(default_factory=dict)
    """Fields of `Difficulty.FULL` to be changed."""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise ValueError("want 0 <= start <= end <= 1")
        known = [f.name for f in dataclasses.fields(Difficulty)]
        for name in (*self.easy, *self.full):
            if name not in known:
                raise ValueError(f"unknown field {name!r} of difficulty; known: {', '.join(known)}")
        self.bounds()

    def bounds(self) -> tuple[Difficulty, Difficulty]:
        return dataclasses.replace(Difficulty.EASY, **self.easy), dataclasses.replace(Difficulty.FULL, **self.full)


@dataclass(frozen=True)
class ValidationSpec:
    """A fixed set of pairs at full difficulty, measured with the averaged weights."""

    every: int = 1000
    """Steps between two measurements; 0: none."""
    pairs: int = 64
    data: tuple[SourceSpec, ...] = ()
    """Empty: what the last stage is trained on."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.every < 0 or self.pairs < 1:
            raise ValueError("want every >= 0 and pairs >= 1")


class RunRecipe(Protocol):
    """What a `Run` and the loop read of a recipe, whatever is trained."""

    @property
    def optimiser(self) -> OptimiserSpec: ...

    @property
    def average_decay(self) -> float: ...

    @property
    def precision(self) -> Precision: ...

    @property
    def checkpoint_minutes(self) -> float: ...

    @property
    def log_every(self) -> int: ...

    @property
    def tensorboard(self) -> bool: ...

    @property
    def seed(self) -> int: ...

    @property
    def stages(self) -> tuple[Stage, ...]: ...

    @property
    def steps(self) -> int: ...

    def stage_at(self, step: int) -> Stage: ...

    def as_dict(self) -> dict[str, Any]: ...

    def digest(self) -> str: ...


@dataclass(frozen=True)
class PretrainRecipe:
    """The whole of a training run."""

    data: tuple[SourceSpec, ...]
    """Relative folders start at the recipe's own, or at --data."""
    stages: tuple[Stage, ...]
    model: ModelSpec = ModelSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    curriculum: CurriculumSpec = CurriculumSpec()
    validation: ValidationSpec = ValidationSpec()
    ema_decay: float = 0.999
    precision: Precision = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    checkpoint_minutes: float = 10.0
    small_checkpoints: bool = False
    """A fourth of the size: weights in half precision, and the optimiser's moments begin anew when the run goes on."""
    log_every: int = 50
    feed: FeedKind = "auto"
    """Where pairs are drawn: in the training process, or in one of its own; auto: the latter on a CPU."""
    makers: int | None = None
    """Processes that make the scenes of worlds while an inline feed draws pairs; None: on a GPU, all cores but two."""
    tensorboard: bool = False
    licence: str | None = None
    """Of the weights, as the data allows; goes into their file."""
    description: str | None = None
    """Of the weights, one line; goes into their file."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.data or not self.stages:
            raise ValueError("data and stages need one entry at least")
        if not 0 <= self.ema_decay < 1:
            raise ValueError("ema_decay must lie in [0, 1)")
        if self.checkpoint_minutes <= 0 or self.log_every < 1 or min(self.seed, self.makers or 0) < 0:
            raise ValueError("want checkpoint_minutes > 0, log_every >= 1, makers >= 0 and seed >= 0")

    @property
    def average_decay(self) -> float:
        return self.ema_decay

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage of step 0, 1, ...; the last one beyond the end."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def data_of(self, stage: Stage) -> tuple[SourceSpec, ...]:
        return stage.data or self.data

    @property
    def validation_data(self) -> tuple[SourceSpec, ...]:
        return self.validation.data or self.data_of(self.stages[-1])

    @property
    def all_data(self) -> tuple[SourceSpec, ...]:
        """The sources of all stages, each once, in the order in which they come."""
        return tuple(dict.fromkeys(spec for stage in self.stages for spec in self.data_of(stage)))

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def digest(self) -> str:
        """SHA-256 over all that shapes the weights: two recipes with the same digest train the same."""
        values = self.as_dict()
        # A stage without data of its own trains as it did before stages could have any.
        stages = [{key: value for key, value in stage.items() if key != "data" or value} for stage in values["stages"]]
        return shaping_digest(values | {"stages": stages}, BESIDE_THE_POINT)


def shaping_digest(values: dict[str, Any], beside_the_point: Collection[str]) -> str:
    """SHA-256 over a recipe's values, those under some keys left out."""
    shaping = {key: value for key, value in values.items() if key not in beside_the_point}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
