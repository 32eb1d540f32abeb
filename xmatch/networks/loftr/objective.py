"""The semi-dense matcher's training, as Sun et al. 2021 describe it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.loftr.config import LoftrConfig
from xmatch.networks.loftr.network import COARSE_PX, FINE_PX, CoarseTruth
from xmatch.networks.truth import true_places
from xmatch.synth.pairs import TrainingPairs

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss, as in Sun et al. 2021."""
FINE_WINDOW: int = LoftrConfig().kornia()["fine_window_size"]
"""Fine cells a side of the window that a match is refined in."""
MOST_WINDOWS = 256
"""Matches a batch whose windows are refined while training: memory and time go with their number. Not tuned."""


class SemiDense(NetworkObjective):
    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        truth = coarse_truth(batch)
        some = _at_most(truth, MOST_WINDOWS)
        found = model({**_images(batch), "truth": some})
        log_p = found["scores"][truth.batch, truth.fixed, truth.moving]
        coarse, fine = focal(log_p, truth.weight), fine_loss(found["expected"], some.offset_px, some.weight)
        return {"total": coarse + fine, "coarse": coarse, "fine": fine}

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At the matches found that truly are in both images."""
        found = model(_images(batch))
        errors = []
        for number in range(len(batch)):
            mine = found["batch_indexes"] == number
            one = dataclasses.replace(batch, **{n: getattr(batch, n)[number : number + 1] for n in _TENSORS})
            true_xy, seen = true_places(one, found["keypoints0"][mine][None])
            distance = torch.linalg.vector_norm(found["keypoints1"][mine] - true_xy[0], dim=-1)
            errors.append(distance[seen[0]])
        return tuple(errors)


def coarse_truth(batch: TrainingPairs) -> CoarseTruth:
    """Cells of fixed and moving that are each other's, where the point of the fixed cell is seen in both images.

    Several cells of fixed may point into one of moving: the nearest one has it. There is always one entry, or layers
    would be left without a gradient.
    """
    device = batch.fixed.device
    rows, columns = (side // COARSE_PX for side in batch.fixed.shape[-2:])
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    points = COARSE_PX * torch.stack([x, y], -1).reshape(1, -1, 2).float().expand(len(batch), -1, -1)
    places, seen = true_places(batch, points)
    cells = (places / COARSE_PX).round()
    height, width = (side // COARSE_PX for side in batch.moving.shape[-2:])
    inside = (cells >= 0).all(-1) & (cells < cells.new_tensor([width, height])).all(-1)
    valid = batch.fixed_valid[:, 0, ::COARSE_PX, ::COARSE_PX].flatten(1)
    target = (cells[..., 1] * width + cells[..., 0]).long().clamp(0, height * width - 1)
    valid_there = batch.moving_valid[:, 0, ::COARSE_PX, ::COARSE_PX].flatten(1).gather(1, target)
    offset = places - COARSE_PX * cells
    good = seen & inside & valid & valid_there
    distance = torch.where(good, offset.square().sum(-1), torch.inf)
    nearest = torch.full((len(batch), height * width), torch.inf, device=device)
    nearest.scatter_reduce_(1, target, distance, "amin")
    good &= distance == nearest.gather(1, target)
    weight = good.float()
    good[0, 0] |= ~good.any()
    image, cell = good.nonzero(as_tuple=True)
    limit = COARSE_PX / 2
    nearby = offset[image, cell].clamp(-limit, limit)
    return CoarseTruth(image, cell, target[image, cell], nearby, weight[image, cell])


def focal(log_p: Tensor, weight: Tensor) -> Tensor:
    """Mean of -alpha (1 - p)^gamma log p at the true matches (Lin et al. 2017)."""
    log_p = log_p.clamp(min=-40.0)
    return (weight * -ALPHA * (1 - log_p.exp()) ** GAMMA * log_p).mean()


def fine_loss(expected: Tensor, offset_px: Tensor, weight: Tensor) -> Tensor:
    """Squared distance within the windows, weighted by how sure each window is (LoFTR, equation 6).

    Args:
        expected: (M, 3) x, y and spread in units of half a window.
        offset_px: (M, 2) truth.
        weight: (M,) 0 or 1.
    """
    half_px = FINE_PX * (FINE_WINDOW // 2)
    sureness = 1 / expected[:, 2].detach().clamp(min=1e-3)
    return (weight * sureness / sureness.mean() * (expected[:, :2] - offset_px / half_px).square().sum(-1)).mean()


_TENSORS = ("fixed", "fixed_valid", "moving", "moving_valid", "warp", "covisible")


def _images(batch: TrainingPairs) -> dict[str, Any]:
    masks = {"mask0": batch.fixed_valid[:, 0], "mask1": batch.moving_valid[:, 0]}
    return {"image0": batch.fixed, "image1": batch.moving, **masks}


def _at_most(truth: CoarseTruth, count: int) -> CoarseTruth:
    """At most `count` of them, drawn by torch's own generator, which the run seeds at every step."""
    if len(truth.batch) <= count:
        return truth
    order = torch.randperm(len(truth.batch), device="cpu")[:count].to(truth.batch.device)
    return CoarseTruth(*(getattr(truth, f.name)[order] for f in dataclasses.fields(truth)))
