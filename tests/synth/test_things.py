"""Two figures of one kind: their parts correspond, whatever they look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.recipe import SourceSpec, build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Things
from xmatch.synth.sources.figures import between, draw_figure, make_kind


@pytest.fixture(scope="module")
def figures():
    host = np.random.default_rng(0)
    kind = make_kind(host)
    return draw_figure(kind, 160, host), draw_figure(kind, 160, host)


def test_the_same_place_of_the_same_part_corresponds(figures):
    first, second = figures
    there, shown = between(first, second)
    column, row = np.floor(there[shown]).astype(int).T
    assert shown.sum() > 500
    assert (second.part[row, column] == first.part[shown]).all()
    # To within the width of a px, which is another share of parts of another size.
    off = np.abs(second.place[row, column] - first.place[shown])
    sizes = np.linalg.norm(second.to_px[:, :, :2], axis=1)[first.part[shown]]
    assert (off * sizes).max() < 1.0


def test_a_figure_corresponds_to_itself_px_by_px(figures):
    there, shown = between(figures[0], figures[0])
    rows, columns = np.nonzero(shown)
    assert np.allclose(there[shown], np.stack([columns, rows], 1) + 0.5)
    assert (shown == (figures[0].part >= 0)).all()


def test_figures_of_a_kind_have_the_same_parts_and_other_looks(figures):
    first, second = figures
    assert set(np.unique(first.part)) & set(np.unique(second.part)) >= {-1, 0, 1}
    there, shown = between(first, second)
    column, row = np.floor(there[shown]).astype(int).T
    assert np.abs(first.image[shown] - second.image[row, column]).mean() > 0.05


def test_pairs_have_truth_on_the_things_alone():
    pairs = draw_pairs(Mixture([Things()]), 3, 96, device_rng("cpu", 0), Difficulty.FULL)
    share = pairs.covisible.float().mean((1, 2))
    assert (share > 0.01).all() and (share < 0.6).all()
    assert pairs.modalities == (("thing", "thing"),) * 3
    assert torch.isfinite(pairs.warp).all() and np.isnan(pairs.matrices).all()


def test_seeds_decide():
    first, again, other = (Things().draw(2, 96, device_rng("cpu", seed), Difficulty.FULL) for seed in (0, 0, 1))
    assert torch.equal(first.first, again.first) and torch.equal(first.flow, again.flow)
    assert not torch.equal(first.first, other.first)


def test_recipes_name_them_and_nothing_of_them():
    assert isinstance(build_mixture([SourceSpec("things")]).sources[0], Things)
    with pytest.raises(ValueError, match="one way"):
        SourceSpec("things", names=("cat",))
