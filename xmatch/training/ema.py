"""Averaged weights: what is validated and shipped."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a model's parameters and buffers.

    Buffers are averaged too: the running statistics of batch normalisation must fit the averaged weights, not the
    present ones.

    Args:
        model: starts from its present values.
        decay: in [0, 1). Early on the average is shorter, (1 + n) / (10 + n), or it would remember the beginning.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def restart(self, model: nn.Module) -> None:
        """Begin again from a model's present values."""
        self._updates = 0
        for name, value in model.state_dict().items():
            self._values[name].copy_(value)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        new = model.state_dict()
        names = [name for name, value in self._values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self._values[n] for n in names], [new[n] for n in names], 1 - decay)
        whole = [name for name, value in self._values.items() if not value.is_floating_point()]
        if whole:
            torch._foreach_copy_([self._values[n] for n in whole], [new[n] for n in whole])

    def values(self) -> dict[str, Tensor]:
        """The averaged state dict; not a copy."""
        return self._values

    def state_dict(self) -> dict:
        return {"updates": self._updates, "values": self._values}

    def load_state_dict(self, state: dict) -> None:
        self._updates = int(state["updates"])
        for name, value in self._values.items():
            value.copy_(state["values"][name])
