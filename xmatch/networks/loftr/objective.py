"""The semi-dense matcher: LoFTR as kornia builds it, trained as Sun et al. 2021 describe.

The network keeps kornia's names of parameters, so that published weights can be trained on and trained weights used
wherever kornia's LoFTR is. As in the published weights, coarse cell (x, y) stands for the point (8x, 8y) px.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from kornia.feature import LoFTR
from kornia.feature.loftr.loftr import default_cfg
from torch import Tensor, nn

from xmatch.networks.shapes import built, chosen
from xmatch.networks.truth import true_places
from xmatch.synth.pairs import TrainingPairs

COARSE_PX, FINE_PX = 8, 2
ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss."""
MOST_WINDOWS = 1024
"""Matches a batch whose windows are refined while training: memory and time go with their number."""


@dataclass(frozen=True)
class LoftrConfig:
    """What differs between sizes of LoFTR; the rest is kornia's default."""

    initial_dim: int = 64
    block_dims: tuple[int, int, int] = (64, 96, 128)
    """Channels at strides 2, 4 and 8."""
    heads: int = 4
    layers: int = 2
    """Pairs of one self- and one cross-attention layer at stride 8."""
    temp_bug_fix: bool = True
    """Positions as meant; published weights but "indoor_new" were trained with a slip in them."""

    def __post_init__(self) -> None:
        if any(dim % self.heads or dim % 4 for dim in (self.block_dims[0], self.block_dims[2])):
            raise ValueError("the first and last of block_dims must be multiples of heads and of 4")

    def kornia(self) -> dict[str, Any]:
        """As kornia's LoFTR takes it."""
        config = copy.deepcopy(default_cfg)
        fine, _, coarse = self.block_dims
        config["resnetfpn"] = {"initial_dim": self.initial_dim, "block_dims": list(self.block_dims)}
        names = ["self", "cross"] * self.layers
        config["coarse"].update(d_model=coarse, d_ffn=coarse, nhead=self.heads, layer_names=names)
        config["coarse"]["temp_bug_fix"] = self.temp_bug_fix
        config["fine"].update(d_model=fine, d_ffn=fine, nhead=self.heads)
        return config


SIZES = {
    "loftr-small": LoftrConfig(),
    "loftr-base": LoftrConfig(initial_dim=128, block_dims=(128, 196, 256), heads=8, layers=4),
}


@dataclass(frozen=True, eq=False)
class CoarseTruth:
    """Pairs of coarse cells that show the same, (M,) each."""

    batch: Tensor
    fixed: Tensor
    """Cell of fixed, row by row."""
    moving: Tensor
    offset_px: Tensor
    """(M, 2) from the point of the moving cell to the true place, at most half a cell."""
    weight: Tensor
    """1; 0 for the stand-in of a batch in which nothing is seen twice."""


class TrainedLoftr(LoFTR):
    """LoFTR that scores given matches when it is told them."""

    def __init__(self, config: LoftrConfig) -> None:
        super().__init__(pretrained=None, config=config.kornia())

    def forward(self, data: dict[str, Any]) -> dict[str, Tensor]:
        """Without "truth" kornia's own forward pass.

        With it the log dual softmax of all cells, "scores" (B, N, M), and at the true matches the expectation within
        the window and its spread, "expected" (T, 3), in units of half a window.
        """
        if "truth" not in data:
            return super().forward(data)
        truth: CoarseTruth = data["truth"]
        both_coarse, both_fine = self.backbone(torch.cat([data["image0"], data["image1"]]))
        tokens = self.pos_encoding(both_coarse).flatten(2).transpose(1, 2).contiguous()
        masks = [data[name][:, ::COARSE_PX, ::COARSE_PX].flatten(1) for name in ("mask0", "mask1")]
        first, second = self.loftr_coarse(*tokens.chunk(2), *masks)
        similarity = torch.einsum("nlc,nsc->nls", first, second).float() / (
            first.shape[-1] * self.coarse_matching.temperature
        )
        # Masked cells neither attract nor are attracted; the matches told are among the others.
        similarity = similarity.masked_fill(~(masks[0][:, :, None] & masks[1][:, None]), -1e4)
        scores = similarity.log_softmax(1) + similarity.log_softmax(2)
        where = {"b_ids": truth.batch, "i_ids": truth.fixed, "j_ids": truth.moving}
        where.update(stride_c=COARSE_PX, stride_f=FINE_PX)
        fine = both_fine.chunk(2)
        windows = self.loftr_fine(*self.fine_preprocess(*fine, first, second, where))
        # The positions in px that it adds are not needed; the expectation is.
        none = truth.offset_px.new_zeros(len(truth.batch), 2)
        where.update(mkpts0_c=none, mkpts1_c=none, mconf=none[:, 0])
        self.fine_matching(*windows, where)
        return {"scores": scores, "expected": where["expec_f"].float()}


class SemiDense:
    architecture = "loftr"

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(chosen(SIZES, size, changes))

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        return TrainedLoftr(built(LoftrConfig, config))

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        truth = coarse_truth(batch)
        some = _some(truth)
        found = model({**_images(batch), "truth": some})
        log_p = found["scores"][truth.batch, truth.fixed, truth.moving]
        losses = {
            "coarse": focal(log_p, truth.weight),
            "fine": fine_loss(found["expected"], some.offset_px, some.weight),
        }
        return {"total": sum(losses.values()), **losses}

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
    at = good.nonzero(as_tuple=True)
    limit = COARSE_PX / 2
    return CoarseTruth(*at, target[at], offset[at].clamp(-limit, limit), weight[at])


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
    half_px = FINE_PX * (default_cfg["fine_window_size"] // 2)
    sureness = 1 / expected[:, 2].detach().clamp(min=1e-3)
    return (weight * sureness / sureness.mean() * (expected[:, :2] - offset_px / half_px).square().sum(-1)).mean()


_TENSORS = ("fixed", "fixed_valid", "moving", "moving_valid", "warp", "covisible")


def _images(batch: TrainingPairs) -> dict[str, Any]:
    masks = {"mask0": batch.fixed_valid[:, 0], "mask1": batch.moving_valid[:, 0]}
    return {"image0": batch.fixed, "image1": batch.moving, **masks}


def _some(truth: CoarseTruth) -> CoarseTruth:
    """At most `MOST_WINDOWS` of them, drawn by torch's own generator, which the run seeds at every step."""
    if len(truth.batch) <= MOST_WINDOWS:
        return truth
    order = torch.randperm(len(truth.batch), device="cpu")[:MOST_WINDOWS].to(truth.batch.device)
    return CoarseTruth(*(getattr(truth, f.name)[order] for f in dataclasses.fields(truth)))
