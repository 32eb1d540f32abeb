"""A RoMa and a DINOv2 of the published shape, small, whose weights are written by hand: they match what is shifted by
whole patches. No training is needed to see the whole way from a file to a registered image."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.networks.dinov2.config import DinoConfig
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.roma.coarse import FREQUENCY, anchors
from xmatch.networks.roma.config import RomaConfig
from xmatch.networks.roma.network import Roma

CELLS = 40
"""A side of the grid of patches at 560 px, and of anchors, so that each lies on a patch."""
CONFIG = RomaConfig(
    channels=(4, 4, 4, 4),
    convolutions=(1, 1, 1, 1),
    backbone_width=128,
    projected=(128, 8, 4, 4, 4),
    posterior=128,
    heads=1,
    layers=1,
    anchors=CELLS,
    embedded=(4, 4, 4, 4, 4),
    radius=(1, 1, 1, 0, 0),
    hidden=0,
    normalised=False,
    resize="bilinear",
)
DINO = DinoConfig(width=128, depth=1, heads=1, side=CELLS)


@torch.no_grad()
def dino() -> dict[str, Tensor]:
    """Looks at each patch alone, by random filters."""
    torch.manual_seed(1)
    network = Dino(DINO)
    network.pos_embed.zero_()
    for block in network.blocks:
        block.ls1.gamma.zero_()
        block.ls2.gamma.zero_()
    kernel = network.patch_embed.proj.weight
    kernel.normal_().sub_(kernel.mean((1, 2, 3), keepdim=True))  # how bright a patch is does not count
    network.patch_embed.proj.bias.zero_()
    return network.state_dict()


@torch.no_grad()
def roma(config: RomaConfig = CONFIG) -> dict[str, Tensor]:
    """Takes the anchor whose encoded place is most like what the Gaussian process answers, and refines nothing."""
    torch.manual_seed(0)
    network = Roma(config)
    decoder = network.decoder
    decoder.proj["16"][0].weight.copy_(torch.eye(config.backbone_width)[..., None, None])
    decoder.proj["16"][0].bias.zero_()
    for block in decoder.embedding_decoder.blocks:
        for last in (block.attn.proj, block.mlp.fc2):
            last.weight.zero_()
            last.bias.zero_()
    places = decoder.gps["16"].pos_conv
    places.weight.normal_(std=0.3)
    grid = anchors(config.anchors, places.weight).T[None, :, :, None]
    encoded = torch.cos(FREQUENCY * places(grid))[0, :, :, 0]
    out = decoder.embedding_decoder.to_out
    out.weight.zero_()
    out.bias.zero_()
    out.weight[:-1, : config.posterior] = 2 * encoded.T
    out.bias[-1] = 3.0
    for refiner in decoder.conv_refiner.values():
        refiner.out_conv.weight.zero_()
        refiner.out_conv.bias.zero_()
    return network.state_dict()
