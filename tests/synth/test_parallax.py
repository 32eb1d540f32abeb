"""Oblique views: towers lean by their height, hide what is behind them, and the flow says so."""

from __future__ import annotations

import pytest
import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.resampling import bilinear
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.parallax import Oblique, flow_between, look
from xmatch.synth.sources.worlds import MadeHere, Worlds
from xmatch.synth.warps import centres

SIZE = 64
TOWER = (slice(None), slice(None), slice(24, 40), slice(24, 40))
HIGH = 10.0


def tower():
    height = torch.zeros(1, 1, SIZE, SIZE)
    height[TOWER] = HIGH
    return height


def lean(x, y=0.0):
    return Oblique(torch.tensor([[x, y]]))


def px(places):
    return (places + 1) * SIZE / 2


def test_from_straight_above_everything_is_where_it_is():
    seen = look(tower(), lean(0.0))
    assert (seen.ground - centres(SIZE, "cpu")).abs().max() < 1e-6
    assert torch.equal(seen.height, tower())


def test_a_roof_leans_by_its_height_and_hides_the_ground_behind():
    seen = look(tower(), lean(0.8))
    # The roof, at 24 to 40, appears at 32 to 48; between 24 and 32 stands the wall.
    assert seen.height[0, 0, 32, 34:46] == pytest.approx(HIGH, abs=0.1)
    assert px(seen.ground[0, 0, 32, 34:46]) == pytest.approx(torch.arange(34, 46) + 0.5 - 8, abs=0.1)
    wall = seen.height[0, 0, 32, 26:31]
    assert (wall.diff() > 0).all() and 0 < wall.min() and wall.max() < HIGH
    assert px(seen.ground[0, 0, 32, 26:31]) == pytest.approx(torch.full((5,), 24.0), abs=1.0)
    assert (seen.height[0, 0, :20] == 0).all()


def test_flat_ground_moves_with_its_height():
    first, second = (look(torch.full((1, 1, SIZE, SIZE), 5.0), lean(x)) for x in (-0.4, 0.6))
    flow, seen = flow_between(first, second)
    inner = flow[0, 10:-10, 10:-10]
    assert px(inner[..., 0]) == pytest.approx(px(centres(SIZE, "cpu"))[0, 0, 10:-10, 10:-10] + 5, abs=0.15)
    assert seen[0, 10:-10, 10:-10].all()


def test_partners_show_the_same_point():
    texture = torch.nn.functional.interpolate(torch.rand(1, 1, 16, 16), (SIZE, SIZE), mode="bilinear")
    first, second = look(tower(), lean(-0.6, 0.3)), look(tower(), lean(0.7))
    flow, seen = flow_between(first, second)
    shown = bilinear(second.image(texture), flow.permute(0, 3, 1, 2))
    apart = (shown - first.image(texture)).abs()[:, 0][seen]
    assert 0.6 < seen.float().mean() < 0.95
    assert apart.median() < 0.01 and apart.quantile(0.99) < 0.1


def test_what_only_one_camera_sees_is_not_believed():
    above, aside = look(tower(), lean(0.0)), look(tower(), lean(0.8))
    flow, seen = flow_between(above, aside)
    # The ground from 40 to 48 lies behind the leaning tower; from 24 on the roof itself is seen.
    assert not seen[0, 32, 41:47].any()
    assert seen[0, 32, 27:37].all() and seen[0, 10, 10:54].all()


class Scene:
    """A scene of towers; its sensors show a texture and the negative of it."""

    sensors = ("camera", "negative")

    def __init__(self, side, rng, flat=False):
        knots = torch.rand((1, 1, side // 4, side // 4), generator=rng)
        self.texture = torch.nn.functional.interpolate(knots, (side, side), mode="bilinear")
        self.height = torch.zeros(1, 1, side, side)
        if not flat:
            self.height[:, :, side // 3 : side // 2, side // 3 : side // 2] = side / 12

    def render(self, sensor, rng):
        return self.texture if sensor == "camera" else 1 - self.texture


@pytest.mark.parametrize("flat", [False, True])
def test_world_pairs_with_parallax_keep_their_truth(flat):
    worlds = Worlds(["city"], pool=4, maker=MadeHere(lambda kind, count, side, rng: Scene(side, rng, flat)))
    rng = device_rng("cpu", 0)
    with_flow = 0
    for _ in range(12):
        aligned = worlds.draw(4, 48, rng, Difficulty.FULL)
        if aligned.flow is None:
            assert torch.allclose(aligned.first + aligned.second, torch.ones(()), atol=1 / 255)
            continue
        with_flow += 1
        shown = bilinear(aligned.second, aligned.flow.permute(0, 3, 1, 2))
        inner = aligned.covisible & (aligned.flow.abs() < 0.95).all(-1)
        apart = (shown + aligned.first - 1).abs()[:, 0][inner]
        assert inner.float().mean() > 0.5
        assert apart.median() < 0.02 and apart.quantile(0.98) < 0.15
    assert with_flow == 0 if flat else 2 < with_flow < 10


def test_flat_scenes_beside_those_with_towers_have_the_identity_as_flow():
    made = []

    def make(kind, count, side, rng):
        made.append(1)
        return Scene(side, rng, flat=len(made) % 2 == 0)

    worlds = Worlds(["city"], pool=8, maker=MadeHere(make))
    rng = device_rng("cpu", 0)
    draws = [worlds.draw(8, 48, rng, Difficulty.FULL) for _ in range(8)]
    own = centres(48, "cpu").permute(0, 2, 3, 1)
    still = torch.cat([(d.flow - own).abs().amax((1, 2, 3)) < 1e-5 for d in draws if d.flow is not None])
    assert 0.2 < still.float().mean() < 0.8
