"""Nearest cells, their refinement, and cells that are each other's nearest."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from xmatch.pointwise import nearest as module
from xmatch.pointwise.nearest import centres, described, mutual_nearest, nearest


def directions(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(32, h, w) of length 1, each cell another."""
    return F.normalize(torch.randn((32, height, width), generator=torch.Generator().manual_seed(seed)), dim=0)


def everywhere(features: torch.Tensor) -> torch.Tensor:
    return torch.ones(features.shape[1:], dtype=torch.bool)


def bump(x: float, y: float, side: int = 15) -> torch.Tensor:
    """(2, side, side): the direction (1, 0) at (x, y), turning away with the distance from there."""
    rows, columns = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    angle = torch.hypot(columns - x, rows - y) / 5
    return torch.stack([angle.cos(), angle.sin()])


@pytest.mark.parametrize("refinement", ["nearest", "soft-argmax"])
def test_each_cell_finds_itself_elsewhere(refinement):
    features = directions(9, 12)
    moved = features.roll((2, 3), (1, 2))
    cells = torch.tensor([40, 0, 51])
    found = nearest(described(features, centres(cells, 12)), moved, everywhere(moved), refinement)
    expected = (centres(cells, 12) - 0.5 + torch.tensor([3.0, 2.0])) % torch.tensor([12.0, 9.0]) + 0.5
    assert (found.xy - expected).abs().max() < (1e-6 if refinement == "nearest" else 0.3)
    torch.testing.assert_close(found.similarity, torch.ones(3))


@pytest.mark.parametrize(("x", "y"), [(7.5, 7.5), (7.8, 7.4), (6.9, 8.2), (0.5, 0.5)])
def test_the_soft_argmax_finds_places_between_cells_better_than_the_nearest_cell(x, y):
    """At cell centres it stays; else it goes most of the way. At the border it can only look inwards."""
    query = torch.tensor([[1.0, 0.0]])
    features = bump(x, y)
    soft, hard = (nearest(query, features, everywhere(features), how).xy[0] for how in ("soft-argmax", "nearest"))
    error = (soft - torch.tensor([x, y])).norm()
    if (x, y) == (7.5, 7.5):
        assert error < 1e-5
    elif (x, y) == (0.5, 0.5):
        assert hard.tolist() == [0.5, 0.5] and 0 < error < 2
    else:
        assert error < (hard - torch.tensor([x, y])).norm()


def test_cells_that_are_barred_are_not_found():
    features = directions(6, 6)
    cells = everywhere(features)
    cells[2, 3] = False
    found = nearest(described(features, torch.tensor([[3.5, 2.5]])), features, cells, "nearest")
    assert found.xy.tolist() != [[3.5, 2.5]] and found.similarity[0] < 0.99


def test_parts_of_any_size_give_the_same(monkeypatch):
    first, second = directions(7, 9), directions(8, 6, seed=1)
    queries = first.flatten(1).T
    whole = (
        nearest(queries, second, everywhere(second)),
        mutual_nearest(first, second, *map(everywhere, (first, second))),
    )
    monkeypatch.setattr(module, "_MOST", 100)
    parts = (
        nearest(queries, second, everywhere(second)),
        mutual_nearest(first, second, *map(everywhere, (first, second))),
    )
    torch.testing.assert_close(parts[0].xy, whole[0].xy)
    assert all(torch.equal(*both) for both in zip(parts[1], whole[1], strict=True)) and 0 < len(whole[1][0]) < 48


def test_mutual_cells_are_those_that_both_images_choose():
    first, second = directions(5, 5), directions(5, 5, seed=1)
    rows, columns = mutual_nearest(first, second, everywhere(first), everywhere(second))
    similarity = first.flatten(1).T @ second.flatten(1)
    by_hand = [
        (i, int(similarity[i].argmax())) for i in range(25) if int(similarity[:, similarity[i].argmax()].argmax()) == i
    ]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == by_hand


def test_no_points_and_no_cells_are_no_fault():
    features = directions(4, 4)
    none = nearest(features.new_zeros((0, 32)), features, everywhere(features))
    assert none.xy.shape == (0, 2) and none.similarity.shape == (0,)
    rows, columns = mutual_nearest(features, features, everywhere(features), ~everywhere(features))
    assert len(rows) == len(columns) == 0
