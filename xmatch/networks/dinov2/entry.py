"""What `xmatch.networks.registry` says of DINOv2."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.dinov2.config import SIZES, DinoConfig
from xmatch.networks.dinov2.published import MARKS, PUBLISHED, TRANSFORMERS_MARKS, from_transformers

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.dinov2.network import Dino
    from xmatch.networks.exported import ExportedPart

HEAD_CHANNELS = 64
"""Of each head in published weights; shapes do not tell how many heads there are."""


def _network(config: DinoConfig) -> Dino:
    from xmatch.networks.dinov2.network import Dino

    return Dino(config)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.dinov2.export import parts

    return parts(network)


def config_of(tensors: Mapping[str, Tensor]) -> DinoConfig:
    """The size of a DINOv2 without registers."""
    width = tensors["cls_token"].shape[2]
    return DinoConfig(
        width=width,
        depth=sum(1 for name in tensors if re.fullmatch(r"blocks\.\d+\.attn\.qkv\.weight", name)),
        heads=max(1, width // HEAD_CHANNELS),
        side=round((tensors["pos_embed"].shape[1] - 1) ** 0.5),
    )


DINO_V2 = Architecture(
    name="dinov2",
    title="DINOv2",
    family="backbone",
    marks=MARKS,
    published=PUBLISHED,
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    exported=_exported,
)

DINO_V2_HF = dataclasses.replace(
    DINO_V2,
    name="dinov2-hf",
    title="DINOv2, names of transformers",
    marks=TRANSFORMERS_MARKS,
    published=(),
    renamed=from_transformers,
)
"""The same network: weights that the Hugging Face hub has as safetensors."""
