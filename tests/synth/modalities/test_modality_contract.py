"""What every modality owes its users, whoever wrote it."""

from __future__ import annotations

import pytest
import torch
from flat_scenes import seeded, shapes

from xmatch.synth.modalities import MODALITIES, load_modality
from xmatch.synth.modalities.filters import blurred, gray

every_modality = pytest.mark.parametrize("name", MODALITIES)

FARTHEST_PX = {"event": 3}
"""How far outlines may lie from where they were. Events stand between a pixel and the one 1 to 3 px away in x and y."""

LEAST_AGREEMENT = {"event": 0.05}
"""Correlation of edge strength with that of the image: 0.1 unless told here."""


@every_modality
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "height", "width"), [(1, 40, 57), (3, 65, 48), (2, 16, 16)])
def test_pixels_stay_pixels_in_range(name, channels, count, height, width):
    image = torch.rand((count, channels, height, width), generator=seeded(0))
    out = load_modality(name)(image, seeded(1))
    assert out.dtype == torch.float32
    assert out.shape in {(count, 1, height, width), (count, 3, height, width)}
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1


@every_modality
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_one_value_is_fine(name, level, channels):
    out = load_modality(name)(torch.full((2, channels, 33, 40), level), seeded(2))
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1


@every_modality
def test_the_name_is_the_one_it_is_known_by(name):
    assert load_modality(name).name == name


@every_modality
def test_the_same_seed_gives_the_same_image_and_another_another(name):
    image = shapes(2, 48, 56)
    modality = load_modality(name)
    first, again, other = (modality(image, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@every_modality
def test_the_generator_is_the_only_source_of_chance(name):
    image = shapes(1, 48, 56)
    before = torch.random.get_rng_state()
    load_modality(name)(image, seeded(3))
    assert torch.equal(before, torch.random.get_rng_state())


@every_modality
def test_each_image_of_a_batch_draws_its_own_parameters(name):
    twins = shapes(1, 48, 56).expand(3, -1, -1, -1)
    out = load_modality(name)(twins, seeded(5))
    assert not torch.equal(out[0], out[1]) and not torch.equal(out[1], out[2])


@every_modality
def test_the_image_is_left_alone_and_no_gradient_is_kept(name):
    image = shapes(2, 48, 56)
    before = image.clone()
    out = load_modality(name)(image, seeded(6))
    assert torch.equal(image, before) and not out.requires_grad


def edge_strength(image: torch.Tensor) -> torch.Tensor:
    """(B, H, W) local standard deviation, of mean 0 and norm 1 per image: high on edges and on drawn lines alike."""
    sigma = torch.full((len(image), 1, 1, 1), 1.5)
    luma = gray(image)
    mean = blurred(luma, sigma, 5)
    strength = (blurred(luma * luma, sigma, 5) - mean * mean).clamp_min(0.0).sqrt()[:, 0]
    strength = strength - strength.mean((1, 2), keepdim=True)
    return strength / strength.flatten(1).norm(dim=1)[:, None, None].clamp_min(1e-6)


@every_modality
@pytest.mark.parametrize("channels", [1, 3])
def test_outlines_stay_where_they_are(name, channels):
    """Of all shifts by up to 6 px, none makes the edges of both sides meet as well as (next to) no shift."""
    image = shapes(12, 96, 96, channels)
    before, after = edge_strength(image), edge_strength(load_modality(name)(image, seeded(7)))
    inner = slice(8, -8)
    agreement = {
        (dy, dx): float((before[:, inner, inner] * after.roll((dy, dx), (1, 2))[:, inner, inner]).sum((1, 2)).mean())
        for dy in range(-6, 7)
        for dx in range(-6, 7)
    }
    dy, dx = max(agreement, key=agreement.get)
    assert max(abs(dy), abs(dx)) <= FARTHEST_PX.get(name, 1)
    assert agreement[dy, dx] > LEAST_AGREEMENT.get(name, 0.1)


@every_modality
def test_every_tensor_is_made_on_the_device_of_the_image(name):
    """With another default device, a tensor made without naming its device would not mix with the others."""
    image = shapes(2, 48, 56)
    rng = seeded(8)
    with torch.device("meta"):
        out = load_modality(name)(image, rng)
    assert out.device == image.device
