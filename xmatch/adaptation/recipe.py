"""What an adaptation is: read from recipes/adapt*.yaml, checked before anything is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xmatch.synth.difficulty import Difficulty
from xmatch.training.recipe import OptimiserSpec, Precision, Stage, shaping_digest

Scheme = Literal["pl-f", "pl", "pl-t", "pl-ema", "pl-ema-f", "none"]
""""none" and `xmatch.adaptation.pseudo.SCHEMES`; a test compares the two."""
ThresholdKind = Literal["adaptive", "fixed", "freematch"]
"""`xmatch.adaptation.thresholds.THRESHOLDS`."""
FittedKind = Literal["similarity", "affine", "homography"]

BESIDE_THE_POINT = ("checkpoint_minutes", "description", "licence", "log_every", "tensorboard")
"""Keys that change nothing about the weights: an adaptation may go on with other values."""

AUGMENTATION = Difficulty(
    gap=1.0,
    max_angle_deg=25.0,
    max_scale=1.25,
    max_shift=0.2,
    shear=0.05,
    perspective=0.08,
    elastic=0.0,
    noise=0.0,
)
"""Perspective, scale, turn and shift as in the paper, which gives no ranges; nothing bends, and sensors stay as they
are. The turn is what the search around the matcher leaves."""


@dataclass(frozen=True)
class AdaptOptimiser(OptimiserSpec):
    """AdamW with a rate for the encoder and one for all the rest. The paper prints 1e-4 and 5e-6."""

    lr: float = 1e-4
    """Of the decoder: attention, matching, refiners."""
    encoder_lr: float = 1e-4
    warmup_steps: int = 0
    final_lr: float = 1.0
    """The paper tells of no schedule: constant."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder_lr <= 0:
            raise ValueError("encoder_lr must be above 0")

    def lr_of(self, parameter: str) -> float:
        return self.encoder_lr if parameter.startswith("encoder.") else self.lr


@dataclass(frozen=True)
class ThresholdSpec:
    kind: ThresholdKind = "adaptive"
    momentum: float = 0.98
    """gamma of equation (3). The paper has 0.999 and 6,250 unlabelled batches: it remembers a sixth of its run, as this
    does of `AdaptRecipe.steps`."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError("momentum must lie in [0, 1)")


@dataclass(frozen=True)
class GuardSpec:
    """What is held out, and how often it is asked."""

    every: int = 100
    """Steps between two measurements."""
    labelled: int = 1
    """Labelled pairs held out, where there are more than two."""
    unlabelled: int = 8
    """Unlabelled pairs held out; a fifth of them at most."""
    views: int = 4
    """Random views of each held-out pair."""
    gain: float = 0.0
    """Points by which the score must rise."""
    verdicts: bool = True
    """Register the held-out unlabelled pairs too, before and after, and compare how many are accepted."""

    def __post_init__(self) -> None:
        if min(self.every, self.labelled, self.unlabelled, self.views) < 1 or self.gain < 0:
            raise ValueError("want every, labelled, unlabelled and views >= 1, and gain >= 0")


@dataclass(frozen=True)
class TileSpec:
    """How large rasters are cut."""

    px: int = 768
    """Longest side of a tile, px of the fixed file; images up to one and a half times this stay whole."""
    overlap: float = 0.25
    """Share of a tile's side that it has in common with the next."""
    most: int = 64
    """Tiles of one pair at most; drawn evenly when there are more."""

    def __post_init__(self) -> None:
        if self.px < 64 or not 0 <= self.overlap <= 0.9 or self.most < 1:
            raise ValueError("want px >= 64, overlap in [0, 0.9] and most >= 1")


