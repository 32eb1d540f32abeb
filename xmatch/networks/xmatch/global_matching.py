"""Every cell of fixed against every cell of moving: dual softmax (LoFTR, Sun et al. 2021) read out as a warp."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.grids import cell_centres
from xmatch.networks.layers import conv

NEVER = -1e4
"""Score of a cell without content; finite, so that half precision and empty images stay free of NaN."""

AROUND = 2
"""The warp is the mean over this many cells around the best one: wide enough to find it between cells. Not tuned."""


class Descriptors(nn.Module):
    """Attended stride 16 and plain stride 8 -> unit descriptors at stride 8."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.raise_ = nn.Conv2d(coarse, outputs, 1)
        self.lateral = nn.Conv2d(fine, outputs, 1)
        self.mix = nn.Sequential(conv(outputs, outputs), nn.ReLU())
        self.out = nn.Conv2d(outputs, outputs, 1)

    def forward(self, sixteenth: Tensor, eighth: Tensor) -> Tensor:
        """(B, C, h, w), not normalised."""
        raised = F.interpolate(self.raise_(sixteenth), scale_factor=2, mode="bilinear", align_corners=False)
        described: Tensor = self.out(self.mix(raised + self.lateral(eighth)))
        return described


class Coarse(nn.Module):
    """Scores of all pairs of cells, and the warp and certainty that follow."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(3.0))
        self.certainty = nn.Sequential(conv(channels + 2, 32), nn.ReLU(), nn.Conv2d(32, 1, 3, padding=1))

    def scores(self, fixed: Tensor, moving: Tensor, fixed_seen: Tensor, moving_seen: Tensor) -> Tensor:
        """(B, N, M) log of the dual softmax: log p(moving cell | fixed cell) + log p(fixed cell | moving cell).

        Args:
            fixed, moving: (B, C, h, w) descriptors.
            fixed_seen, moving_seen: (B, N) and (B, M) bool: cells with content.
        """
        a, b = (F.normalize(x.flatten(2).float(), dim=1) for x in (fixed, moving))
        # A cosine times at most 50: sharp enough for a thousand cells, and it cannot run away.
        raw = self.log_scale.clamp(max=3.9).exp() * torch.einsum("bcn,bcm->bnm", a, b)
        raw = raw.masked_fill(~moving_seen[:, None, :], NEVER).masked_fill(~fixed_seen[:, :, None], NEVER)
        return raw.log_softmax(2) + raw.log_softmax(1)

    def forward(self, scores: Tensor, descriptors: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Warp (B, h, w, 2), normalised on moving, and certainty logits (B, h, w).

        Args:
            scores: (B, h * w, M) from `scores`.
            descriptors: (B, C, h, w) of fixed.
            shape: cells of moving (height, width).
        """
        batch, _, height, width = descriptors.shape
        warp, mass = soft_argmax(scores, shape)
        best = scores.amax(2)
        evidence = torch.stack([best.clamp(min=-20) / 10, mass], 1).view(batch, 2, height, width).detach()
        logits = self.certainty(torch.cat([descriptors, evidence.to(descriptors.dtype)], 1))
        return warp.view(batch, height, width, 2), logits[:, 0].float()


def soft_argmax(scores: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mean position around the best cell, weighted by p = exp(score / 2), and the share of p that lies there.

    Args:
        scores: (B, N, M) log dual softmax; M = shape[0] * shape[1].

    Returns:
        (B, N, 2) normalised positions and (B, N) shares in [0, 1].
    """
    batch, count, _ = scores.shape
    height, width = shape
    best = scores.argmax(2)
    row, column = best // width, best % width
    steps = torch.arange(-AROUND, AROUND + 1, device=scores.device)
    dy, dx = (d.reshape(-1) for d in torch.meshgrid(steps, steps, indexing="ij"))
    rows, columns = row[..., None] + dy, column[..., None] + dx
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    places = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).view(batch, count, -1)
    # Half the sum of two log probabilities is their geometric mean.
    local = (scores.gather(2, places) / 2).masked_fill(~inside, NEVER)
    weight = local.softmax(2)
    centres = cell_centres(height, width, scores).view(-1, 2)
    xy = (weight[..., None] * centres[places]).sum(2)
    share = torch.exp(torch.logsumexp(local, 2) - torch.logsumexp(scores / 2, 2))
    return xy, share
