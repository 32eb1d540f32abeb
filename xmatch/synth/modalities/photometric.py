"""The same sensor on another day: exposure, blur, noise and compression; the dark; and free curves of grey levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.curves import looked_up, mixed_table, random_contrast, stretched
from xmatch.synth.modalities.draws import chance, log_uniform, positions, spots, uniform, white
from xmatch.synth.modalities.filters import blurred, gray, grown, shrunk


@dataclass(frozen=True)
class Visible:
    """Gain, gamma, white balance, blur, noise and JPEG-like rounding, all mild. As many channels as it is given.

    All but gain and white balance change the luma alone and add the difference to every channel.
    """

    name: str = "visible"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        balanced = image * (uniform(image, rng, 0.75, 1.25) * uniform(image, rng, 0.94, 1.06, image.shape[1]))
        luma = gray(balanced)
        contrast = uniform(image, rng, 0.7, 1.0)
        seen = blurred(luma, uniform(image, rng, 0.0, 1.1), 3).clamp(1e-4, 1.0) ** log_uniform(image, rng, 0.65, 1.5)
        seen = contrast * seen + uniform(image, rng, 0.0, 1.0) * (1 - contrast)
        seen = _coarsely_rounded(seen + uniform(image, rng, 0.0, 0.03) * white(image, rng), rng)
        return (contrast * balanced + (seen - contrast * luma)).clamp(0.0, 1.0)


def _coarsely_rounded(luma: Tensor, rng: torch.Generator) -> Tensor:
    """Cosine coefficients of 8 x 8 px rounded, with steps growing with the frequency (as JPEG does)."""
    height, width = luma.shape[-2:]
    padded = F.pad(luma, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = padded.shape[-2] // 8, padded.shape[-1] // 8
    k = torch.arange(8, device=luma.device, dtype=torch.float32)
    cosines = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) * 0.5
    cosines[0] *= math.sqrt(0.5)
    blocks = padded.reshape(-1, rows, 8, columns, 8).transpose(2, 3)
    coefficients = cosines @ blocks @ cosines.T
    step = (1 + k[:, None] + k) * log_uniform(luma, rng, 0.002, 0.025)[..., None]
    rounded = cosines.T @ ((coefficients / step).round() * step) @ cosines
    return rounded.transpose(2, 3).reshape(padded.shape)[..., :height, :width]


@dataclass(frozen=True)
class Curves:
    """Grey levels through a random curve: rising, falling, or neither."""

    name: str = "curves"
    wavy: float = 0.4
    """Share of curves that rise and fall."""

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        table = mixed_table(image, rng, inverted=0.5, wavy=self.wavy)
        out = random_contrast(looked_up(stretched(gray(image)), table), rng, 0.5)
        return (out + uniform(image, rng, 0.0, 0.02) * white(image, rng)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Night:
    """The scene in the dark: little light, lamps with their glow, bright things that shine, vignette and noise."""

    name: str = "night"
    lamps: int = 5

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        lit = spots(image, rng, self.lamps, 0.03, 0.2) * uniform(image, rng, 0.0, 1.5)
        down, across = positions(image)
        far = ((down[:, None] - 0.5) ** 2 + (across - 0.5) ** 2) * 2
        light = uniform(image, rng, 0.05, 0.35) * (1 - uniform(image, rng, 0.0, 0.9) * far) + lit
        # What is brightest by day may be what shines at night (windows, signs), or may not.
        shining = ((luma - uniform(image, rng, 0.75, 1.0)) * 6).clamp(0.0, 1.0) * chance(image, rng, 0.6)
        seen = luma ** log_uniform(image, rng, 1.0, 2.2) * light + shining * uniform(image, rng, 0.3, 1.0)
        glow = grown(blurred(shrunk(seen, 8), uniform(image, rng, 0.7, 3.0), 7), image)
        seen = seen + glow * uniform(image, rng, 0.0, 0.7)
        grain = (0.3 * uniform(image, rng, 0.0, 0.15) + seen.clamp_min(0.0)).sqrt() * uniform(image, rng, 0.01, 0.09)
        seen = blurred(seen + grain * white(image, rng), uniform(image, rng, 0.0, 0.9), 2)
        tint = torch.cat(
            [uniform(image, rng, 0.7, 1.2), uniform(image, rng, 0.7, 1.0), uniform(image, rng, 0.4, 1.2)], 1
        )
        return (1 - torch.exp(-uniform(image, rng, 1.0, 2.5) * seen.clamp_min(0.0) * tint)).clamp(0.0, 1.0)
