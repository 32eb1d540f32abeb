"""Held-out pairs as the network sees them before and after: moving pulled onto fixed by the predicted warp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.adaptation.draws import HELD, draw_scenes
from xmatch.adaptation.objective import predicted
from xmatch.adaptation.scenes import Scene
from xmatch.networks.base import DenseWarp
from xmatch.networks.registry import load_objective
from xmatch.synth.seeds import device_rng

if TYPE_CHECKING:
    from xmatch.adaptation.adapt import _Adaptation

MOST = 4
"""Pairs that are shown."""
STREAM = 2**20


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
    held: Sequence[Scene], before: dict[str, Tensor], after: dict[str, Tensor], adaptation: _Adaptation
) -> tuple[Overlay, ...]:
    """One view each of the first held-out pairs."""
    scenes = list({scene.name: scene for scene in held}.values())[:MOST]
    recipe, device = adaptation.recipe, adaptation.device
    batch = draw_scenes(scenes, recipe, device_rng("cpu", recipe.seed, HELD, STREAM)).to(device)
    pulled = []
    for tensors in (before, after):
        model = load_objective(adaptation.base.family.objective).build(adaptation.base.config)
        model.load_state_dict(tensors)
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
    size = tuple(moving.shape[2:])
    warp = F.interpolate(found.warp.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
    sure = F.interpolate(found.certainty.sigmoid()[:, None], size, mode="bilinear", align_corners=False)
    looked_up = F.grid_sample(moving, warp.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    return sure * looked_up + (1 - sure)


def _grey(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
