"""Fields that a network draws: standardised, blind to what is not valid, and turning with the image."""

import pytest
import torch

from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.fieldnet.network import FieldNet, edges
from xmatch.networks.fieldnet.objective import Poses, _warped

TINY = FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0, 0, 0, 0), maps=2)


@pytest.fixture
def model() -> FieldNet:
    torch.manual_seed(0)
    return FieldNet(TINY).eval()


def image(height: int = 72, width: int = 96, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 5, 1, 2), torch.ones(1, 1, height, width, dtype=torch.bool)


@torch.no_grad()
def test_planes_come_in_pairs_with_mean_zero_and_mean_square_one(model):
    planes, cover = model(*image())
    assert planes.shape == (1, TINY.planes, 24, 32) and cover.shape == (1, 1, 24, 32)
    assert TINY.orders == (2, 0, 0, 2, 2) and TINY.planes == 10
    count = cover.sum()
    assert (planes.sum((2, 3)) / count).abs().max() < 1e-4
    assert planes.square().sum() / count == pytest.approx(1.0, abs=1e-3)
    assert planes[(cover == 0).expand_as(planes)].abs().max() == 0


@torch.no_grad()
def test_what_is_not_valid_has_no_say(model):
    shown, valid = image()
    valid[..., :30] = False
    other = torch.where(valid, shown, torch.rand(shown.shape))
    planes, cover = model(shown, valid)
    assert torch.equal(planes, model(other, valid)[0])
    assert cover[..., :10].max() == 0 and cover[..., 12:-1].max() == 1


@torch.no_grad()
def test_the_direction_of_edges_turns_by_twice_the_turn(model):
    model.log_weights.data[2:] = -30  # the image's own edges alone
    shown, valid = image(72, 72)
    upright, turned = (model(torch.rot90(x, k, (2, 3)), valid)[0] for x, k in ((shown, 0), (shown, 1)))
    # A quarter turn changes the sign of what turns by twice as much.
    assert torch.allclose(turned[:, :2], -torch.rot90(upright, 1, (2, 3))[:, :2], atol=1e-4)
    assert torch.allclose(turned[:, 2:4], torch.rot90(upright, 1, (2, 3))[:, 2:4], atol=1e-4)
    assert upright[:, :2].abs().max() > 0.5


@torch.no_grad()
def test_where_nothing_is_drawn_what_is_made_by_hand_decides(model):
    model.head.weight.zero_(), model.head.bias.zero_()
    planes, cover = model(*image())
    assert planes[:, 4:].abs().max() < 1e-2
    assert planes[:, :4].square().sum() / cover.sum() == pytest.approx(1.0, abs=1e-3)


def test_edges_of_a_ramp_have_one_direction():
    column = torch.arange(8.0).expand(8, 8)
    across, down = (edges(x[None, None])[0, :, 2:-2, 2:-2] for x in (column, column.T))
    assert torch.allclose(across[0], torch.full((4, 4), 1 / 1.5), atol=1e-4) and across[1].abs().max() < 1e-6
    assert torch.allclose(down, -across, atol=1e-6)


def test_sides_that_the_pyramid_cannot_halve_are_refused(model):
    with pytest.raises(ValueError, match="multiples of 24"):
        model(*image(40, 64))


@pytest.mark.parametrize("maps", [0, 3])
def test_maps_come_in_pairs(maps):
    with pytest.raises(ValueError, match="even"):
        FieldNetConfig(maps=maps)


def test_directions_turn_with_the_image_that_is_turned_in_training():
    """By an eighth of a turn: edges along x come to run along the diagonal, whose doubled angle is a quarter."""
    c = s = 0.5**0.5
    poses = Poses(torch.tensor([[[c, -s], [s, c]]]), torch.zeros(1, 2), torch.ones(1))
    planes = torch.zeros(1, 4, 24, 24)
    planes[:, 0] = planes[:, 2] = 1.0
    found, _ = _warped(planes, torch.ones(1, 1, 24, 24), poses, (2, 0))
    middle = found.shape[-1] // 2
    torch.testing.assert_close(found[0, :, middle, middle], torch.tensor([0.0, 1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
