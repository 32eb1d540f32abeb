"""LightGlue as kornia builds it, with the assignments of every layer for training."""

from __future__ import annotations

from typing import Any

import torch
from kornia.feature import LightGlue
from kornia.feature.lightglue import CrossBlock, SelfBlock
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.lightglue.config import LightGlueConfig

NEVER = -1
"""Switches early stopping and pruning off."""


class Attention(nn.Module):
    """In the precision that it is given. kornia's goes to float16 on a GPU, where many gradients of a large batch are
    too small to be anything."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return found if mask is None else found.nan_to_num()


class Glue(LightGlue):
    """LightGlue of any size; what it computes from its size is not among its tensors.

    Args:
        adaptive: leave out keypoints that surely have no partner, and layers that change nothing: half the time, and
            nearly the same matches.
    """

    def __init__(self, config: LightGlueConfig, adaptive: bool = True) -> None:
        confidence = {} if adaptive else {"depth_confidence": NEVER, "width_confidence": NEVER}
        super().__init__(
            None,  # type: ignore[arg-type]  # None: sizes as they are given, which kornia's annotation leaves out
            input_dim=config.input,
            descriptor_dim=config.width,
            n_layers=config.layers,
            num_heads=config.heads,
            **confidence,
        )
        for part in list(self.modules()):
            if isinstance(part, SelfBlock):
                part.add_module("inner_attn", Attention())
            elif isinstance(part, CrossBlock):
                part.add_module("flash", Attention())
        thresholds = self.get_buffer("confidence_thresholds")
        del self.confidence_thresholds
        self.register_buffer("confidence_thresholds", thresholds, persistent=False)

    def forward(self, data: dict[str, Any]) -> Any:
        """In training what `assignments` takes and gives; else what kornia's takes and gives."""
        return self.assignments(**data) if self.training else super().forward(data)

    def assignments(self, first: Tensor, second: Tensor, first_xy: Tensor, second_xy: Tensor) -> list[Tensor]:
        """(B, N + 1, M + 1) log assignment after each layer; the gradient reaches the descriptors.

        In single precision, inside autocast too: probabilities of hundreds want all their digits, and in bfloat16 the
        gradient points elsewhere (docs/lab-log.md).

        Args:
            first: (B, N, D) descriptors.
            second: (B, M, D).
            first_xy: (B, N, 2) within [-1, 1].
            second_xy: (B, M, 2).
        """
        with torch.autocast(first.device.type, enabled=False):
            a, b = self.posenc(first_xy.float()), self.posenc(second_xy.float())
            first, second = self.input_proj(first.float()), self.input_proj(second.float())
            found = []
            for layer, assign in zip(self.transformers, self.log_assignment, strict=True):
                first, second = layer(first, second, a, b)
                found.append(assign(first, second)[0])
        return found
