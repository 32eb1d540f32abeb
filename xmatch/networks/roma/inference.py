"""RoMa's two passes, as its authors match: all scales on small images, then the fine ones again on larger images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.networks.base import DenseWarp
from xmatch.networks.roma.network import Described, Roma, attenuated, joined

AGAIN_FROM = 8
"""Stride at which the second pass begins."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A batch of images as both passes see them."""

    coarse: Described
    fine: Described | None = None
    """None: there is no second pass."""


def seen(network: Roma, coarse: Tensor, fine: Tensor | None) -> Seen:
    """Args: the same images (B, 3, H, W) in [0, 1], in the size of each pass; see `Roma.describe`."""
    return Seen(network.describe(coarse), None if fine is None else network.describe(fine, coarse=False))


def matched(network: Roma, fixed: Seen, moving: Seen) -> tuple[DenseWarp, DenseWarp]:
    """Where each px of fixed lies in moving, and where each of moving in fixed, at the size of the last pass.

    Warps are within [-1, 1], certainties logits; where a warp would leave the other image, the certainty is -inf.
    """
    here, there = joined(fixed.coarse, moving.coarse), joined(moving.coarse, fixed.coarse)
    start, _ = network.globally(here, there)
    found = network.refine(here, there, start)
    coarse, last = found.scales[1].certainty, found.finest
    if fixed.fine is not None and moving.fine is not None:
        here, there = joined(fixed.fine, moving.fine), joined(moving.fine, fixed.fine)
        last = network.refine(here, there, last, first=AGAIN_FROM).finest
    outside = (last.warp.abs() > 1).any(-1)
    certainty = attenuated(last.certainty, coarse).masked_fill(outside, -torch.inf)
    (there_warp, back_warp), (there_sure, back_sure) = last.warp.clamp(-1, 1).chunk(2), certainty.chunk(2)
    return DenseWarp(1, there_warp, there_sure), DenseWarp(1, back_warp, back_sure)