@dataclass(frozen=True)
class AdaptRecipe:
    """The whole of an adaptation, its pairs apart."""

    steps: int = 600
    """Labelled and unlabelled batches together; they take turns."""
    batch: int = 4
    """Pairs of a batch, labelled or not."""
    size: int = 128
    """Side of the square images that are trained on, px; a multiple of 32."""
    view_px: int = 256
    """Side of the square that has as many px as the views that images and tiles are read as."""
    finest: int = 2
    """Stride of the last refinement; what `xmatch register` uses."""
    pseudo: Scheme = "pl-f"
    """Pseudo-labels of unlabelled pairs; none: plain fine-tuning on the labelled ones (SFT)."""
    threshold: ThresholdSpec = ThresholdSpec()
    lambda_sup: float = 0.01
    lambda_ssl: float = 1e-4
    local: float = 0.5
    """Weight of pretraining's classification by looks alone, on labelled batches: the search lives on it. The paper's
    matcher has no such part; 0 leaves it out."""
    fitted: FittedKind = "homography"
    """Kind of map that pl-t fits."""
    pose: Literal["search", "centre"] = "search"
    """How an unlabelled pair is laid before it is warped: as a registration by structure finds it, or centre on centre
    as it came, as in the paper."""
    augment: dict[str, float] = field(default_factory=dict)
    """Fields of `AUGMENTATION` to be changed."""
    trust_verdicts: bool = False
    """Unlabelled pairs whose registration is accepted count as labelled by it; not in the paper. Needs pose: search."""
    flip: bool = True
    """Both images of a pair together."""
    swap: bool = True
    """In half of the draws fixed and moving change places, or the way back would be forgotten."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Statistics of normalisations: as they are, or of each batch; few pairs make poor statistics."""
    lora_rank: int = 0
    """Above 0: train low-rank additions to attention and 1 x 1 convolutions alone."""
    ema_decay: float | None = None
    """Of the weights that are judged and kept, 0 being the present ones; None: 0.999 if an average teaches, else 0."""
    optimiser: AdaptOptimiser = AdaptOptimiser()
    guard: GuardSpec = GuardSpec()
    tiles: TileSpec = TileSpec()
    precision: Precision = "auto"
    checkpoint_minutes: float = 5.0
    log_every: int = 20
    tensorboard: bool = False
    licence: str | None = None
    """Of the adapted weights; None: that of the weights they come from."""
    description: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.view_px < 32 or self.seed < 0 or self.lora_rank < 0:
            raise ValueError("want steps and batch >= 1, view_px >= 32, seed and lora_rank >= 0")
        if min(self.lambda_sup, self.lambda_ssl, self.local) < 0 or self.log_every < 1 or self.checkpoint_minutes <= 0:
            raise ValueError("want weights of losses >= 0, log_every >= 1 and checkpoint_minutes > 0")
        if self.ema_decay is None:
            object.__setattr__(self, "ema_decay", 0.999 if self.pseudo in ("pl-ema", "pl-ema-f") else 0.0)
        if not 0 <= self.average_decay < 1:
            raise ValueError("ema_decay must lie in [0, 1)")
        known = [f.name for f in dataclasses.fields(Difficulty)]
        for name in self.augment:
            if name not in known:
                raise ValueError(f"unknown field {name!r} of augment; known: {', '.join(known)}")
        if self.difficulty.elastic and self.pseudo == "pl-t":
            raise ValueError("pl-t fits one transform to a pair: augment.elastic must be 0")
        if self.lora_rank and self.batch_norm == "trained":
            raise ValueError("low-rank additions do not hold statistics: batch_norm must be frozen with lora_rank")
        if self.trust_verdicts and self.pose != "search":
            raise ValueError("trust_verdicts needs registrations: pose must be search")
        self.stages[0]  # whose sizes are checked there

    @classmethod
    def from_defaults(cls, fields: Mapping[str, Any]) -> AdaptRecipe:
        """The recipe that `Architecture.adaptation` describes: fields as in a recipe file."""
        parts = {"optimiser": AdaptOptimiser, "guard": GuardSpec, "threshold": ThresholdSpec}
        return cls(**{**fields, **{name: kind(**fields.get(name, {})) for name, kind in parts.items()}})

    @property
    def average_decay(self) -> float:
        return self.ema_decay or 0.0

    @property
    def difficulty(self) -> Difficulty:
        """Bounds of the random warps."""
        return dataclasses.replace(AUGMENTATION, **self.augment)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage(self.steps, self.size, self.batch, self.finest),)

    def stage_at(self, step: int) -> Stage:
        return self.stages[0]

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def digest(self) -> str:
        """SHA-256 over all that shapes the weights."""
        return shaping_digest(self.as_dict(), BESIDE_THE_POINT)
