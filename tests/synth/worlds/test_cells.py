"""Sections: hollows are empty, nuclei take the stain and shine, focus does not move them."""

from __future__ import annotations

import pytest
import torch

from xmatch.synth.worlds.cells import SENSORS, make_section


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def section():
    return make_section(8, 128, rng(4))


def mean(image, weight):
    return (image * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1.0)


def test_layers_are_masks_and_every_section_has_nuclei_but_is_not_full_of_them(section):
    for name in ("nucleus", "membrane", "gland", "hollow", "stroma"):
        layer = getattr(section, name)
        assert layer.min() >= 0 and layer.max() <= 1, name
    share = section.nucleus.mean((1, 2, 3))
    assert share.min() > 0.005 and share.max() < 0.6


def test_hollows_hold_no_nuclei_and_let_the_light_through(section):
    deep = (section.hollow > 0.99).float()
    assert deep.any()
    assert mean(section.nucleus, deep).max() < 0.05
    stained = SENSORS["he"](section, rng(1))
    has = deep.sum((1, 2, 3)) > 50
    assert (mean(stained, deep) > mean(stained, 1 - section.hollow))[has].all()


def test_nuclei_are_dark_in_a_stain(section):
    stained = SENSORS["he"](section, rng(2))
    between = (1 - section.nucleus) * (1 - section.hollow)
    assert (mean(stained, section.nucleus) < mean(stained, between) - 0.03).all()


def test_what_is_labelled_shines_on_a_dark_ground(section):
    seen = SENSORS["fluorescence"](section, rng(3))
    shines = torch.maximum(section.nucleus, section.membrane)
    assert (mean(seen, shines) > mean(seen, 1 - shines)).all()
    assert mean(seen, section.hollow)[section.hollow.sum((1, 2, 3)) > 50].max() < 0.3
