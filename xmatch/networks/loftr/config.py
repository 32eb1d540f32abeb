"""Sizes of LoFTR: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LoftrConfig:
    """What differs between sizes of LoFTR; the rest is kornia's default."""

    initial_dim: int = 24
    block_dims: tuple[int, int, int] = (24, 48, 96)
    """Channels at strides 2, 4 and 8."""
    heads: int = 3
    layers: int = 2
    """Pairs of one self- and one cross-attention layer at stride 8."""
    temp_bug_fix: bool = True
    """Positions as meant; published weights but "indoor_new" were trained with a slip in them."""

    def __post_init__(self) -> None:
        if any(dim % self.heads or dim % 4 for dim in (self.block_dims[0], self.block_dims[2])):
            raise ValueError("the first and last of block_dims must be multiples of heads and of 4")
        if self.initial_dim != self.block_dims[0]:
            raise ValueError("initial_dim must be the first of block_dims: its block has a plain residual path")

    def kornia(self) -> dict[str, Any]:
        """As kornia's LoFTR takes it."""
        from kornia.feature.loftr.loftr import default_cfg

        config: dict[str, Any] = copy.deepcopy(default_cfg)
        fine, _, coarse = self.block_dims
        config["resnetfpn"] = {"initial_dim": self.initial_dim, "block_dims": list(self.block_dims)}
        names = ["self", "cross"] * self.layers
        config["coarse"].update(d_model=coarse, d_ffn=coarse, nhead=self.heads, layer_names=names)
        config["coarse"]["temp_bug_fix"] = self.temp_bug_fix
        config["fine"].update(d_model=fine, d_ffn=fine, nhead=self.heads)
        return config


SIZES = {
    "loftr-small": LoftrConfig(),
    "loftr-base": LoftrConfig(initial_dim=128, block_dims=(128, 196, 256), heads=8, layers=4),
}
"""Name -> shape; the second is the published one, but for `temp_bug_fix`."""
