"""The dense matcher as ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xmatch.networks.exported import ExportedPart, Size, pictures
from xmatch.networks.xmatch.network import MULTIPLE, XMatch
from xmatch.networks.xmatch.runner import FINEST

SIDE_PX = 480
"""About what views are seen in."""


class _Matching(nn.Module):
    """Two images and masks, (1, 1, H, W) -> warp and certainty of the finest scale that the matcher looks at."""

    def __init__(self, network: XMatch) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        found = self.network(fixed, fixed_valid, moving, moving_valid, finest=FINEST).finest
        return found.warp, found.certainty


def parts(network: nn.Module) -> tuple[ExportedPart, ...]:
    """All of it, for one size: places of cells are numbers in it."""
    assert isinstance(network, XMatch)
    return (ExportedPart("", _Matching(network).eval(), examples, ("warp", "certainty"), MULTIPLE, SIDE_PX),)


def examples(size: Size, seed: int) -> dict[str, Tensor]:
    fixed, moving = pictures(size, seed)
    valid = torch.ones_like(fixed, dtype=torch.bool)
    valid[..., : size[0] // 8, :] = False
    return {"fixed": fixed, "fixed_valid": valid, "moving": moving, "moving_valid": torch.ones_like(valid)}
