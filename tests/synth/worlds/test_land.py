"""Land and towns: shared places, independent looks."""

from __future__ import annotations

import pytest
import torch

from xmatch.synth.worlds import make_world
from xmatch.synth.worlds.chart import street_map
from xmatch.synth.worlds.ground import COUNTRY, TOWN, Ground, make_ground
from xmatch.synth.worlds.lettering import words
from xmatch.synth.worlds.radar import layover, walls
from xmatch.synth.worlds.surfaces import SLOTS, USES, ZONES, Surface, palette
from xmatch.synth.worlds.visible import optical, optical_later


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def towns() -> Ground:
    return make_ground(TOWN, 6, 128, rng(2))


def share_of(ground: Ground, kind: Surface) -> torch.Tensor:
    return (ground.label % len(Surface) == int(kind)).float().mean((1, 2, 3))


def alike(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(B,) linear correlation."""
    return torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(one.flatten(1), other.flatten(1), strict=True)]
    )


def test_towns_have_more_roofs_than_the_country_which_has_more_crops():
    country, town = (make_ground(profile, 12, 96, rng(1)) for profile in (COUNTRY, TOWN))
    assert share_of(town, Surface.ROOF).mean() > 2 * share_of(country, Surface.ROOF).mean() > 0
    assert share_of(country, Surface.CROP).mean() > 2 * share_of(town, Surface.CROP).mean()


def test_roofs_stand_above_the_terrain_and_no_road_cuts_them(towns):
    roof = towns.label % len(Surface) == int(Surface.ROOF)
    assert ((towns.height - towns.terrain)[roof] > 0).all()
    assert (towns.road_px[roof] > 0).all()


def test_without_what_stands_on_it_the_ground_is_bare(towns):
    bare = towns.bare % len(Surface)
    assert not (bare == int(Surface.ROOF)).any() and not (bare == int(Surface.CAR)).any()


def test_what_is_bright_is_warm_in_some_scenes_and_cold_in_others():
    ground = make_ground(TOWN, 24, 64, rng(3))
    related = alike(ground.albedo, ground.temperature)
    assert (related < -0.1).sum() >= 4 and (related > 0.1).sum() >= 4 and related.abs().mean() < 0.5


@pytest.mark.parametrize("kind", ["land", "city"])
def test_radar_does_not_follow_brightness(kind):
    scene = make_world(kind, 8, 96, rng(2))
    assert alike(scene.render("optical", rng(3)), scene.render("sar", rng(3))).abs().mean() < 0.4


def test_radar_moves_what_is_high_towards_the_sensor_and_adds_up_what_falls_together():
    power, high = torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    high[..., 10:14, 16:20] = 6.0
    right, down = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    seen = layover(power, high, right, down)
    assert seen.sum() == power.sum()
    assert (seen[..., 10:14, 22:26] == 2).all() and (seen[..., 10:14, 16:20] == 0).all()
    assert (seen[..., 20:, :] == 1).all()


def test_only_walls_that_face_the_sensor_answer_twice():
    tower = torch.zeros(1, 1, 32, 32)
    tower[..., 10:20, 10:20] = 9.0
    wall = walls(tower, torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))[0, 0]
    assert wall[15, 19:21].min() == 1  # the sensor is to the right
    assert wall[:, :18].max() < 0.05 and wall[2:8].max() == 0


def test_another_year_keeps_the_roads_and_loses_some_buildings(towns):
    now, again, later = optical(towns, rng(1)), optical(towns, rng(2)), optical_later(towns, rng(3))
    assert alike(now, again).mean() > alike(now, later).mean() > 0.05


def test_maps_are_flat(towns):
    def calm(image: torch.Tensor) -> float:
        return float(((image[..., 1:] - image[..., :-1]).abs() < 0.02).float().mean())

    assert calm(street_map(towns, rng(1))) > 0.6 > calm(optical(towns, rng(1)))


def test_words_are_readable_ink_anywhere_in_the_picture():
    ink = words(torch.zeros(8, 1, 96, 96), rng(1), 12)
    assert ink.min() == 0 and 0.9 < ink.max() <= 1
    assert 0.005 < (ink > 0.5).float().mean() < 0.25
    assert not torch.equal(ink[0], ink[1])


def test_every_zone_shares_its_plots_out_completely():
    for name in ZONES:
        slots = palette((name,))
        assert len(slots) == SLOTS and set(slots) <= {float(use) for use in USES}
