"""The dense matcher: warp and certainty at every scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from xmatch.networks.losses import dense_loss, distance_px, truth_at
from xmatch.networks.shapes import built, chosen
from xmatch.networks.xmatch.config import SIZES, XMatchConfig
from xmatch.networks.xmatch.network import XMatch
from xmatch.synth.pairs import TrainingPairs


class Dense:
    architecture = "xmatch"

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(chosen(SIZES, size, changes))

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        return XMatch(built(XMatchConfig, config))

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        return dense_loss(_forward(model, batch, finest), batch)

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At every cell of the finest scale that both images show whole."""
        found = _forward(model, batch).finest
        truth = truth_at(batch.warp, batch.covisible, tuple(batch.moving.shape[2:]), found.stride)
        distance = distance_px(found.warp, truth)
        return tuple(d[whole] for d, whole in zip(distance, truth.whole, strict=True))


def _forward(model: nn.Module, batch: TrainingPairs, finest: int = 1):
    return model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, finest=finest)
