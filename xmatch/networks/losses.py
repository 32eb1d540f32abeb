"""What the dense matcher is trained by: classification of coarse cells, robust regression and certainty by scale.

The shape of RoMa's loss (Edstedt et al. 2024), with two changes: the coarse stage is a dual softmax, so both of its
directions are classified; and certainty learns whether the present warp is right, not only whether a pixel is seen
in both images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import numbers
from xmatch.synth.pairs import TrainingPairs

REACH_CELLS = 3.0
"""Starting points further off than this many cells are beyond every refiner's window (`XMatchConfig.radius`)."""

TermKind = Literal["coarse", "local", "regression", "certainty"]
"""A field of `LossWeights`."""


@dataclass(frozen=True)
class LossWeights:
    coarse: float = 1.0
    regression: float = 1.0
    certainty: float = 0.1
    local: float = 0.5
    """Of classification by each cell's own looks: attention alone learns where cells are, not what they show."""


@dataclass(frozen=True, eq=False)
class LossTerm:
    """One part of a loss, without its weight."""

    kind: TermKind
    stride: int | None
    """Of the refinement, px; None: of global matching."""
    value: Tensor

    @property
    def name(self) -> str:
        """Column of a run's history: "coarse", "local", "certainty_coarse", "regression_8", ..."""
        return self.kind if self.kind in ("coarse", "local") else f"{self.kind}_{_scale_name(self.stride)}"


@dataclass(frozen=True, eq=False)
class DenseLoss:
    """The parts of a loss over several scales."""

    terms: tuple[LossTerm, ...]
    weights: LossWeights
    end_point_px: tuple[tuple[int | None, Tensor], ...] = ()
    """Stride (None: global matching) and mean end-point error of the coarsest and the finest scale."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return weighted_sum([(getattr(self.weights, term.kind), term.value) for term in self.terms])

    @property
    def finest_error_px(self) -> Tensor:
        """Mean end-point error of the finest scale."""
        return self.end_point_px[-1][1]

    def named(self) -> dict[str, Tensor]:
        """ "total" and all parts, as columns of a run's history."""
        errors = {f"epe_{_scale_name(stride)}": error for stride, error in self.end_point_px}
        return {"total": self.total, **{term.name: term.value for term in self.terms}, **errors}


def weighted_sum(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The sum of weight times value, in order."""
    first, *others = (weight * value for weight, value in parts)
    for value in others:
        first = first + value
    return first


def _scale_name(stride: int | None) -> str:
    return "coarse" if stride is None else str(stride)


@dataclass(frozen=True, eq=False)
class Truth:
    """Exact warp of the cells of one stride."""

    warp: Tensor
    """(B, h, w, 2) normalised position in moving of each cell's centre."""
    covisible: Tensor
    """(B, h, w) share of the cell's pixels that moving shows too."""
    side_px: Tensor
    """(2,) width and height of moving: normalised -> px is times half of this."""

    @property
    def whole(self) -> Tensor:
        """(B, h, w) bool: the whole cell is seen in both, so that its mean warp is its centre's."""
        return self.covisible > 0.99


def truth_at(warp: Tensor, covisible: Tensor, moving_shape: tuple[int, int], stride: int) -> Truth:
    """Truth of a stride from that of the pixels: (B, H, W, 2) normalised, (B, H, W) bool."""
    finite = torch.where(covisible[..., None], warp, 0.0)
    pooled = F.avg_pool2d(finite.permute(0, 3, 1, 2), stride).permute(0, 2, 3, 1)
    share = F.avg_pool2d(covisible[:, None].float(), stride)[:, 0]
    return Truth(pooled, share, numbers([moving_shape[1], moving_shape[0]], warp))


def distance_px(warp: Tensor, truth: Truth) -> Tensor:
    """(B, h, w) distance between a warp and the truth, px of moving."""
    distance: Tensor = torch.linalg.vector_norm((warp - truth.warp) * truth.side_px / 2, dim=-1)
    return distance


def coarse_loss(scores: Tensor, truth: Truth, shape: tuple[int, int]) -> Tensor:
    """Mean negative log dual probability of the true cell, shared bilinearly between the four around the true place.

    Args:
        scores: (B, N, M) log dual softmax: a sum of two log probabilities.
        truth: at the stride of the cells, (B, h, w) with h * w = N.
        shape: cells of moving (height, width), M in all.
    """
    height, width = shape
    size = numbers([width, height], truth.warp)
    place = ((truth.warp + 1) / 2 * size - 0.5).flatten(1, 2)
    low = place.floor()
    part = place - low
    total = scores.new_zeros(scores.shape[:2])
    for dy in (0, 1):
        for dx in (0, 1):
            corner = low + numbers([dx, dy], low)
            share = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            x, y = (corner[..., i].long().clamp(0, n - 1) for i, n in ((0, width), (1, height)))
            total = total + share * scores.gather(2, (y * width + x)[..., None])[..., 0]
    return -mean_where(total.clamp(min=-40), truth.whole.flatten(1))


def charbonnier(distance: Tensor, knee: float = 0.03, power: float = 0.5) -> Tensor:
    """Generalised Charbonnier of RoMa: knee^a ((d / knee)^2 + 1)^(a / 2), about d^a once d is well above the knee."""
    scale: float = knee**power
    return scale * ((distance / knee).square() + 1) ** (power / 2)


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of `values` where `chosen`; 0 where nothing is chosen."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)


def scale_losses(found: DenseWarp, truth: Truth, reachable: Tensor) -> tuple[Tensor, Tensor]:
    """Regression and certainty at one scale.

    Args:
        reachable: (B, h, w) bool: cells whose starting point lies within the window that was looked at. The rest
            would only teach the refiner to guess.
    """
    distance = distance_px(found.warp, truth) / found.stride
    regression = mean_where(charbonnier(distance), truth.whole & reachable)
    right = truth.covisible * (distance.detach() < max(1.0, 2 / found.stride))
    return regression, F.binary_cross_entropy_with_logits(found.certainty, right)


def dense_loss(prediction: Prediction, batch: TrainingPairs, weights: LossWeights = LossWeights()) -> DenseLoss:
    """Losses of a prediction at several scales against exact truth, with mean end-point errors over covisible cells."""
    shape = batch.moving.shape[2], batch.moving.shape[3]
    truths = {s: truth_at(batch.warp, batch.covisible, shape, s) for s in {w.stride for w in prediction.scales}}
    first, *refined = prediction.scales
    cells = (shape[0] // first.stride, shape[1] // first.stride)
    terms = [LossTerm("coarse", None, coarse_loss(prediction.scores, truths[first.stride], cells))]
    if prediction.local_scores is not None:
        terms.append(LossTerm("local", None, coarse_loss(prediction.local_scores, truths[first.stride], cells)))
    _, certainty = scale_losses(first, truths[first.stride], truths[first.stride].whole)
    terms.append(LossTerm("certainty", None, certainty))
    for found, guess in zip(refined, prediction.guesses, strict=True):
        truth = truths[found.stride]
        reachable = distance_px(guess, truth) < REACH_CELLS * found.stride
        regression, certainty = scale_losses(found, truth, reachable)
        terms += [LossTerm("regression", found.stride, regression), LossTerm("certainty", found.stride, certainty)]
    with torch.no_grad():
        ends: list[tuple[int | None, DenseWarp]] = [(None, first)]
        ends += [(refined[-1].stride, refined[-1])] if refined else []
        errors = tuple(
            (stride, mean_where(distance_px(found.warp, truths[found.stride]), truths[found.stride].whole))
            for stride, found in ends
        )
    return DenseLoss(tuple(terms), weights, errors)
