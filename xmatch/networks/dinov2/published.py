"""DINOv2's weights as others publish them, the marks that they are recognised by, and their other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import PublishedWeights

if TYPE_CHECKING:
    from torch import Tensor

MARKS = ("cls_token", "patch_embed.proj.weight", "blocks.0.ls1.gamma")
TRANSFORMERS_MARKS = ("embeddings.patch_embeddings.projection.weight", "encoder.layer.0.layer_scale1.lambda1")

PUBLISHED = (
    PublishedWeights(
        name="dinov2-vitl14",
        file="dinov2_vitl14_pretrain.pth",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=304.4,
        source="github.com/facebookresearch/dinov2",
        sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        note="image encoder of RoMa; also facebook/dinov2-large on the Hugging Face hub",
    ),
)

_WHOLE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_LAYER = {
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as transformers' Dinov2Model names them, under their published names.

    Raises:
        KeyError: of queries, keys and values one is missing.
    """
    import torch

    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", name)
        if found is None:
            named[_WHOLE.get(name, name)] = tensor
            continue
        number, rest = found.groups()
        query = re.fullmatch(r"attention\.attention\.(query|key|value)\.(\w+)", rest)
        if query:
            stem, leaf = f"encoder.layer.{number}.attention.attention", query[2]
            parts = [tensors[f"{stem}.{part}.{leaf}"] for part in ("query", "key", "value")]
            named[f"blocks.{number}.attn.qkv.{leaf}"] = torch.cat(parts)
            continue
        for old, new in _LAYER.items():
            rest = rest.replace(old, new)
        named[f"blocks.{number}.{rest}"] = tensor
    return named
