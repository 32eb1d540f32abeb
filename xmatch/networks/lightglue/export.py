"""LightGlue as ONNX: all layers, for any number of keypoints."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.exported import ExportedPart, Size
from xmatch.networks.lightglue.network import Glue


class _Assignment(nn.Module):
    """Keypoints (1, N, 2) within [-1, 1] and descriptors (1, N, D) of both -> (1, N + 1, M + 1) log assignment."""

    def __init__(self, network: Glue) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, fixed_keypoints: Tensor, fixed_descriptors: Tensor, moving_keypoints: Tensor, moving_descriptors: Tensor
    ) -> Tensor:
        found = self.network.assignments(fixed_descriptors, moving_descriptors, fixed_keypoints, moving_keypoints)
        return found[-1]


def parts(network: nn.Module, name: str = "") -> tuple[ExportedPart, ...]:
    """What stops early, or leaves keypoints out on the way, does so by values, and is left out."""
    assert isinstance(network, Glue)
    length = network.conf.input_dim
    free = {
        f"{side}_{what}": {1: f"{side}_count"} for side in ("fixed", "moving") for what in ("keypoints", "descriptors")
    }
    made = partial(examples, length=length)
    return (ExportedPart(name, _Assignment(network).eval(), made, ("log_assignment",), 1, 128, free, traced=False),)


def examples(size: Size, seed: int, *, length: int) -> dict[str, Tensor]:
    """A keypoint for every 256 px squared, and some of moving's besides."""
    rng = torch.Generator().manual_seed(seed)
    count = max(8, size[0] * size[1] // 256)
    xy = 2 * torch.rand((1, count + 3, 2), generator=rng) - 1
    descriptors = F.normalize(torch.randn((1, count + 3, length), generator=rng), dim=-1)
    return {
        "fixed_keypoints": xy[:, :count].clone(),
        "fixed_descriptors": descriptors[:, :count].clone(),
        "moving_keypoints": xy * 0.9,
        "moving_descriptors": descriptors,
    }
