"""What an event camera reports of a scene that moves a little: where brightness rose or fell, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import uniform
from xmatch.synth.modalities.filters import gray

ROSE = (0.0, 0.0, 1.0)
FELL = (1.0, 0.0, 0.0)
"""RGB colours of the two polarities, on white."""


@dataclass(frozen=True)
class Event:
    """The simulator of MINIMA (Ren et al., CVPR 2025), whole images at once.

    L = log(1 + grey level in 0..255); with a threshold C uniform in [0.05, 0.5) and whole shifts dx, dy of 1 to 3 px
    and either sign, drawn for each image: a pixel is `ROSE` where L(y + dy, x + dx) - L(y, x) > C, `FELL` where it is
    below -C, else white; white too where the shifted pixel lies outside.
    """

    name: str = "event"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        threshold = uniform(image, rng, 0.05, 0.5)
        size = (2, len(image), 1)
        steps = torch.randint(1, 4, size, generator=rng, device=image.device)
        shifts = steps * (2 * torch.randint(0, 2, size, generator=rng, device=image.device) - 1)
        return events(gray(image), threshold, shifts[0], shifts[1])


def events(luma: Tensor, threshold: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """(B, 3, H, W) events of `luma` (B, 1, H, W) in [0, 1] for thresholds (B, 1, 1, 1) and shifts (B, 1) in px."""
    # The simulator reads 8-bit files: grey levels are whole.
    level = torch.log1p((255.0 * luma[:, 0]).round())
    height, width = level.shape[-2:]
    rows = torch.arange(height, device=luma.device) + dy
    columns = torch.arange(width, device=luma.device) + dx
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    batch = torch.arange(len(luma), device=luma.device)[:, None, None]
    there = level[batch, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    change = torch.where(inside, there - level, torch.zeros_like(level))[:, None]
    rose, fell = (change > threshold).float(), (change < -threshold).float()
    return torch.cat([1 - rose * (1 - up) - fell * (1 - down) for up, down in zip(ROSE, FELL, strict=True)], 1)
