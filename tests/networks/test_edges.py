"""What the network sees: edges by direction, blind to which side is brighter and to what is not valid."""

import pytest
import torch

from xmatch.networks.edges import CHANNELS, observed


def textured(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 12, 12, generator=rng)
    image = torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bicubic")
    return image, torch.ones(1, 1, 48, 48, dtype=torch.bool)


def test_edges_look_the_same_in_the_negative():
    image, valid = textured()
    one, other = observed(image, valid), observed(1 - image, valid)
    assert one.shape == (1, CHANNELS, 48, 48)
    torch.testing.assert_close(one[:, 2:], other[:, 2:], atol=1e-4, rtol=0)
    torch.testing.assert_close(one[:, 0], -other[:, 0], atol=1e-4, rtol=0)
    assert one[:, 2].mean() > 0.5


@pytest.mark.parametrize(("angle_deg", "expected"), [(0, (1, 0)), (45, (0, 1)), (90, (-1, 0)), (135, (0, -1))])
def test_directions_are_given_by_twice_the_angle(angle_deg, expected):
    """A ramp that rises along `angle_deg`, from x towards y."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    angle = torch.deg2rad(torch.tensor(float(angle_deg)))
    ramp = x * torch.cos(angle) + y * torch.sin(angle)
    strength, *direction = observed(ramp[None, None], torch.ones(1, 1, 32, 32, dtype=torch.bool))[0, 2:, 16, 16]
    for found, wanted in zip(direction, expected, strict=True):
        assert found / strength == pytest.approx(wanted, abs=1e-3)


def test_faint_edges_count_as_much_as_strong_ones():
    image, valid = textured()
    image = image.repeat(1, 1, 1, 2)
    image[..., 48:] = 0.5 + 0.1 * (image[..., 48:] - 0.5)
    strength = observed(image, valid.repeat(1, 1, 1, 2))[0, 2]
    assert strength[8:40, 60:88].mean() > 0.6 * strength[8:40, 8:36].mean()


def test_what_is_not_valid_leaves_no_trace():
    image, valid = textured()
    valid[..., 20:] = False
    found = [observed(torch.where(valid, image, fill), valid) for fill in (0.0, 9.0)]
    torch.testing.assert_close(*found)
    assert (found[0][:, 2:, :, 18:] == 0).all()


def test_flat_images_show_no_edges():
    flat = observed(torch.full((1, 1, 32, 32), 0.3), torch.ones(1, 1, 32, 32, dtype=torch.bool))
    assert flat[:, 2:].abs().max() < 1e-3
