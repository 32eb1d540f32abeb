"""FieldNet: fields of structure that a small network draws, and that turn with the image as edges do.

The network turns an image of any sensor into a few maps that another sensor's image should share: where things are, not
how bright they are. What is compared are the maps, and the direction of their edges, beside the direction of the edges
of the image itself. A map's value does not change when the image is turned, and an edge's doubled angle turns by twice
the turn. So fields are made once, and turned for every pose: correlating them over all shifts in Fourier space searches
every pose, as it does for hand-made fields (`xmatch.matchers.search.fourier`), and is what they are trained by.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.fieldnet.cells import CHANNELS, HAND, STRIDE, observed_cells
from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.layers import Residual, conv

MULTIPLE = 8 * STRIDE
"""Sides of images must be multiples of this; pad with pixels that are not valid."""


class FieldNet(nn.Module):
    """Image and mask -> fields at stride 3."""

    def __init__(self, config: FieldNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = (CHANNELS, *config.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(a, b, stride=stride), nn.ReLU(), *(Residual(b) for _ in range(count)))
            for a, b, count, stride in zip(widths, config.channels, config.blocks, (1, 2, 2, 2), strict=False)
        )
        self.up = nn.ModuleList(
            conv(b, a, kernel=1) for a, b in zip(config.channels, config.channels[1:], strict=False)
        )
        self.mix = nn.ModuleList(conv(a, a) for a in config.channels[:-1])
        self.head = nn.Conv2d(config.channels[0], config.maps, 3, padding=1)
        # One weight for the image's edges, one for their amount, one for each map and one for each map's edges. The
        # hand-made part leads at first: it is already good, and what the network draws is noise.
        self.log_weights = nn.Parameter(torch.tensor([0.0, 0.0] + [-1.0] * (2 * config.maps)))
        self.log_sharpness = nn.Parameter(torch.tensor(0.0))
        """Of the softmax over poses that fields are trained by."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def maps(self, seen: Tensor) -> Tensor:
        """(B, maps, h, w) in (-1, 1) from the (B, 9, h, w) of `observed_cells`."""
        levels = []
        x = seen.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        for level, up, mix in zip(reversed(levels[:-1]), reversed(self.up), reversed(self.mix), strict=True):
            raised = F.interpolate(up(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = F.relu(mix(F.relu(level + raised)))
        return torch.tanh(self.head(x).float())

    def forward(self, image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Fields of a batch of images.

        Args:
            image: (B, 1, H, W) in [0, 1]; sides multiples of 24.
            valid: (B, 1, H, W) bool: pixels that show something.

        Returns:
            (B, planes, H/3, W/3) fields: mean 0 over the valid cells, together of mean square 1, 0 elsewhere. Planes
            come in pairs of `FieldNetConfig.orders`. And (B, 1, H/3, W/3), 1 where a cell is valid.

        Raises:
            ValueError: sides that are not multiples of 24.
        """
        if image.shape[2] % MULTIPLE or image.shape[3] % MULTIPLE:
            raise ValueError(f"sides must be multiples of {MULTIPLE}, not {tuple(image.shape[2:])}")
        seen, cover = observed_cells(image, valid)
        hand = _scaled(_centred(seen[:, :HAND], cover), cover)
        # Maps keep the size that they are drawn with: where the network sees nothing, what is made by hand decides.
        drawn = self.maps(seen) * cover
        planes = torch.cat([hand, _centred(drawn, cover), _centred(edges(drawn) * cover, cover)], 1)
        places = torch.arange(2 + 2 * self.config.maps, device=planes.device)
        maps = self.config.maps
        sizes = torch.tensor([2, 2] + [1] * maps + [2] * maps, device=planes.device)
        of_plane = places.repeat_interleave(sizes)
        return _scaled(planes * self.log_weights.exp()[of_plane][None, :, None, None], cover), cover


def edges(maps: Tensor) -> Tensor:
    """(B, 2 C, h, w): for each map its edges' strength in [0, 1) times cos and sin of their doubled angle."""
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    gx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    squared = gx.square() + gy.square() + 1e-6
    share = 1 / (squared + 0.5 * squared.sqrt())
    return torch.stack([(gx.square() - gy.square()) * share, 2 * gx * gy * share], 2).flatten(1, 2)


def _centred(planes: Tensor, cover: Tensor) -> Tensor:
    """Mean 0 over what is covered."""
    count = cover.sum((2, 3), keepdim=True).clamp(min=1)
    return (planes - (planes * cover).sum((2, 3), keepdim=True) / count) * cover


def _scaled(planes: Tensor, cover: Tensor) -> Tensor:
    """Together of mean square 1, summed over the planes."""
    total = cover.sum((1, 2, 3), keepdim=True).clamp(min=1)
    energy = planes.square().sum((1, 2, 3), keepdim=True) / total
    return planes / energy.clamp(min=1e-6).sqrt()
