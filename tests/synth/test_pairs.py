"""Training pairs: masks are strict, sources are mixed by their weights, the same seed draws the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from xmatch.synth.difficulty import Difficulty, between
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import TrainingPairs, draw_pairs, look_twice
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources import Sensors, Shapes
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.warps import centres

EASY, FULL = Difficulty.EASY, Difficulty.FULL


class Flat:
    """Images of one grey level."""

    def __init__(self, level, name="flat"):
        self.level, self.name = level, name

    def draw(self, count, size, rng, difficulty):
        image = torch.full((count, 1, size, size), self.level, device=rng.device)
        valid = everywhere(image)
        return Aligned(image, image, valid, valid, ((self.name, self.name),) * count, (self.name,) * count)


def drawn(mixture=None, count=16, size=48, seed=1, difficulty=FULL, **more):
    mixture = mixture or Mixture([Shapes(Sensors(["curves"]))])
    return draw_pairs(mixture, count, size, device_rng("cpu", seed), difficulty, **more)


def test_shapes_and_types():
    pairs = drawn(count=5)
    assert len(pairs) == 5
    for image in (pairs.fixed, pairs.moving):
        assert image.shape == (5, 1, 48, 48) and image.dtype == torch.float32
        assert image.min() >= 0 and image.max() <= 1 and image.isfinite().all()
    for valid in (pairs.fixed_valid, pairs.moving_valid):
        assert valid.shape == (5, 1, 48, 48) and valid.dtype == torch.bool
    assert pairs.warp.shape == (5, 48, 48, 2) and pairs.warp.isfinite().all() and pairs.warp.is_contiguous()
    assert pairs.covisible.shape == (5, 48, 48) and pairs.covisible.dtype == torch.bool
    assert len(pairs.modalities) == len(pairs.origins) == len(pairs.matrices) == 5
    assert drawn(count=2, channels=3).fixed.shape == (2, 3, 48, 48)


class Moving(Flat):
    """Two views, everything a tenth of the side further right in the second."""

    def draw(self, count, size, rng, difficulty):
        still = super().draw(count, size, rng, difficulty)
        flow = (centres(size, rng.device).permute(0, 2, 3, 1) + torch.tensor([0.2, 0.0])).expand(count, -1, -1, -1)
        return dataclasses.replace(still, flow=flow, covisible=still.first_valid[:, 0])


def test_a_flow_in_one_source_leaves_the_pairs_of_the_others_straight():
    calm = dataclasses.replace(EASY, max_angle_deg=0.0, max_scale=1.0, max_shift=0.0, shear=0.0)
    pairs = drawn(Mixture([Flat(0.5), Moving(0.5, "moving")]), difficulty=calm)
    moves = np.array([name == "moving" for name, _ in pairs.modalities])
    assert 2 < moves.sum() < 14
    assert np.array_equal(np.isnan(pairs.matrices).all(axis=(1, 2)), moves)
    own = centres(48, "cpu").permute(0, 2, 3, 1)
    shift = torch.stack([(w - own[0])[seen].mean(0) for w, seen in zip(pairs.warp, pairs.covisible, strict=True)])
    assert shift[~moves].abs().max() < 1e-4
    assert (shift[moves].norm(dim=1) > 0.15).all()


def test_the_same_seed_draws_the_same_and_another_does_not():
    first, again, other = drawn(seed=1), drawn(seed=1), drawn(seed=2)
    assert torch.equal(first.fixed, again.fixed) and torch.equal(first.warp, again.warp)
    assert first.modalities == again.modalities
    assert not torch.equal(first.fixed, other.fixed)


def test_covisible_px_are_valid_on_both_sides():
    pairs = drawn(count=32)
    assert (pairs.covisible & ~pairs.fixed_valid[:, 0]).sum() == 0
    assert (pairs.warp[pairs.covisible].abs() <= 1).all()
    valid = pairs.moving_valid.float()
    partners = torch.nn.functional.grid_sample(valid, pairs.warp, padding_mode="border", align_corners=False)
    assert partners[:, 0][pairs.covisible].min() > 0.99


def test_most_pairs_overlap_well_and_half_have_no_empty_border():
    pairs = drawn(count=200)
    share = pairs.covisible.float().mean((1, 2))
    assert share.median() > 0.4 and share.quantile(0.05) > 0.1
    whole = (pairs.fixed_valid & pairs.moving_valid).flatten(1).all(1).float().mean()
    assert 0.45 < whole < 0.9


def test_no_black_corner_counts_as_content():
    """White scenes without degradation: whatever is valid is white."""
    bounds = Difficulty(max_angle_deg=180, noise=0)
    pairs = drawn(Mixture([Flat(1.0)]), count=64, difficulty=bounds)
    assert not pairs.moving_valid.all()
    for image, valid in ((pairs.fixed, pairs.fixed_valid), (pairs.moving, pairs.moving_valid)):
        for one, mask in zip(image, valid, strict=True):
            assert one[mask].std() < 1e-4


def test_empty_px_are_filled_in_several_ways():
    pairs = drawn(Mixture([Flat(0.6)]), count=200, difficulty=Difficulty(max_angle_deg=180, noise=0))
    fills = {"zeros": 0, "mean": 0, "noise": 0}
    for image, valid in zip(pairs.moving, pairs.moving_valid, strict=True):
        empty = image[~valid]
        if len(empty) > 50:
            kind = "noise" if empty.std() > 0.2 else "zeros" if empty.max() == 0 else "mean"
            fills[kind] += 1
    assert min(fills.values()) > 3


def test_invalid_parts_of_a_base_stay_invalid():
    image = torch.ones(16, 1, 72, 72)
    valid = everywhere(image).clone()
    valid[:, :, 30:34, 30:34] = False
    aligned = Aligned(image, image, valid, everywhere(image), (("a", "a"),) * 16, ("x",) * 16)
    rng = device_rng("cpu", 3)
    pairs = look_twice(aligned, 48, rng, host_rng(rng), EASY)
    holes = (~pairs.fixed_valid).flatten(1).sum(1)
    assert (holes >= 16).float().mean() > 0.5
    assert (pairs.covisible & ~pairs.fixed_valid[:, 0]).sum() == 0


def test_hidden_px_are_valid_but_not_covisible():
    still = Difficulty(max_angle_deg=0, max_scale=1, max_shift=0, shear=0, perspective=0, elastic=0)
    pairs = drawn(count=100, difficulty=still)
    inside = (pairs.warp.abs() < 0.9).all(-1) & pairs.fixed_valid[:, 0]
    hidden = inside & ~pairs.covisible
    assert 0.0 < hidden.float().mean() < 0.05


def test_a_flow_of_the_source_enters_the_truth():
    """The second image is the first, moved by 6 of 72 px; without further motion the warp is that, scaled."""
    base = torch.rand(4, 1, 72, 72)
    line = (torch.arange(72) + 0.5) / 36 - 1
    flow = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).repeat(4, 1, 1, 1)
    flow[..., 0] += 6 / 36
    seen = torch.ones(4, 72, 72, dtype=torch.bool)
    seen[:, :, 36:] = False
    still = Difficulty(max_angle_deg=0, max_scale=1, max_shift=0, shear=0, perspective=0, elastic=0, noise=0)
    rng = device_rng("cpu", 3)
    aligned = Aligned(base, base, everywhere(base), everywhere(base), (("a", "a"),) * 4, ("x",) * 4, flow, seen)
    state = rng.get_state()
    with_flow = look_twice(aligned, 48, rng, np.random.default_rng(5), still)
    rng.set_state(state)
    plain = Aligned(base, base, everywhere(base), everywhere(base), (("a", "a"),) * 4, ("x",) * 4)
    without = look_twice(plain, 48, rng, np.random.default_rng(5), still)
    apart = (with_flow.warp - without.warp)[without.covisible]
    # Both views have the same scale, so 6 px of the base are as many px of the pair, whatever its zoom.
    assert (apart[:, 1].abs() < 1e-4).all() and (apart[:, 0] > 6 / 36 * 0.9).all()
    assert np.isnan(with_flow.matrices).all() and np.isfinite(without.matrices).all()
    assert 0 < with_flow.covisible.float().mean() < without.covisible.float().mean()


def test_matrices_are_the_warp_where_nothing_is_bent():
    pairs = drawn(count=32)
    straight = np.isfinite(pairs.matrices).all(axis=(1, 2))
    assert 0.2 < straight.mean() < 0.8
    for number in np.flatnonzero(straight):
        there = pairs.matrices[number] @ [0.5 / 24, 0.5 / 24, 1]
        assert there[:2] / there[2] == pytest.approx(pairs.warp[number, 24, 24].numpy(), abs=1e-5)


def test_sources_are_mixed_by_weight_and_spread_over_the_batch():
    mixture = Mixture([(Flat(0.2, "dark"), 1.0), (Flat(0.8, "bright"), 3.0)])
    names = drawn(mixture, count=400, size=32, difficulty=EASY).origins
    assert 0.68 < np.mean([name == "bright" for name in names]) < 0.82
    halves = [np.mean([name == "bright" for name in part]) for part in (names[:200], names[200:])]
    assert abs(halves[0] - halves[1]) < 0.15
    pairs = drawn(mixture, count=32, size=32, difficulty=EASY)
    assert all(pair == (origin, origin) for pair, origin in zip(pairs.modalities, pairs.origins, strict=True))


@pytest.mark.parametrize("sources", [[], [(Flat(0.1), 0.0)], [(Flat(0.1), -1.0)]])
def test_a_mixture_needs_sources_with_weights(sources):
    with pytest.raises(ValueError):
        Mixture(sources)


def test_easy_pairs_look_alike():
    """At the start of a curriculum the partner of a px has about its grey level's rank; at the end it need not."""
    likeness = []
    for t in (0.0, 1.0):
        pairs = drawn(count=64, difficulty=between(EASY, FULL, t))
        shown = torch.nn.functional.grid_sample(pairs.moving, pairs.warp, align_corners=False)[:, 0]
        values = []
        for one, two, seen in zip(pairs.fixed[:, 0], shown, pairs.covisible, strict=True):
            if seen.sum() > 100:
                values.append(np.corrcoef(one[seen].numpy(), two[seen].numpy())[0, 1])
        likeness.append(np.nanmedian(values))
    assert likeness[0] > 0.9 > 0.75 > likeness[1]


def test_pairs_move_to_a_device():
    pairs = drawn(count=2).to("meta")
    assert isinstance(pairs, TrainingPairs) and pairs.warp.device.type == "meta" and len(pairs.modalities) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pairs_are_drawn_on_the_device_of_the_generator():
    pairs = draw_pairs(Mixture([Shapes(Sensors(["sar", "curves"]))]), 8, 64, device_rng("cuda", 1), FULL)
    assert pairs.fixed.device.type == pairs.warp.device.type == pairs.covisible.device.type == "cuda"
