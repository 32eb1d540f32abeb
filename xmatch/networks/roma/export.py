"""RoMa as ONNX: both passes in both directions in one file, without its image encoder, which is a file of its own."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from xmatch.networks.dinov2.config import PATCH_PX
from xmatch.networks.exported import ExportedPart, Size, pictures
from xmatch.networks.roma.coarse import NOISE, PositionPosterior
from xmatch.networks.roma.config import RomaConfig
from xmatch.networks.roma.inference import Seen, matched
from xmatch.networks.roma.merged import merged
from xmatch.networks.roma.network import MULTIPLE, Roma

SHARPEST = 1e8
"""What is left of the largest part of an error when the last product is done."""


class _Matching(nn.Module):
    """Both images in the size of each pass (1, 3, H, W) in [0, 1], and DINOv2's features of the smaller ones."""

    def __init__(self, network: Roma) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        fixed: Tensor,
        fixed_features: Tensor,
        moving: Tensor,
        moving_features: Tensor,
        fixed_fine: Tensor,
        moving_fine: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        here, there = (
            Seen(self.network.describe(image, features=features), self.network.describe(fine, coarse=False))
            for image, features, fine in (
                (fixed, fixed_features, fixed_fine),
                (moving, moving_features, moving_fine),
            )
        )
        found, back = matched(self.network, here, there)
        return found.warp, found.certainty, back.warp, back.certainty


def parts(network: nn.Module) -> tuple[ExportedPart, ...]:
    assert isinstance(network, Roma)
    quick = merged(network)
    posterior = quick.decoder.gps["16"]
    assert isinstance(posterior, PositionPosterior)
    posterior.solved = by_products
    made = partial(examples, config=quick.config)
    outputs = ("warp", "certainty", "back_warp", "back_certainty")
    return (
        ExportedPart(
            "", _Matching(quick).eval(), made, outputs, MULTIPLE, quick.config.coarse_px, truth=_Matching(network)
        ),
    )


def examples(size: Size, seed: int, *, config: RomaConfig) -> dict[str, Tensor]:
    """Args:
    size: of the first pass; the second's is larger by what `config` has.
    """
    factor = config.fine_px / config.coarse_px
    fine = (round(size[0] * factor / 8) * 8, round(size[1] * factor / 8) * 8)
    images, larger = pictures(size, seed, 3), pictures(fine, seed, 3)
    cells = torch.randn(
        (1, config.backbone_width, size[0] // PATCH_PX, size[1] // PATCH_PX),
        generator=torch.Generator().manual_seed(seed),
    )
    return {
        "fixed": images[0],
        "fixed_features": cells,
        "moving": images[1],
        "moving_features": cells.roll((1, 1), (2, 3)),
        "fixed_fine": larger[0],
        "moving_fine": larger[1],
    }


def by_products(observed: Tensor, encoded: Tensor) -> Tensor:
    """x of `observed` x = `encoded` by products of matrices alone, since ONNX factors none: Newton's iteration for the
    inverse (Schulz 1933), which doubles the digits each time.

    Args:
        observed: (B, n, n) symmetric, with eigenvalues from `NOISE` to the largest sum of a row, at most n + `NOISE`.
        encoded: (B, n, m).
    """
    count = observed.shape[-1]
    one = torch.eye(count, dtype=observed.dtype, device=observed.device)
    inverse = one / observed.sum(-1).amax(-1)[:, None, None]
    for _ in range(math.ceil(math.log2(math.log(SHARPEST) * (count + NOISE) / NOISE))):
        inverse = inverse @ (2 * one - observed @ inverse)
    found = inverse @ encoded
    return found + inverse @ (encoded - observed @ found)
