"""MATCHA's training (Xue et al. 2025, section 3.3): geometry and semantics each teach their own fused feature.

Pairs of `xmatch.synth.sources.things` are semantic, all others geometric; the unified feature is not supervised, as in
the paper, and there is no supervision for time.

Two formulas are printed with temperatures that would flatten what they are to sharpen (tau X X^T with tau = 0.02,
division by beta = 14.3); here similarities of features of length 1 are divided by 0.02 and multiplied by 14.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.matcha.config import STRIDE
from xmatch.networks.matcha.small import SmallFeatures, cells_at
from xmatch.networks.truth import true_places
from xmatch.synth.pairs import TrainingPairs
from xmatch.synth.sources.things import THING

POINTS = 192
"""Correspondences of a pair that are learnt from, drawn by chance."""
GEOMETRIC_TAU = 0.05
"""Temperature of the dual softmax. Not tuned."""
CONTRAST_TAU = 0.02
FLOW_BETA = 14.3
NOISE = 5.0 / 512
"""Standard deviation of what is added to the true place in the flow loss, share of the image's side: 5 px of 512."""
SEMANTIC = 0.1
"""Weight of the semantic losses."""


class Matcha(NetworkObjective):
    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        fixed, moving = _both(model, batch)
        places, seen = _truth(batch, fixed)
        # What a batch without pairs of a kind does not reach has a gradient of zero, not none.
        zero = 0.0 * torch.stack([feature.sum() for feature in (*fixed.fused, *moving.fused)]).sum()
        losses: dict[str, list[Tensor]] = {"geometric": [], "contrast": [], "flow": []}
        for i, sensors in enumerate(batch.modalities):
            cells = _some(seen[i])
            if len(cells) < 2:
                continue
            here, there = _cells(cells, fixed.low.shape[-1]), places[i, cells]
            if sensors[0] != THING:
                pair = fixed.fused.geometric[i], moving.fused.geometric[i]
                losses["geometric"].append(dual_softmax_loss(*_described(*pair, here, there), GEOMETRIC_TAU))
                continue
            pair = fixed.fused.semantic[i], moving.fused.semantic[i]
            first, second = _described(*pair, here, there)
            losses["contrast"].append(dual_softmax_loss(first, second, CONTRAST_TAU) / 2)
            losses["flow"].append(flow_loss(first, pair[1], there) + flow_loss(second, pair[0], here))
        means = {name: torch.stack(found).mean() if found else zero for name, found in losses.items()}
        total = means["geometric"] + SEMANTIC * (means["contrast"] + means["flow"]) + zero
        return {"total": total, **{name: value.detach() for name, value in means.items()}}

    @torch.no_grad()
    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """Of the nearest cell by the unified feature, at the cells of fixed that moving shows."""
        fixed, moving = _both(model, batch)
        places, seen = _truth(batch, fixed)
        first, second = fixed.of_task(), moving.of_task()
        found = []
        for i in range(len(batch)):
            nearest = (first[i].flatten(1).T[seen[i]] @ second[i].flatten(1)).argmax(1)
            found.append(STRIDE * (_cells(nearest, second.shape[-1]) - places[i, seen[i]]).norm(dim=1))
        return tuple(found)


def dual_softmax_loss(first: Tensor, second: Tensor, tau: float) -> Tensor:
    """Mean negative log probability that rows choose their partner, plus that columns do (XFeat's; CLIP's halves it).

    Args:
        first: (N, C) of length 1.
        second: (N, C), the n-th is the n-th's partner.
    """
    logits = first @ second.T / tau
    own = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)


def flow_loss(queries: Tensor, features: Tensor, places: Tensor) -> Tensor:
    """Mean distance, cells, between the soft-argmax over all cells and the true place with some noise.

    Args:
        queries: (N, C) of length 1.
        features: (C, h, w) of any length.
        places: (N, 2) cells.
    """
    height, width = features.shape[1:]
    weight = (FLOW_BETA * (queries @ F.normalize(features, dim=0).flatten(1))).softmax(1)
    centres = _cells(torch.arange(height * width, device=weight.device), width)
    noise = NOISE * max(height, width) * torch.randn(places.shape, device="cpu").to(places)
    distance: Tensor = torch.linalg.vector_norm(weight @ centres - places - noise, dim=1)
    return distance.mean()


def _both(model: nn.Module, batch: TrainingPairs) -> tuple[SmallFeatures, SmallFeatures]:
    """Features of fixed and of moving, from one pass."""
    found: SmallFeatures = model(torch.cat([batch.fixed, batch.moving]))
    count = len(batch)
    halves = [
        SmallFeatures(type(found.fused)(*(feature[part] for feature in found.fused)), found.low[part], found.high[part])
        for part in (slice(None, count), slice(count, None))
    ]
    return halves[0], halves[1]


def _truth(batch: TrainingPairs, fixed: SmallFeatures) -> tuple[Tensor, Tensor]:
    """(B, N, 2) where fixed's cells lie, cells of moving, and (B, N) bool whether moving shows them."""
    rows, columns = fixed.low.shape[-2:]
    centres = _cells(torch.arange(rows * columns, device=batch.fixed.device), columns)
    places, seen = true_places(batch, STRIDE * centres.expand(len(batch), -1, -1))
    return places / STRIDE, seen


def _described(first: Tensor, second: Tensor, here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    return cells_at(first, here), cells_at(second, there)


def _cells(numbers: Tensor, width: int) -> Tensor:
    """(N, 2) centres of cells, row by row, cells."""
    return torch.stack([numbers % width, numbers // width], -1) + 0.5


def _some(seen: Tensor) -> Tensor:
    """At most `POINTS` numbers of those that are seen, drawn by torch's own generator, which the run seeds."""
    cells = seen.nonzero()[:, 0]
    return cells[torch.randperm(len(cells), device="cpu")[:POINTS].to(cells.device)]
