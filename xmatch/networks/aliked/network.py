"""ALIKED as kornia builds it, with what training asks of it.

Tensors have the names of the published files, so that these are a start and trained weights run wherever they do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.feature import ALIKED
from kornia.feature.aliked.aliked import ALIKEDFeatures
from kornia.geometry.subpix import nms2d
from torch import Tensor, nn

from xmatch.networks.aliked.config import AlikedConfig
from xmatch.networks.grids import numbers
from xmatch.networks.keypoint_objective import Places
from xmatch.networks.keypoints import BORDER_PX, MOST
from xmatch.networks.lightglue.assignment import Points

SPARE = 2
"""So many times as many keypoints are asked for as are wanted: some lie where nothing is valid."""
POINTS = 256
"""Keypoints an image in training, the strongest. Not tuned."""


@dataclass(frozen=True, eq=False)
class DescribedPair:
    """Keypoints of a batch of pairs, and what they are described by: (B, N, D) of length 1."""

    fixed: Points
    moving: Points
    fixed_descriptors: Tensor
    moving_descriptors: Tensor
    true_descriptors: Tensor | None
    """Of moving, at the true places of fixed's keypoints; None: nobody told these."""


class Aliked(ALIKED):
    """In training the head of keypoints stays as published, and so do the statistics of normalisation: batches of all
    sensors would blur them. The features that this head reads are those that descriptors are made of, so keypoints
    move with these; nothing rewards them for it (docs/lab-log.md)."""

    def __init__(self, config: AlikedConfig) -> None:
        super().__init__(config.model, max_num_keypoints=SPARE * MOST, detection_threshold=0.0)
        self.points = POINTS
        # The grid that kornia keeps among the tensors, and published files lack.
        grid = self.dkd.get_buffer("hw_grid")
        del self.dkd.hw_grid
        self.dkd.register_buffer("hw_grid", grid, persistent=False)
        self.score_head.requires_grad_(False)
        nn.init.normal_(
            self.desc_head.get_parameter("agg_weights")
        )  # kornia's are all positive: every place would look alike

    def train(self, mode: bool = True) -> Aliked:
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self

    def detected(self, image: Tensor) -> ALIKEDFeatures:
        """What kornia finds in one image (1, 3, H, W)."""
        found: ALIKEDFeatures = super().forward(image)[0]
        return found

    def forward(  # type: ignore[override]  # in training a pair is what is looked at; see `detected` for one image
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor, places: Places | None = None
    ) -> DescribedPair:
        """Images (B, 1, H, W), and where they are valid, (B, 1, H, W) bool.

        Args:
            places: the truth.
        """
        both, valid = torch.cat([fixed, moving]), torch.cat([fixed_valid, moving_valid])
        mean = (both * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp(min=1)
        features, scores = self.extract_dense_map(torch.where(valid, both, mean).expand(-1, 3, -1, -1))
        side = 2 * BORDER_PX + 1
        usable = -nn.functional.max_pool2d(-valid.float(), side, 1, BORDER_PX) > 0
        here, there = (self._strongest(part) for part in torch.where(usable, scores, 0.0).chunk(2))
        first, second = features.chunk(2)
        true = self.described(second, places(here.xy)[0]) if places else None
        return DescribedPair(here, there, self.described(first, here.xy), self.described(second, there.xy), true)

    def described(self, features: Tensor, xy: Tensor) -> Tensor:
        """(B, N, D) of length 1, from features (B, C, H, W) at positions (B, N, 2) px, corner-counted.

        What kornia's `desc_head` computes image by image, by tensors made on the host for each: here without a wait.
        """
        head, (batch, count) = self.desc_head, xy.shape[:2]
        side, (channels, height, width) = head.kernel_size, features.shape[1:]
        last = numbers([width - 1, height - 1], xy)
        at = (xy - 0.5).clamp(min=0).minimum(last)
        corners = (at.long() - side // 2).clamp(min=0).minimum(last.long() - side)
        patches = windows(features, corners, side).transpose(1, 2).reshape(-1, channels, side, side)
        reach = max(height, width) / 4
        offsets = head.offset_conv(patches).clamp(-reach, reach).view(batch, count, 2, head.n_pos)
        places = at[:, :, None] + offsets.transpose(2, 3)
        found = nn.functional.grid_sample(features, 2 * places / last - 1, align_corners=True)
        found = nn.functional.selu(head.sf_conv(found))
        return nn.functional.normalize(torch.einsum("bcnp,pcd->bnd", found, head.agg_weights), dim=2)

    @torch.no_grad()
    def _strongest(self, scores: Tensor) -> Points:
        """`points` maxima of score maps (B, 1, H, W) above 0, or as many as there are; see kornia's `dkd`, which asks
        the host how many each image has."""
        side, (height, width) = self.dkd.kernel_size, scores.shape[-2:]
        maxima = nms2d(scores, (side, side), mask_only=True)
        best = torch.where(maxima, scores, 0.0).flatten(1).topk(min(self.points, height * width))
        usable = best.values > 0
        index = torch.where(usable, best.indices, height // 2 * width + width // 2)
        at = torch.stack([index % width, index // width], 2)
        weights = (windows(scores, at - side // 2, side)[:, 0] / self.dkd.temperature).softmax(2)
        return Points(at + 0.5 + weights @ self.dkd.get_buffer("hw_grid"), usable)


def windows(maps: Tensor, corners: Tensor, side: int) -> Tensor:
    """(B, C, N, side * side) of maps (B, C, H, W), row by row, from upper left corners (B, N, 2) on, whole px."""
    steps, width = torch.arange(side, device=maps.device), maps.shape[-1]
    inner = (steps[:, None] * width + steps).flatten()
    index = (corners[..., 1] * width + corners[..., 0])[..., None] + inner
    found = maps.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, maps.shape[1], -1))
    return found.view(*maps.shape[:2], *index.shape[1:])
