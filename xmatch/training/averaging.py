"""Averaged weights: what is validated and shipped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

WARM_UP = 9
"""After n updates the decay is at most n / (n + 9), or the average would remember the beginning. TensorFlow's rule for
its exponential moving averages."""


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a model's parameters and buffers, from their present values on.

    Buffers are averaged too: the running statistics of batch normalisation must fit the averaged weights, not the
    present ones. Whole numbers (counters) are copied.

    Args:
        decay: in [0, 1).
    """

    def blend(averaged: Sequence[Tensor], present: Sequence[Tensor], updates: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(list(averaged), list(present))
            return
        count = int(updates)
        get_ema_multi_avg_fn(min(decay, count / (WARM_UP + count)))(list(averaged), list(present), updates)

    average = AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
    average.n_averaged.fill_(1)  # what it starts from counts: torch's own first update would forget it
    average.module.eval()
    return average
