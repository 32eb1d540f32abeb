"""The sparse matcher: corners, descriptors of a small network, and LightGlue between them, trained together.

LightGlue (Lindenberger et al. 2023) is kornia's, every layer supervised by its assignment loss. Published LightGlue
leaves the descriptors as they are; here they learn too, since none that exist are made for a pair of sensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from kornia.feature import LightGlue, gftt_response
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.edges import standardised
from xmatch.networks.layers import conv
from xmatch.networks.shapes import built, chosen
from xmatch.networks.truth import mutual_nearest, true_places
from xmatch.synth.pairs import TrainingPairs

MATCHED_PX, UNMATCHED_PX = 3.0, 5.0
"""Nearer is a match; further from everything than the second is none; between is neither."""
BORDER_PX = 4
"""Corners nearer to the end of what is valid are those of the border, not of the scene."""


@dataclass(frozen=True)
class SparseConfig:
    points: int = 512
    """Corners an image."""
    channels: tuple[int, ...] = (32, 64, 96)
    """Of the describing network at strides 1, 2 and 4."""
    descriptor: int = 128
    layers: int = 6
    """Of LightGlue."""
    heads: int = 4

    def __post_init__(self) -> None:
        if self.descriptor % (2 * self.heads):
            raise ValueError("descriptor must be a multiple of twice the heads")
        if self.points < 8 or self.layers < 1:
            raise ValueError("want points >= 8 and layers >= 1")


SIZES = {"lightglue-small": SparseConfig(), "lightglue-base": SparseConfig(1024, (48, 96, 192), 256, 9, 4)}


@dataclass(frozen=True, eq=False)
class Points:
    xy: Tensor
    """(B, N, 2) px, first pixel centre at (0.5, 0.5), strongest first."""
    usable: Tensor
    """(B, N) bool: false for those that stand in where an image has too few."""


class Describer(nn.Module):
    """Image and mask -> descriptors at every 4th pixel."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        widths = (2, *config.channels)
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip(widths, config.channels, strict=False)):
            layers += [
                conv(inputs, outputs, stride=1 if number == 0 else 2),
                nn.ReLU(),
                conv(outputs, outputs),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Conv2d(config.channels[-1], config.descriptor, 1))

    def forward(self, image: Tensor, valid: Tensor, xy: Tensor) -> Tensor:
        """(B, N, D) of unit length at (B, N, 2) px."""
        height, width = image.shape[-2:]
        found = self.body(torch.cat([standardised(image, valid), valid.to(image.dtype)], 1)).float()
        grid = (2 * xy / xy.new_tensor([width, height]) - 1)[:, None]
        return F.normalize(F.grid_sample(found, grid, align_corners=False)[:, :, 0].transpose(1, 2), dim=-1)


class Glue(LightGlue):
    """LightGlue whose every layer tells its assignment, and whose gradient reaches the descriptors."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__(
            None,
            input_dim=config.descriptor,
            descriptor_dim=config.descriptor,
            n_layers=config.layers,
            num_heads=config.heads,
            depth_confidence=-1,
            width_confidence=-1,
        )
        self.token_confidence.requires_grad_(False)  # only decide where to stop early, which is off

    def assignments(self, first: Tensor, second: Tensor, first_xy: Tensor, second_xy: Tensor) -> list[Tensor]:
        """(B, N + 1, M + 1) log assignment after each layer; positions within [-1, 1]."""
        a, b = self.posenc(first_xy), self.posenc(second_xy)
        found = []
        for layer, assign in zip(self.transformers, self.log_assignment, strict=True):
            first, second = layer(first, second, a, b)
            found.append(assign(first.float(), second.float())[0])
        return found


class SparseMatcher(nn.Module):
    """Corners, descriptors, assignment."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        self.points = config.points
        self.describer = Describer(config)
        self.glue = Glue(config)

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor
    ) -> tuple[Points, Points, list[Tensor]]:
        """Corners of both images, and the log assignments between them, one for each layer."""
        both, valid = torch.cat([fixed, moving]), torch.cat([fixed_valid, moving_valid])
        points = corners(both, valid, self.points)
        descriptors = self.describer(both, valid, points.xy).chunk(2)
        sides = both.new_tensor([both.shape[-1], both.shape[-2]])
        places = ((points.xy - sides / 2) / (sides.max() / 2)).chunk(2)
        halves = [Points(xy, usable) for xy, usable in zip(points.xy.chunk(2), points.usable.chunk(2), strict=True)]
        return halves[0], halves[1], self.glue.assignments(*descriptors, *places)


