"""Scenes made by other processes are the scenes that this one would have made."""

from __future__ import annotations

import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.makers import open_makers
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Worlds


def test_scenes_made_beside_are_the_same(tmp_path):
    def drawn(maker):
        worlds = Worlds(["city", "drawn"], pool=8, fresh=1.0, side=64, maker=maker)
        found = []
        for number in range(3):
            worlds.go_to(number, 5, 0)
            found.append(worlds.draw(6, 48, device_rng("cpu", 5, number), Difficulty.FULL))
        return found

    with open_makers(2, pinned=False) as makers:
        beside = drawn(makers)
    assert {name for one in beside for name in one.origins} == {"city", "drawn"}
    for one, other in zip(beside, drawn(None), strict=True):
        assert torch.equal(one.first, other.first) and torch.equal(one.second, other.second)
        assert one.names == other.names and (one.flow is None) == (other.flow is None)
        assert one.flow is None or torch.equal(one.flow, other.flow)
