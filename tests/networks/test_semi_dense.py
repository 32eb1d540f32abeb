"""What all networks that match cells hold to: masks, sizes, and the matching itself against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xmatch.networks.cell_masks import BORDER_CELLS, CELL_PX, at_cells, off_border, padded
from xmatch.networks.cell_matching import dual_softmax_matches, either_way_matches, windows_at
from xmatch.networks.eloftr.config import EloftrConfig
from xmatch.networks.loftr.config import LoftrConfig
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.xoftr.config import XoftrConfig

TINY = {
    "loftr": LoftrConfig(initial_dim=32, block_dims=(32, 16, 32), heads=1, layers=1),
    "eloftr": EloftrConfig(block_dims=(16, 16, 64), blocks=(1, 1, 1), heads=2, layers=1, threshold=0.0),
    "xoftr": XoftrConfig(block_dims=(32, 28, 32), heads=(2, 1, 1), layers=1, threshold=0.0, fine_threshold=0.0),
}


@pytest.fixture(scope="module", params=TINY)
def runner(request):
    """Random weights, with which cells that are each other's nearest are a match however unsure."""
    torch.manual_seed(0)
    entry = ARCHITECTURES[request.param]
    network = entry.network(TINY[request.param])
    if request.param == "loftr":
        network.coarse_matching.thr = 0.0
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.startswith("loftr_coarse") and name.endswith("norm2.weight"):
                tensor.mul_(4)  # cells differ more by what they have seen than by how bright they are
    return entry.runner(network, "cpu", None)


def image(seed: int, height: int = 192, width: int = 256) -> np.ndarray:
    """What all images show, with noise of its own."""
    scene, noise = (np.random.default_rng(each).random((256, 256), np.float32) for each in (0, seed))
    return (0.8 * scene + 0.2 * noise)[:height, :width]


def everywhere(one: np.ndarray) -> np.ndarray:
    return np.ones(one.shape, bool)


def test_what_is_not_valid_is_neither_matched_nor_seen(runner):
    fixed, moving = image(1), image(2)
    right = everywhere(moving)
    right[:, :50] = False
    described = runner.describe(fixed, everywhere(fixed))
    found = runner.match(described, runner.describe(moving, right))
    assert len(found) > 3 and found.moving_xy[:, 0].min() >= 50 + CELL_PX * (BORDER_CELLS - 1)
    other = np.where(right, moving, 1 - moving)
    again = runner.match(described, runner.describe(other, right))
    np.testing.assert_array_equal(found.moving_xy, again.moving_xy)


def test_where_nothing_is_to_be_seen_nothing_is_found(runner):
    described = runner.describe(image(1), everywhere(image(1)))
    tiny = image(2, 5, 7)
    for nothing in (runner.describe(image(2), ~everywhere(image(2))), runner.describe(tiny, everywhere(tiny))):
        assert len(runner.match(described, nothing)) == len(runner.match(nothing, described)) == 0


def test_any_two_sizes_are_taken_and_positions_stay_inside(runner):
    fixed, moving = image(1, 191, 177), image(2, 165, 230)
    found = runner.match(*(runner.describe(one, everywhere(one)) for one in (fixed, moving)))
    assert len(found) > 2 and ((found.certainty >= 0) & (found.certainty <= 1)).all()
    assert (found.fixed_xy >= 0).all() and (found.fixed_xy < (177, 191)).all()
    assert (found.moving_xy >= 0).all() and (found.moving_xy < (230, 165)).all()


def test_a_cell_is_valid_where_half_of_its_pixels_are_and_matches_away_from_any_border():
    valid = np.ones((60, 100), bool)
    valid[:, :20] = False
    seen = padded(np.ones((60, 100), np.float32), valid, 32, torch.device("cpu"))
    assert seen.image.shape == (1, 1, 64, 128) and seen.image.sum() == valid.sum()
    # Cells stand for 0, 8, 16, 24, ... px: around 16 lie 12 to 20, around 24 lie 20 to 28; beyond 100 nothing is.
    assert seen.cells.shape == (8, 16) and seen.cells[4].nonzero().flatten().tolist() == list(range(3, 13))
    kept = off_border(seen.cells)
    assert kept[4].nonzero().flatten().tolist() == list(range(5, 11))
    assert kept[:, 6].nonzero().flatten().tolist() == [2, 3, 4, 5]
    assert at_cells(kept, torch.tensor([[40.0, 32.0], [43.9, 30], [32, 32]])).tolist() == [True, True, False]


@pytest.fixture(scope="module")
def cells():
    """Features of 6 x 7 and 5 x 9 cells, and which of them are valid."""
    torch.manual_seed(1)
    first, second = torch.randn(8, 6, 7), torch.randn(8, 5, 9)
    return first, second, torch.rand(6, 7) > 0.2, torch.rand(5, 9) > 0.2


def probabilities(cells) -> tuple[torch.Tensor, torch.Tensor]:
    """Of first's cells to be second's, and of second's to be first's; invalid ones at similarity -1e9."""
    first, second, first_cells, second_cells = cells
    similarity = torch.einsum("cn,cm->nm", first.flatten(1), second.flatten(1)) / (8 * 0.1)
    similarity[~(first_cells.flatten()[:, None] & second_cells.flatten())] = -1e9
    return similarity.softmax(1), similarity.softmax(0)


def test_mutual_matches_are_those_of_the_definition(cells):
    there, back = probabilities(cells)
    product = there * back
    mutual = (product == product.max(1, keepdim=True).values) & (product == product.max(0).values) & (product > 0.05)
    rows, columns, sure = dual_softmax_matches(*cells, 0.1, 0.05)
    assert len(rows) > 5 and torch.stack([rows, columns]).T.tolist() == mutual.nonzero().tolist()
    torch.testing.assert_close(sure, product[mutual])


def test_matches_of_either_way_are_those_of_the_definition(cells):
    there, back = probabilities(cells)
    likely = ((there == there.max(1, keepdim=True).values) & (there > 0.3)) | (
        (back == back.max(0).values) & (back > 0.3)
    )
    rows, columns = either_way_matches(*cells, 0.1, 0.3)
    assert len(rows) > len(set(rows.tolist())) > 10, "one cell of first may be of several of second"
    assert torch.stack([rows, columns]).T.tolist() == likely.nonzero().tolist()


@pytest.mark.parametrize(("side", "stride", "before"), [(8, 8, 0), (10, 8, 1), (5, 4, 2), (3, 2, 1)])
def test_windows_are_those_that_unfold_gives(side, stride, before):
    features = torch.randn(3, 4 * stride, 6 * stride)
    every = F.unfold(features[None], side, stride=stride, padding=before)[0].unflatten(0, (3, -1)).permute(2, 1, 0)
    some = torch.tensor([0, 5, 13, 23])
    torch.testing.assert_close(windows_at(features, some, 6, side, stride, before), every[some], rtol=0, atol=0)
