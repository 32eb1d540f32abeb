"""Translation of an image by a prompt: InstructPix2Pix (Brooks et al., CVPR 2023) or image-to-image Stable Diffusion.

Outlines stay about where they are, not exactly: a translator may move or invent what the prompt suggests. MINIMA made
its infrared images with a network of this kind, trained further on thermal pairs; plain weights know thermal images
only from hearsay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.io.weights.hub import extra_package, loaded
from xmatch.synth.learned.base import WeightsRequest
from xmatch.synth.learned.hub import colour, licence_of, multiple_near, own_generators
from xmatch.synth.learned.pipelines import load_pipeline

THERMAL = "Convert the image to an infrared image"
"""The prompt of MINIMA's data engine."""

LATENT_PX = 8
"""Sides that the pipeline does not cut off are multiples of this."""


@dataclass(frozen=True, eq=False)
class Translator:
    """The image as the prompt asks for it; an image that the weights' own safety check rejects comes back unchanged."""

    pipeline: Any
    """A `StableDiffusionInstructPix2PixPipeline` or a `StableDiffusionImg2ImgPipeline`."""
    licence: str
    prompt: str = THERMAL
    name: str = "translate"
    side_px: int = 512
    """Shorter side of what the network sees."""
    steps: int = 20
    guidance: float = 7.5
    """Weight of the prompt."""
    image_guidance: float = 1.5
    """Weight of the image (InstructPix2Pix)."""
    strength: float = 0.5
    """Share of the way to pure noise (image-to-image)."""

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        height, width = image.shape[-2:]
        size = multiple_near(height, width, self.side_px, LATENT_PX)
        rgb = colour(image)
        seen = F.interpolate(rgb, size, mode="bicubic", align_corners=False, antialias=True).clamp(0.0, 1.0)
        # Asked of the class: the property has no value before the first call.
        instructed = hasattr(type(self.pipeline), "image_guidance_scale")
        closeness = {"image_guidance_scale": self.image_guidance} if instructed else {"strength": self.strength}
        result = self.pipeline(
            prompt=[self.prompt] * len(image),
            image=seen.to(self.pipeline.device),
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=own_generators(image, rng, self.pipeline.device),
            output_type="pt",
            **closeness,
        )
        out = F.interpolate(result.images.to(image), (height, width), mode="bilinear", align_corners=False)
        rejected = result.nsfw_content_detected or [False] * len(image)
        unchanged = torch.tensor(rejected, device=image.device)[:, None, None, None]
        return torch.where(unchanged, rgb, out).clamp(0.0, 1.0)


def load_translator(request: WeightsRequest) -> Translator:
    """InstructPix2Pix as it is; a Stable Diffusion for text becomes image-to-image with the same networks."""
    diffusers = extra_package("diffusers")

    def load() -> Any:
        pipeline = load_pipeline(
            request,
            diffusers.StableDiffusionInstructPix2PixPipeline,
            diffusers.StableDiffusionImg2ImgPipeline,
            diffusers.StableDiffusionPipeline,
        )
        if isinstance(pipeline, diffusers.StableDiffusionPipeline):
            pipeline = diffusers.AutoPipelineForImage2Image.from_pipe(pipeline)
            pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return Translator(
        loaded(load, request.weights, may_download=request.options.may_download),
        licence_of(request),
        request.prompt or THERMAL,
    )
