"""Corners, descriptors of a small network, and LightGlue between them.

LightGlue (Lindenberger et al. 2023) is kornia's. Published LightGlue leaves the descriptors as they are; here they are
learned too, since none that exist are made for a pair of sensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.feature import LightGlue, gftt_response
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.edges import standardised
from xmatch.networks.layers import conv
from xmatch.networks.lightglue.config import SparseConfig

BORDER_PX = 4
"""Corners nearer to the end of what is valid are those of the border, not of the scene. Reaches over the windows of
the structure tensor."""


@dataclass(frozen=True, eq=False)
class Corners:
    xy: Tensor
    """(B, N, 2) px, first pixel centre at (0.5, 0.5), strongest first."""
    usable: Tensor
    """(B, N) bool: false for those that stand in where an image has too few."""


class Describer(nn.Module):
    """Image and mask -> descriptors at every 4th pixel."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        widths = (2, *config.channels)
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip(widths, config.channels, strict=False)):
            layers += [
                conv(inputs, outputs, stride=1 if number == 0 else 2),
                nn.ReLU(),
                conv(outputs, outputs),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Conv2d(config.channels[-1], config.descriptor, 1))

    def forward(self, image: Tensor, valid: Tensor, xy: Tensor) -> Tensor:
        """(B, N, D) of unit length at (B, N, 2) px."""
        height, width = image.shape[-2:]
        found = self.body(torch.cat([standardised(image, valid), valid.to(image.dtype)], 1)).float()
        grid = (2 * xy / xy.new_tensor([width, height]) - 1)[:, None]
        return F.normalize(F.grid_sample(found, grid, align_corners=False)[:, :, 0].transpose(1, 2), dim=-1)


class Glue(LightGlue):
    """LightGlue that gives the assignment of every layer, and whose gradient reaches the descriptors."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__(
            None,  # type: ignore[arg-type]  # None: sizes as they are given, which kornia's annotation leaves out
            input_dim=config.descriptor,
            descriptor_dim=config.descriptor,
            n_layers=config.layers,
            num_heads=config.heads,
            depth_confidence=-1,
            width_confidence=-1,
        )
        self.token_confidence.requires_grad_(False)  # only decide where to stop early, which is off

    def assignments(self, first: Tensor, second: Tensor, first_xy: Tensor, second_xy: Tensor) -> list[Tensor]:
        """(B, N + 1, M + 1) log assignment after each layer; positions within [-1, 1]."""
        a, b = self.posenc(first_xy), self.posenc(second_xy)
        found = []
        for layer, assign in zip(self.transformers, self.log_assignment, strict=True):
            first, second = layer(first, second, a, b)
            found.append(assign(first.float(), second.float())[0])
        return found


class SparseMatcher(nn.Module):
    """Corners, descriptors, assignment."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        self.points = config.points
        self.describer = Describer(config)
        self.glue = Glue(config)

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor
    ) -> tuple[Corners, Corners, list[Tensor]]:
        """Corners of both images, and the log assignments between them, one for each layer."""
        both, valid = torch.cat([fixed, moving]), torch.cat([fixed_valid, moving_valid])
        points = corners(both, valid, self.points)
        descriptors = self.describer(both, valid, points.xy).chunk(2)
        sides = both.new_tensor([both.shape[-1], both.shape[-2]])
        places = ((points.xy - sides / 2) / (sides.max() / 2)).chunk(2)
        halves = [Corners(xy, usable) for xy, usable in zip(points.xy.chunk(2), points.usable.chunk(2), strict=True)]
        return halves[0], halves[1], self.glue.assignments(*descriptors, *places)


@torch.no_grad()
def corners(image: Tensor, valid: Tensor, count: int) -> Corners:
    """The strongest corners by the smaller eigenvalue of the structure tensor (Shi and Tomasi 1994).

    Args:
        image: (B, 1, H, W).
        valid: (B, 1, H, W) bool.
        count: of points an image, at most a fourth of its pixels.
    """
    width = image.shape[-1]
    with torch.autocast(image.device.type, enabled=False):
        response = gftt_response(standardised(image.float(), valid)).clamp(min=0)
    side = 2 * BORDER_PX + 1
    inner = -F.max_pool2d(-F.pad(valid.float(), (BORDER_PX,) * 4), side, 1) > 0
    peak = response == F.max_pool2d(response, 5, 1, 2)
    # Others come after every peak, in their own order.
    score = torch.where(peak, response + response.amax((1, 2, 3), keepdim=True), response * 0.5)
    score = torch.where(inner, score, -1.0)
    strength, index = score.flatten(1).topk(min(count, score[0].numel() // 4))
    xy = torch.stack([index % width, index // width], -1).float() + 0.5
    return Corners(xy, strength > 0)
