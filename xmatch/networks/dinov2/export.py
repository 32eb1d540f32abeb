"""DINOv2 as ONNX."""

from __future__ import annotations

from torch import Tensor, nn

from xmatch.networks.dinov2.config import PATCH_PX
from xmatch.networks.exported import ExportedPart, Size, pictures


def parts(network: nn.Module) -> tuple[ExportedPart, ...]:
    """All of it, for one size: where patches lie is looked up while it is written."""
    return (ExportedPart("", network, examples, ("features",), PATCH_PX, 560),)


def examples(size: Size, seed: int) -> dict[str, Tensor]:
    return {"image": pictures(size, seed, 3)[0]}
