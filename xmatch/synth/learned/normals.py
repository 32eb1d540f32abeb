"""Surface normals by Marigold (Ke et al., CVPR 2024), a diffusion model, through `diffusers`.

It is what the two libraries really offer for any scene: DSINE, which MINIMA used, is in neither of them, and the
normals of Sapiens in `transformers` are of people. Several network passes an image make it slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.io.weights.hub import extra_package, loaded
from xmatch.synth.learned.base import WeightsRequest
from xmatch.synth.learned.hub import colour, licence_of, own_generators
from xmatch.synth.learned.pipelines import load_pipeline


@dataclass(frozen=True, eq=False)
class LearnedNormals:
    """Unit normals as (n + 1) / 2."""

    pipeline: Any
    """A `MarigoldNormalsPipeline`."""
    licence: str
    name: str = "normal"
    steps: int | None = None
    """Passes of the denoiser; default: what the weights ask for."""
    side_px: int | None = None
    """Longer side of what the network sees, a multiple of 8; default: what the weights ask for."""

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        # One image after the other: the pipeline's scheduler takes one generator, and each image has its own.
        normals = [
            self.pipeline(
                one[None],
                num_inference_steps=self.steps,
                processing_resolution=self.side_px,
                generator=generator,
                output_type="pt",
            ).prediction
            for one, generator in zip(colour(image), own_generators(image, rng, self.pipeline.device), strict=True)
        ]
        unit = F.normalize(torch.cat(normals).to(image), dim=1)
        return (0.5 * unit + 0.5).clamp(0.0, 1.0)


def load_normals(request: WeightsRequest) -> LearnedNormals:
    """Marigold's normals, any version."""
    diffusers = extra_package("diffusers")
    pipeline = loaded(
        lambda: load_pipeline(request, diffusers.MarigoldNormalsPipeline),
        request.weights,
        may_download=request.options.may_download,
    )
    return LearnedNormals(pipeline, licence_of(request))
