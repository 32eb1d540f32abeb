"""Degradation keeps the grey levels in range and the content in place."""

from __future__ import annotations

import numpy as np
import torch

from xmatch.synth.degrade import degraded, stretched_alike


def images(count=8, channels=1):
    torch.manual_seed(0)
    return torch.nn.functional.interpolate(torch.rand(count, channels, 9, 9), (64, 64), mode="bilinear")


def drawn(noise, count=8, seed=0, channels=1):
    rng = torch.Generator().manual_seed(seed)
    return degraded(images(count, channels), rng, np.random.default_rng(seed), noise)


def likeness(first, second):
    flat = [(image - image.mean((2, 3), keepdim=True)).flatten(1) for image in (first, second)]
    return torch.nn.functional.cosine_similarity(*flat)


def test_without_noise_only_the_exposure_changes():
    out, hidden = drawn(0.0)
    assert hidden is None
    assert (likeness(images(), out) > 0.97).all()
    assert not torch.allclose(images(), out)


def test_grey_levels_stay_in_range_and_the_scene_stays_in_place():
    for seed in range(5):
        out, _ = drawn(1.0, 32, seed)
        assert out.min() >= 0 and out.max() <= 1 and out.isfinite().all()
        assert likeness(images(32), out).median() > 0.7


def test_more_noise_changes_more():
    change = [1 - likeness(images(64), drawn(noise, 64)[0]).mean() for noise in (0.0, 0.5, 1.0)]
    assert change[0] < change[1] < change[2]


def test_patches_are_told_and_nothing_else_is():
    found = [drawn(1.0, 32, seed) for seed in range(4)]
    hidden = torch.cat([mask for _, mask in found if mask is not None])
    share = hidden.float().mean((1, 2, 3))
    assert 0.02 < (share > 0).float().mean() < 0.4
    assert share.max() < 3 * 0.2**2 + 0.01


def test_colours_are_kept():
    out, _ = drawn(0.0, channels=3)
    assert out.shape == (8, 3, 64, 64)
    assert (likeness(images(channels=3), out) > 0.95).all()


def test_stretching_fills_the_range():
    out = stretched_alike(0.4 + 0.1 * images())
    assert out.amin((1, 2, 3)).max() < 0.01 and out.amax((1, 2, 3)).min() > 0.99