@torch.no_grad()
def corners(image: Tensor, valid: Tensor, count: int) -> Points:
    """The strongest corners by the smaller eigenvalue of the structure tensor (Shi and Tomasi 1994).

    Args:
        image: (B, 1, H, W).
        valid: (B, 1, H, W) bool.
        count: of points an image, at most a fourth of its pixels.
    """
    width = image.shape[-1]
    with torch.autocast(image.device.type, enabled=False):
        response = gftt_response(standardised(image.float(), valid)).clamp(min=0)
    side = 2 * BORDER_PX + 1
    inner = -F.max_pool2d(-F.pad(valid.float(), (BORDER_PX,) * 4), side, 1) > 0
    peak = response == F.max_pool2d(response, 5, 1, 2)
    # Others come after every peak, in their own order.
    score = torch.where(peak, response + response.amax((1, 2, 3), keepdim=True), response * 0.5)
    score = torch.where(inner, score, -1.0)
    strength, index = score.flatten(1).topk(min(count, score[0].numel() // 4))
    xy = torch.stack([index % width, index // width], -1).float() + 0.5
    return Points(xy, strength > 0)


class Sparse:
    architecture = "lightglue"

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(chosen(SIZES, size, changes))

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        return SparseMatcher(built(SparseConfig, config))

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        fixed, moving, layers = _forward(model, batch)
        labels = assignment_truth(batch, fixed, moving)
        losses = torch.stack([assignment_loss(scores, *labels) for scores in layers])
        return {"total": losses.mean(), "last": losses[-1].detach(), "matched": labels[0].float().sum(2).mean()}

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At the matches that are each other's best and more likely than none."""
        fixed, moving, layers = _forward(model, batch)
        scores = layers[-1]
        best = mutual_nearest(-scores[:, :-1, :-1]) & (scores[:, :-1, :-1] > scores[:, :-1, -1:])
        true_xy, seen = true_places(batch, fixed.xy)
        distance = torch.cdist(true_xy, moving.xy)
        return tuple(d[b & s[:, None]] for d, b, s in zip(distance, best, seen & fixed.usable, strict=True))


def assignment_truth(batch: TrainingPairs, fixed: Points, moving: Points) -> tuple[Tensor, Tensor, Tensor]:
    """Which corners match (B, N, M), and which of fixed (B, N) and of moving (B, M) have no partner; bool."""
    true_xy, seen = true_places(batch, fixed.xy)
    usable = fixed.usable[:, :, None] & moving.usable[:, None]
    distance = torch.cdist(true_xy, moving.xy)
    distance = torch.where(usable & seen[:, :, None], distance, torch.inf)
    matched = mutual_nearest(distance) & (distance < MATCHED_PX)
    fixed_alone = fixed.usable & (distance.amin(2) > UNMATCHED_PX)
    moving_alone = moving.usable & (distance.amin(1) > UNMATCHED_PX)
    return matched, fixed_alone, moving_alone


def assignment_loss(scores: Tensor, matched: Tensor, fixed_alone: Tensor, moving_alone: Tensor) -> Tensor:
    """Mean negative log likelihood of matches and of points without one, half and half (LightGlue, section 3.4)."""

    def mean(values: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)

    alone = mean(scores[:, :-1, -1], fixed_alone) + mean(scores[:, -1, :-1], moving_alone)
    return -(mean(scores[:, :-1, :-1], matched) + alone / 2) / 2


def _forward(model: nn.Module, batch: TrainingPairs):
    return model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid)
