"""Licences of published networks, and images as they expect them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from xmatch.io.weights.hub import extra_package
from xmatch.synth.learned.base import WeightsRequest

UNKNOWN_LICENCE = "unknown"


def licence_of(request: WeightsRequest) -> str:
    """The licence named by the caller, or by the model card of the weights, or "unknown"."""
    if request.licence is not None:
        return request.licence
    hub = extra_package("huggingface_hub")
    try:
        card = Path(request.weights) / "README.md"
        if not Path(request.weights).is_dir():
            card = Path(hub.hf_hub_download(request.weights, "README.md", local_files_only=request.local_files_only))
        data = hub.ModelCard(card.read_text(encoding="utf-8")).data
    except (OSError, ValueError):
        return UNKNOWN_LICENCE
    return str(data.get("license_name") or data.get("license") or UNKNOWN_LICENCE)


def own_generators(image: Tensor, rng: torch.Generator, device: torch.device) -> list[torch.Generator]:
    """One generator on `device` for each image of the batch, seeded from `rng`."""
    seeds = torch.randint(0, 2**31, (len(image),), generator=rng, device=image.device)
    return [torch.Generator(device).manual_seed(int(seed)) for seed in seeds]


def colour(image: Tensor) -> Tensor:
    """Three channels, as every published network expects."""
    return image.expand(-1, 3, -1, -1)


def multiple_near(height: int, width: int, side_px: int, multiple: int) -> tuple[int, int]:
    """Height and width, multiples of `multiple`, whose shorter side is about `side_px`, at about the same ratio."""
    scale = side_px / min(height, width)
    rows, columns = (max(1, round(scale * side / multiple)) * multiple for side in (height, width))
    return rows, columns
