"""Truth ends where an image shows nothing: beyond its valid part, and behind what lies in front of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xmatch.adaptation.draws import draw_scenes
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.scenes import PairScene
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.pairs import TrainingPairs, look_twice
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere

SIZE, BASE = 64, 96
EASY = Difficulty.EASY


def aligned(second_valid: torch.Tensor | None = None, count: int = 3) -> Aligned:
    image = torch.rand((count, 1, BASE, BASE), generator=torch.Generator().manual_seed(0))
    valid = everywhere(image)
    shown = valid if second_valid is None else second_valid.expand_as(valid)
    return Aligned(image, image, valid, shown, (("a", "b"),) * count, ("made",) * count)


def looked_at(scenes: Aligned) -> TrainingPairs:
    rng = device_rng("cpu", 1)
    return look_twice(scenes, SIZE, rng, host_rng(rng), EASY)


def test_no_truth_leads_to_px_of_moving_that_show_nothing():
    half = torch.ones((1, 1, BASE, BASE), dtype=torch.bool)
    half[..., : BASE // 2] = False
    pairs = looked_at(aligned(half))
    shown = F.grid_sample(pairs.moving_valid.float(), pairs.warp, mode="nearest", align_corners=False)[:, 0] > 0
    assert 0.2 < pairs.covisible.float().mean() < 0.8
    assert not (pairs.covisible & ~shown).any()


@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_what_a_patch_hides_in_one_image_is_hidden_there(monkeypatch, side):
    """The left half of the first pair's image, and nothing in the others'."""

    def behind(both, rng, host, noise):
        hidden = torch.zeros((len(both), 1, SIZE, SIZE), dtype=torch.bool)
        hidden[0 if side == "fixed" else len(both) // 2, ..., : SIZE // 2] = True
        return both, hidden

    plain = looked_at(aligned())
    monkeypatch.setattr("xmatch.synth.pairs.degraded", behind)
    pairs = looked_at(aligned())
    if side == "fixed":
        assert not pairs.covisible[0, :, : SIZE // 2].any()
        assert torch.equal(pairs.covisible[0, :, SIZE // 2 :], plain.covisible[0, :, SIZE // 2 :])
    else:
        left = pairs.warp[0, ..., 0] < -2 / SIZE
        assert not pairs.covisible[0][left].any() and pairs.covisible[0][~left].any()
    assert torch.equal(pairs.covisible[1:], plain.covisible[1:])


def test_masks_change_places_with_their_images():
    grey = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8)
    whole = np.ones((SIZE, SIZE), bool)
    holed = whole.copy()
    holed[::4] = False  # so that no cut-out and no view of it is free of holes
    scene = PairScene("made", grey, whole, grey, holed, labelled=True)
    pairs = draw_scenes([scene] * 12, AdaptRecipe(size=64), device_rng("cpu", 3), swap=True)
    shares = [pairs.fixed_valid.float().mean((1, 2, 3)), pairs.moving_valid.float().mean((1, 2, 3))]
    turned = torch.tensor([names[0] == "moving" for names in pairs.modalities])
    assert 0 < turned.sum() < len(turned)
    assert torch.equal(shares[0] < shares[1], turned)


def test_every_number_of_a_seed_makes_another_stream():
    seeds = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    drawn = {tuple(torch.rand(3, generator=device_rng("cpu", *seed)).tolist()) for seed in seeds}
    assert len(drawn) == len(seeds)
    again = [torch.rand(3, generator=device_rng("cpu", 0, 1, 0)) for _ in range(2)]
    assert torch.equal(*again)
