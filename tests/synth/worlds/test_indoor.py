"""Rooms: rays meet boxes and balls where geometry says, normals stand on surfaces, paint is for light only."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from xmatch.synth.worlds.furniture import BOXES, Things, leaves, meets
from xmatch.synth.worlds.indoor import SENSORS, make_room, shadows


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def room():
    return make_room(4, 96, rng(4))


def numbers(*values: float):
    return tuple(torch.full((1, 1, 1, 1), value) for value in values)


def lone(turn: float) -> Things:
    """Things of 2 x 2 x 2 m, 5 m ahead."""
    count = BOXES + 1
    middle = torch.tensor([0.0, 0.0, 5.0]).expand(1, count, 3)
    return Things(middle, torch.ones(1, count, 3), torch.full((1, count), turn))


@pytest.mark.parametrize(("turn", "first", "last"), [(0.0, 4.0, 6.0), (math.pi / 4, 5 - 2**0.5, 5 + 2**0.5)])
def test_a_ray_enters_and_leaves_a_box_at_its_walls(turn, first, last):
    enter, leave = meets(lone(turn), 0, numbers(0.0, 0.0, 0.0), numbers(0.0, 0.0, 1.0))
    assert enter.item() == pytest.approx(first, abs=1e-4) and leave.item() == pytest.approx(last, abs=1e-4)


def test_a_ball_in_the_same_box_is_met_later_aside_of_its_middle_and_missed_in_the_corner():
    start, ball = numbers(0.0, 0.0, 0.0), BOXES
    enter, leave = meets(lone(0.3), ball, numbers(0.6, 0.0, 0.0), numbers(0.0, 0.0, 1.0))
    assert (enter.item(), leave.item()) == pytest.approx((4.2, 5.8), abs=1e-4)
    enter, leave = meets(lone(0.3), ball, start, numbers(0.25, 0.25, 1.0))
    assert enter > leave


def test_the_walls_are_met_from_within():
    steps = leaves(torch.tensor([[2.0, 1.0, 3.0]]), numbers(0.0, 0.0, -1.0), numbers(0.0, 0.0, 1.0))
    assert steps.item() == pytest.approx(4.0, abs=1e-4)


def test_normals_have_length_one_and_stand_on_the_surface(room):
    assert torch.allclose(room.normal.norm(dim=1), torch.ones(4, 96, 96), atol=1e-4)
    same = (room.face[..., 1:] == room.face[..., :-1]) & (room.thing[..., 1:] <= BOXES)
    along = room.point[..., 1:] - room.point[..., :-1]
    lift = (along * room.normal[..., 1:]).sum(1, keepdim=True).abs()
    assert same.float().mean() > 0.8
    assert lift[same].max() < 1e-3 < along.norm(dim=1, keepdim=True)[same].max()


def test_rooms_show_furniture_before_their_walls(room):
    furniture = room.thing > 0
    assert (furniture.float().mean((1, 2, 3)) > 0.01).all()
    assert room.depth.min() >= 0.3 and room.depth.max() < 15


def test_a_box_throws_its_shadow_on_what_lies_behind_it(room):
    alone = replace(room, things=lone(0.0))
    behind, beside = torch.tensor([0.0, 0.0, 8.0]), torch.tensor([3.0, 0.0, 8.0])
    point = torch.stack([behind, beside], 1)[None, :, None]
    lamp = torch.zeros(1, 3, 1, 1)
    assert shadows(alone, point, lamp - point).flatten().tolist() == [1.0, 0.0]


def test_light_shows_paint_and_prints_heat_and_distance_do_not(room):
    other = replace(room, paint=1 - room.paint, print=-room.print, weave=-room.weave)
    for sensor, sees in (("visible", True), ("night", True), ("infrared", False), ("depth", False), ("normal", False)):
        alike = torch.equal(SENSORS[sensor](room, rng(1)), SENSORS[sensor](other, rng(1)))
        assert alike != sees, sensor
