"""LoFTR as kornia builds it, with a forward pass for training.

The network keeps kornia's names of parameters, so that published weights can be trained on and trained weights used
wherever kornia's LoFTR is. As in the published weights, coarse cell (x, y) stands for the point (8x, 8y) px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from kornia.feature import LoFTR
from torch import Tensor

from xmatch.networks.loftr.config import LoftrConfig

COARSE_PX, FINE_PX = 8, 2
"""Strides of the two stages, LoFTR's own."""


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
    """LoFTR that also scores given matches."""

    def __init__(self, config: LoftrConfig) -> None:
        super().__init__(pretrained=None, config=config.kornia())

    def forward(self, data: dict[str, Any]) -> dict[str, Tensor]:
        """Without "truth" kornia's own forward pass.

        With it the log dual softmax of all cells, "scores" (B, N, M), and at the true matches the expectation within
        the window and its spread, "expected" (T, 3), in units of half a window.
        """
        if "truth" not in data:
            found: dict[str, Tensor] = super().forward(data)
            return found
        truth: CoarseTruth = data["truth"]
        both_coarse, both_fine = self.backbone(torch.cat([data["image0"], data["image1"]]))
        tokens = self.pos_encoding(both_coarse).flatten(2).transpose(1, 2).contiguous()
        masks = [data[name][:, ::COARSE_PX, ::COARSE_PX].flatten(1) for name in ("mask0", "mask1")]
        first, second = self.loftr_coarse(*tokens.chunk(2), *masks)
        similarity = torch.einsum("nlc,nsc->nls", first, second).float() / (
            first.shape[-1] * self.coarse_matching.temperature
        )
        # Masked cells neither attract nor are attracted; the given matches are among the others.
        similarity = similarity.masked_fill(~(masks[0][:, :, None] & masks[1][:, None]), -1e4)
        scores = similarity.log_softmax(1) + similarity.log_softmax(2)
        where: dict[str, Any] = {"b_ids": truth.batch, "i_ids": truth.fixed, "j_ids": truth.moving}
        where.update(stride_c=COARSE_PX, stride_f=FINE_PX)
        fine = both_fine.chunk(2)
        windows = self.loftr_fine(*self.fine_preprocess(*fine, first, second, where))
        # The positions in px that it adds are not needed; the expectation is.
        none = truth.offset_px.new_zeros(len(truth.batch), 2)
        where.update(mkpts0_c=none, mkpts1_c=none, mconf=none[:, 0])
        self.fine_matching(*windows, where)
        return {"scores": scores, "expected": where["expec_f"].float()}
