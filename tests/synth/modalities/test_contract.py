"""What every modality owes its users, whoever wrote it."""

from __future__ import annotations

import pytest
import torch

from xmatch.synth.modalities import MODALITIES, load_modality


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", MODALITIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 40, 56), (3, 64, 48)])
def test_pixels_stay_pixels_in_range(name, channels, size):
    image = torch.rand((size[0], channels, *size[1:]), generator=rng(0))
    out = load_modality(name)(image, rng(1))
    assert out.dtype == torch.float32 and out.shape[0] == size[0] and out.shape[1] in (1, 3)
    assert out.shape[-2:] == image.shape[-2:]
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
