"""A tiny objective, so that the engine is tested apart from any matcher. Run as a script, it is the command line of
`python -m xmatch.training` with that objective; under torchrun too."""

from __future__ import annotations

import os
import signal
import sys

import torch
from torch import nn

from xmatch.networks.architecture import Architecture, NetworkObjective
from xmatch.networks.registry import ARCHITECTURES


class Net(nn.Module):
    """Two images -> one shift for each pair, normalised."""

    def __init__(self, width: int, norm: bool, dropout: float) -> None:
        super().__init__()
        between = [nn.BatchNorm2d(width)] if norm else []
        self.body = nn.Sequential(
            nn.Conv2d(2, width, 5, 4), *between, nn.ReLU(), nn.Dropout(dropout), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.head = nn.Linear(4 * width, 2)

    def forward(self, fixed, moving):
        return self.head(self.body(torch.cat([fixed, moving], 1)))


class Tiny(NetworkObjective):
    def __init__(self, entry=None):
        super().__init__(entry or tiny_entry())

    def config(self, size, changes):
        return {"width": 4, "norm": True, "dropout": 0.5, **changes}

    def build(self, config):
        return Net(**config)

    def step(self, model, batch, *, finest=1):
        losses = (model(batch.fixed, batch.moving) - batch.warp.mean((1, 2))).square().mean()
        return {"total": losses, "shift": losses.detach().sqrt()}

    def errors(self, model, batch):
        found = model(batch.fixed, batch.moving)[:, None, None]
        distance = torch.linalg.vector_norm(found - batch.warp, dim=-1) * batch.fixed.shape[-1] / 2
        return tuple(d[seen] for d, seen in zip(distance, batch.covisible, strict=True))


def tiny_entry(objective=Tiny) -> Architecture:
    """What the registry says of it."""
    return Architecture("tiny", "tiny", "dense", ("head.weight",), objective_name="tiny", objective=objective)


class Endless(Tiny):
    """Asks to be ended, by the signal of the environment, in its third step."""

    steps = 0

    def step(self, model, batch, *, finest=1):
        Endless.steps += 1
        if Endless.steps == 3:
            os.kill(os.getpid(), getattr(signal, os.environ["XMATCH_TEST_SIGNAL"]))
        return super().step(model, batch, finest=finest)


if __name__ == "__main__":
    from xmatch.training.arguments import run

    ARCHITECTURES["tiny"] = tiny_entry(Endless if "XMATCH_TEST_SIGNAL" in os.environ else Tiny)
    sys.exit(run())
