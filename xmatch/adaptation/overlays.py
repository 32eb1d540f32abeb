"""Held-out pairs as the network sees them before and after: moving pulled onto fixed by the predicted warp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.adaptation.draws import HELD, draw_scenes
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.scenes import PairScene
from xmatch.networks.base import DenseWarp
from xmatch.networks.dense_objective import predicted
from xmatch.synth.seeds import device_rng

MOST = 4
"""Pairs that are shown: a page that is looked over at once."""
STREAM = 2**20
"""In place of a batch's number: no batch of the held-out pairs has it."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """One random view of a pair; images are (S, S) uint8."""

    name: str
    fixed: np.ndarray
    moving: np.ndarray
    before: np.ndarray
    """Moving pulled onto fixed by the untouched network; what it is unsure of fades to white."""
    after: np.ndarray


@torch.no_grad()
def overlays(
    held: Sequence[PairScene], before: nn.Module, after: nn.Module, recipe: AdaptRecipe, device: torch.device
) -> tuple[Overlay, ...]:
    """One view each of the first held-out pairs.

    Args:
        before, after: networks that predict a warp.
    """
    scenes = list({scene.name: scene for scene in held}.values())[:MOST]
    batch = draw_scenes(scenes, recipe, device_rng("cpu", recipe.seed, HELD, STREAM)).to(device)
    pulled = []
    for model in (before, after):
        pulled.append(pull(batch.moving, predicted(model.to(device).eval(), batch, recipe.finest).finest))
    return tuple(
        Overlay(scene.name, *(_grey(image[i, 0]) for image in (batch.fixed, batch.moving, *pulled)))
        for i, scene in enumerate(scenes)
    )


def pull(moving: Tensor, found: DenseWarp) -> Tensor:
    """(B, 1, H, W) moving looked up at the warp, mixed with white where the certainty is low.

    Args:
        moving: (B, 1, H, W) in [0, 1].
        found: warp and certainty at any stride.
    """
    size = [moving.shape[2], moving.shape[3]]
    warp = F.interpolate(found.warp.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
    sure = F.interpolate(found.certainty.sigmoid()[:, None], size, mode="bilinear", align_corners=False)
    looked_up = F.grid_sample(moving, warp.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    return sure * looked_up + (1 - sure)


def _grey(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
