"""What every world promises: sensors that share where things are, not what they look like."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from xmatch.errors import UsageError
from xmatch.synth.modalities.filters import slopes
from xmatch.synth.worlds import WORLDS, make_world

SIZE = 96


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=WORLDS)
def scene(request):
    return make_world(request.param, 4, SIZE, rng(7))


def test_every_sensor_gives_finite_pictures_in_range_that_show_something(scene):
    for sensor in scene.sensors:
        seen = scene.render(sensor, rng(1))
        assert seen.shape == (4, 1, SIZE, SIZE) and seen.dtype == torch.float32, sensor
        assert torch.isfinite(seen).all() and seen.min() >= 0 and seen.max() <= 1, sensor
        assert (seen.std((2, 3)) > 0.003).all(), sensor
        assert not torch.equal(seen[0], seen[1]), sensor


def test_the_same_seed_gives_the_same_scene_and_picture_another_seed_another_one(scene):
    state = torch.random.get_rng_state()
    again = make_world(scene.kind, 4, SIZE, rng(7))
    for sensor in scene.sensors:
        assert torch.equal(scene.render(sensor, rng(2)), again.render(sensor, rng(2))), sensor
        assert not torch.equal(scene.render(sensor, rng(2)), scene.render(sensor, rng(3))), sensor
    assert torch.equal(torch.random.get_rng_state(), state)  # no draw but from the generators given


def test_one_scene_of_any_size_can_be_made(scene):
    alone = make_world(scene.kind, 1, 64, rng(3))
    assert all(alone.render(sensor, rng()).shape == (1, 1, 64, 64) for sensor in alone.sensors)
    assert alone.height is None or alone.height.shape == (1, 1, 64, 64)


def agreement(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean of cos 2a between gradient directions, weighted by both strengths: 1 alike, 0 by chance."""
    fields = []
    for image in (one, other):
        x, y = slopes(image)
        strength = (x.square() + y.square()).sqrt() + 1e-6
        fields.append(torch.cat([(x * x - y * y), 2 * x * y], 1) / strength)
    product = (fields[0] * fields[1]).sum()
    return float(product / (fields[0].square().sum() * fields[1].square().sum()).sqrt())


def test_structure_agrees_between_sensors_more_than_with_a_shifted_copy(scene):
    first, *others = scene.sensors
    seen = scene.render(first, rng(4))
    for sensor in others:
        other = F.avg_pool2d(scene.render(sensor, rng(5)), 3, 1, 1)
        shifted = [agreement(seen, torch.roll(other, shift, (2, 3))) for shift in ((17, 0), (0, 23), (-19, 29))]
        assert agreement(seen, other) > max(shifted) + 0.02, sensor


def test_unknown_worlds_and_sensors_are_named_with_the_known_ones(scene):
    with pytest.raises(UsageError, match="atlantis"):
        make_world("atlantis", 1, 64, rng())
    with pytest.raises(UsageError, match="sonar"):
        scene.render("sonar", rng())
