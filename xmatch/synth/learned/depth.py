"""Depth by Depth Anything (Yang et al., NeurIPS 2024), through `transformers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.errors import ModelError
from xmatch.io.weights.hub import extra_package, loaded
from xmatch.synth.learned.base import WeightsRequest
from xmatch.synth.learned.hub import colour, licence_of, multiple_near
from xmatch.synth.modalities.draws import chance, log_uniform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What Depth Anything was trained with, mean and deviation of each channel."""


@dataclass(frozen=True, eq=False)
class LearnedDepth:
    """Depth, each image's range brought to [0, 1], shown near-bright or near-dark with a random gamma."""

    model: Any
    """A `DepthAnythingForDepthEstimation`."""
    licence: str
    name: str = "depth"
    side_px: int = 518
    """Shorter side of what the network sees: 37 patches of 14 px, as in its training."""

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        height, width = image.shape[-2:]
        size = multiple_near(height, width, self.side_px, self.model.config.patch_size)
        first = next(self.model.parameters())
        seen = F.interpolate(colour(image), size, mode="bicubic", align_corners=False, antialias=True).clamp(0.0, 1.0)
        mean, std = (torch.tensor(c, device=image.device)[:, None, None] for c in (IMAGENET_MEAN, IMAGENET_STD))
        # Not inference_mode: a matcher is to be trained on what comes out.
        with torch.no_grad():
            depth = self.model(pixel_values=((seen - mean) / std).to(first)).predicted_depth[:, None]
        depth = F.interpolate(depth.to(image), (height, width), mode="bilinear", align_corners=False)
        low, high = depth.amin((2, 3), keepdim=True), depth.amax((2, 3), keepdim=True)
        depth = ((depth - low) / (high - low).clamp_min(1e-6)) ** log_uniform(image, rng, 0.6, 1.6)
        turned = chance(image, rng, 0.5)
        return (turned + (1 - 2 * turned) * depth).clamp(0.0, 1.0)


def load_depth(request: WeightsRequest) -> LearnedDepth:
    """Depth Anything, version 1 or 2, relative or metric."""
    transformers = extra_package("transformers")

    def load() -> torch.nn.Module:
        config = transformers.AutoConfig.from_pretrained(request.weights, local_files_only=request.local_files_only)
        if config.model_type != "depth_anything":
            raise ModelError(
                f"{request.weights!r} holds a network of kind {config.model_type}, not depth_anything",
                hint="use weights of Depth Anything in the layout of transformers (their names end in -hf)",
            )
        model, report = transformers.DepthAnythingForDepthEstimation.from_pretrained(
            request.weights,
            local_files_only=request.local_files_only,
            use_safetensors=True,
            output_loading_info=True,
        )
        if report["missing_keys"]:
            raise ModelError(f"{request.weights!r} lacks {len(report['missing_keys'])} tensors of its network")
        return model.eval().to(request.options.device)

    return LearnedDepth(loaded(load, request.weights, may_download=request.options.may_download), licence_of(request))
