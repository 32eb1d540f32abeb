"""Pictures made by hand, or as if: paintings, pencil and ink, and plain edge maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.curves import stretched
from xmatch.synth.modalities.draws import blobs, chance, log_uniform, uniform, white
from xmatch.synth.modalities.filters import (
    blurred,
    convolved_across,
    convolved_down,
    gray,
    grown,
    shrunk,
    slopes,
    widely_blurred,
)


def brushed(luma: Tensor, reach: Tensor, most: int) -> Tensor:
    """Kuwahara's filter: the mean of the calmest of four squares that meet in the pixel, `reach` (B, 1, 1, 1) px wide.

    Kuwahara et al., Processing of RI-angiocardiographic images, 1976. `most` bounds `reach`.
    """
    taps = torch.arange(-most, most + 1, device=luma.device)
    back = ((taps <= 0) & (-taps <= reach.reshape(-1, 1).round())).float()
    back = back / back.sum(1, keepdim=True)
    ahead = back.flip(1)
    both = F.pad(torch.cat([luma, luma * luma], 1), (most, most, most, most), mode="replicate")
    best, least = torch.zeros_like(luma), torch.full_like(luma, torch.inf)
    for across in (back, ahead):
        rows = convolved_across(both, across)
        for down in (back, ahead):
            mean, square = convolved_down(rows, down).split(1, 1)
            spread = square - mean * mean
            # A sum instead of torch.where, which takes several times as long on a processor.
            best = best + (spread < least).float() * (mean - best)
            least = torch.minimum(spread, least)
    return best


@dataclass(frozen=True)
class Paint:
    """Flat strokes with hard edges, few tones, other colours, canvas grain."""

    name: str = "paint"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = gray(image)
        out = brushed(luma, uniform(image, rng, 1.0, 5.0), 5)
        tones = uniform(image, rng, 4.0, 24.0).floor()
        share = uniform(image, rng, 0.0, 1.0)
        out = out + share * ((out * tones).round() / tones - out)
        out = out.clamp(1e-3, 1.0) ** uniform(image, rng, 0.7, 1.4)
        out = out + uniform(image, rng, 0.0, 0.05) * white(image, rng)
        if image.shape[1] == 3:
            # Colour runs over the edges of the strokes, as in water colours.
            colour = blurred(shrunk(image, 4), uniform(image, rng, 0.3, 1.0), 3)
            colour = (colour - gray(colour)) * uniform(image, rng, 0.5, 2.0) + uniform(image, rng, -0.1, 0.1, 3)
            out = out + grown(colour, image)
        return out.clamp(0.0, 1.0)


@dataclass(frozen=True)
class Sketch:
    """Dark lines on paper: a soft pencil (colour dodge) or ink (XDoG), lines of any breadth, some of them left out.

    XDoG: Winnemoeller, Kyprianidis, Olsen, Computers & Graphics 36 (2012).
    """

    name: str = "sketch"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        breadth = uniform(image, rng, 0.6, 1.8)
        near = blurred(luma, breadth, 3)
        far = blurred(luma, 1.6 * breadth + uniform(image, rng, 0.0, 0.6), 6)
        dodged = (near / far.clamp_min(0.02)).clamp(0.0, 1.0) ** uniform(image, rng, 1.0, 8.0)
        ink = torch.sigmoid(log_uniform(image, rng, 60.0, 300.0) * (near - far + uniform(image, rng, 0.01, 0.035)))
        pick = chance(image, rng, 0.5)
        lines = 1 - (pick * dodged + (1 - pick) * ink)
        kept = torch.sigmoid(8 * (blobs(image, rng, 7) + uniform(image, rng, -0.2, 1.5)))
        shade = uniform(image, rng, 0.0, 0.25) * chance(image, rng, 0.4) * (1 - luma)
        paper = uniform(image, rng, 0.8, 1.0) - uniform(image, rng, 0.0, 0.03) * white(image, rng)
        drawn = paper - lines * kept * uniform(image, rng, 0.6, 1.0) - shade
        chalk = chance(image, rng, 0.1)
        return (chalk + (1 - 2 * chalk) * drawn).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Edges:
    """Strength of the brightness's slope, raw or against its surroundings; dark on bright or bright on dark."""

    name: str = "edges"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = blurred(stretched(gray(image)), uniform(image, rng, 0.5, 2.2), 5)
        along_x, along_y = slopes(luma)
        strength = (along_x**2 + along_y**2 + 1e-12).sqrt()
        around = widely_blurred(strength, uniform(image, rng, 6.0, 12.0)) + 0.004
        local = chance(image, rng, 0.5)
        strength = stretched(strength / (local * around + (1 - local)), 0.01, 1e-4)
        limit = uniform(image, rng, 0.2, 0.6)
        hard = torch.sigmoid(uniform(image, rng, 10.0, 40.0) * (strength - limit))
        mask = chance(image, rng, 0.4)
        strength = mask * hard + (1 - mask) * strength ** log_uniform(image, rng, 0.5, 1.5)
        strength = strength * uniform(image, rng, 0.5, 1.0)
        dark = chance(image, rng, 0.5)
        out = dark + (1 - 2 * dark) * strength
        return (out + uniform(image, rng, 0.0, 0.03) * white(image, rng)).clamp(0.0, 1.0)
