"""What is learned from and judged by, when registrations of unlabelled pairs are accepted and when not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_pairs import SIDE, truth_of, write_pairs

from xmatch.adaptation import material
from xmatch.adaptation.collect import PairRequest, collect
from xmatch.adaptation.poses import PosedPair
from xmatch.adaptation.recipe import AdaptRecipe, GuardSpec
from xmatch.errors import InputError
from xmatch.training.loop import Reporter
from xmatch.training.signals import StopRequest

RECIPE = AdaptRecipe(size=64, view_px=SIDE, batch=2, guard=GuardSpec(unlabelled=2, views=1))
COUNT = 12


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Scenes of twelve pairs, two of them labelled; registrations are true, and accepted where `accept` says so."""
    pairs = write_pairs(tmp_path / "pairs", COUNT, COUNT)

    def make(accept, recipe: AdaptRecipe = RECIPE, labelled: int = 2) -> material.Material:
        def lay(asked, matcher, folder, **more):
            numbers = [int(pair.fixed.name[:2]) for pair in asked]
            return [PosedPair(p, truth_of(n), accept(n)) for p, n in zip(asked, numbers, strict=True)], []

        monkeypatch.setattr(material, "pose_pairs", lay)
        collected = collect(PairRequest(labelled, pairs), recipe.guard, recipe.seed)
        return material.prepare(collected, recipe, tmp_path, threads=1, talk=Reporter(), stop=StopRequest())

    return make


def test_held_out_pairs_are_judged_by_registrations_where_these_are_accepted(prepared):
    found = prepared(lambda number: True)
    assert found.judges == "registered" and len(found.held) == 2 and all(scene.labelled for scene in found.held)
    # Their own truth is for the report, and is not the guard's.
    assert [scene.name for scene in found.known] == [scene.name for scene in found.held]
    assert not any(scene.labelled for scene in found.known)
    assert len(found.labelled) == 2 and len(found.unlabelled) == COUNT - 4


def test_agreement_judges_where_they_are_not(prepared):
    found = prepared(lambda number: False)
    assert found.judges == "unlabelled" and len(found.held) == 2 and not any(scene.labelled for scene in found.held)


def test_accepted_registrations_count_as_labels_when_asked_for(prepared):
    recipe = dataclasses.replace(RECIPE, trust_verdicts=True)
    found = prepared(lambda number: number % 2 == 0, recipe)
    held = {scene.name for scene in found.known}
    even = {f"{number:02d}" for number in range(0, COUNT, 2)}
    drawn = {pair.name[:2] for pair in found.collected.labelled}
    assert {scene.name[:2] for scene in found.labelled} == drawn | (even - {name[:2] for name in held})
    assert len(found.labelled) + len(found.unlabelled) == COUNT - 2 and found.registered == len(found.labelled) - 2
    for scene in found.labelled:
        np.testing.assert_array_less(
            np.abs(255 - scene.moving.astype(float) - scene.fixed)[scene.moving_valid & scene.fixed_valid].mean(), 60
        )
    alone = prepared(lambda number: True, dataclasses.replace(recipe, pseudo="none"), labelled=0)
    assert len(alone.labelled) == COUNT - 2 and not alone.unlabelled


def test_pairs_that_cannot_be_read_are_missed_by_name(prepared, tmp_path, monkeypatch):
    def bad(pairs, labelled, recipe):
        return ([], []) if labelled else original(pairs, labelled, recipe)

    original = material.read_scenes
    monkeypatch.setattr(material, "read_scenes", bad)
    with pytest.raises(InputError, match="0 of 2 labelled pairs can be read"):
        prepared(lambda number: False)


def test_trust_without_registrations_is_a_contradiction():
    with pytest.raises(ValueError, match="trust_verdicts needs registrations"):
        AdaptRecipe(trust_verdicts=True, pose="centre")
