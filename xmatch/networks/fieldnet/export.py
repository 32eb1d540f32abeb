"""The network that draws fields as ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xmatch.networks.exported import ExportedPart, Size, pictures
from xmatch.networks.fieldnet.network import MULTIPLE

SIDES = {2: "height", 3: "width"}


def parts(network: nn.Module) -> tuple[ExportedPart, ...]:
    """All of it, for images of any size."""
    free = {"image": SIDES, "valid": SIDES}
    return (ExportedPart("", network, examples, ("fields", "cover"), MULTIPLE, 10 * MULTIPLE, free),)


def examples(size: Size, seed: int) -> dict[str, Tensor]:
    image, _ = pictures(size, seed)
    valid = torch.ones_like(image, dtype=torch.bool)
    valid[..., : size[0] // 4, :] = False
    return {"image": image, "valid": valid}
