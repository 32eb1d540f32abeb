"""Tiny RoMa as ONNX."""

from __future__ import annotations

from torch import Tensor, nn

from xmatch.networks.exported import ExportedPart, Size, pictures
from xmatch.networks.tiny_roma.network import MULTIPLE, TinyRoma

SIDE_PX = 640


class _Matching(nn.Module):
    """Two images (1, 1, H, W) -> warp and certainty at stride 4."""

    def __init__(self, network: TinyRoma) -> None:
        super().__init__()
        self.network = network

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        _, found = self.network.match(self.network.describe(fixed), self.network.describe(moving))
        return found.warp, found.certainty


def parts(network: nn.Module) -> tuple[ExportedPart, ...]:
    """All of it, for one size: places of cells are numbers in it."""
    assert isinstance(network, TinyRoma)
    return (ExportedPart("", _Matching(network).eval(), examples, ("warp", "certainty"), MULTIPLE, SIDE_PX),)


def examples(size: Size, seed: int) -> dict[str, Tensor]:
    fixed, moving = pictures(size, seed)
    return {"fixed": fixed, "moving": moving}
