"""Features of DINOv2 (Oquab et al. 2023): what the last layer says of each patch of 14 x 14 px."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.errors import ModelError
from xmatch.io.weights.hub import extra_package, loaded
from xmatch.networks.matcha.diffusion import precision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of each channel of ImageNet, which it was trained with."""


class DinoV2:
    """DINOv2 of transformers, which sees images as whole patches.

    Args:
        model: a `Dinov2Model` or `Dinov2WithRegistersModel`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def networks(self) -> tuple[torch.nn.Module]:
        """What its features depend on."""
        return (self._model,)

    @torch.no_grad()  # not inference_mode: a fusion is to be trained on it
    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H // 14, W // 14) float32 features of images (B, 3, H, W) in [0, 1], of any size from 14 px: what is
        no whole number of patches is resized to the next smaller one."""
        patch = self._model.config.patch_size
        rows, columns = (side // patch for side in images.shape[-2:])
        size = rows * patch, columns * patch
        if size != images.shape[-2:]:
            images = F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True).clamp(0.0, 1.0)
        mean, std = (images.new_tensor(of)[:, None, None] for of in (MEAN, STD))
        tokens = self._model(((images - mean) / std).to(next(self._model.parameters()))).last_hidden_state
        patches = tokens[:, tokens.shape[1] - rows * columns :]  # before them, one for the image, and registers
        found: Tensor = patches.transpose(1, 2).reshape(len(patches), -1, rows, columns).float()
        return found


def load_dino(weights: str, *, device: str = "cpu", half: bool = False, may_download: bool = False) -> DinoV2:
    """DINOv2 in the layout of transformers, from a folder or by its name on the hub.

    Args:
        half: float16 on a GPU, bfloat16 on a CPU.
        may_download: weights that are not on this machine may be fetched.

    Raises:
        ModelError: transformers is missing, or the weights are, or they are of another kind.
    """
    transformers = extra_package("transformers")

    def load() -> DinoV2:
        config = transformers.AutoConfig.from_pretrained(weights, local_files_only=not may_download)
        if config.model_type not in ("dinov2", "dinov2_with_registers"):
            raise ModelError(
                f"{weights!r} holds a network of kind {config.model_type}, not dinov2",
                hint="name DINOv2 in the layout of transformers, such as facebook/dinov2-large",
            )
        model, report = transformers.AutoModel.from_pretrained(
            weights,
            local_files_only=not may_download,
            use_safetensors=True,
            dtype=precision(device, half),
            output_loading_info=True,
        )
        if report["missing_keys"]:
            raise ModelError(f"{weights!r} lacks {len(report['missing_keys'])} tensors of its network")
        return DinoV2(model.eval().to(device))

    return loaded(load, weights, may_download=may_download)
