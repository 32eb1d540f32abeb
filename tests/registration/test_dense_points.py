"""A dense set of correspondences: a lattice through the map, where tie points hold it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from memory_source import MemorySource

from xmatch.coords import pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.errors import UsageError
from xmatch.geometry import DisplacementGrid, ThinPlateSpline, similarity
from xmatch.registration.dense_points import MOST, lattice_over, with_dense_points
from xmatch.registration.options import RegisterOptions
from xmatch.result import Registration, Verdict

FIXED_SIZE, MOVING_SIZE = (200, 160), (180, 170)
TURN = similarity(8.0, 1.05, (6.0, -9.0))
NODES = pixel_centres(*MOVING_SIZE, step=20).reshape(-1, 2)
BEND = ThinPlateSpline(NODES, TURN(NODES) + 5 * np.sin(NODES[:, ::-1] / 30))


def image(size, valid=None):
    return MemorySource(np.ones((size[1], size[0]), np.uint8), valid, path="made.tif")


def registration(transform, ties_at, wrong=None, certainty=0.8):
    """With tie points at positions (N, 2) of moving; those of the mask `wrong` lie 9 px off."""
    wrong = np.zeros(len(ties_at), bool) if wrong is None else wrong
    ties = Correspondences(transform(ties_at) + 9.0 * wrong[:, None], ties_at, np.full(len(ties_at), certainty))
    return Registration({}, {}, transform, ties, ~wrong, 9.0 * wrong, Verdict(True, 0.9, "fits"))


def dense(made, spacing=8.0, fixed=None, moving=None, **options):
    return with_dense_points(
        made, fixed or image(FIXED_SIZE), moving or image(MOVING_SIZE), RegisterOptions(**options), spacing
    ).correspondences


@pytest.mark.parametrize(
    "transform", [TURN, BEND, DisplacementGrid.sampled(BEND, *MOVING_SIZE, 5, BEND.supported)], ids=lambda t: t.kind
)
def test_a_regular_lattice_covers_the_overlap_and_lies_on_the_map(transform):
    found = dense(registration(transform, NODES))
    assert np.array_equal(found.fixed_xy % 8, np.full(found.fixed_xy.shape, 4.0))
    assert np.abs(transform(found.moving_xy) - found.fixed_xy).max() < 0.01
    back = transform.inverse(lattice_over(*FIXED_SIZE, 8.0))
    shared = ((back > 0) & (back < MOVING_SIZE)).all(axis=1)
    assert 0.9 * shared.sum() < len(found) <= shared.sum()
    assert found.certainty == pytest.approx(0.8)


@pytest.mark.parametrize("transform", [TURN, BEND], ids=lambda t: t.kind)
def test_where_no_tie_point_holds_the_map_there_is_no_point(transform):
    left = NODES[NODES[:, 0] < 90]
    found = dense(registration(transform, left))
    assert len(found) > 50 and 80 < found.moving_xy[:, 0].max() < 90 + 25


def test_a_spline_says_itself_where_it_is_continued():
    left = ThinPlateSpline(BEND.moving_xy[NODES[:, 0] < 90], BEND.fixed_xy[NODES[:, 0] < 90])
    assert dense(registration(left, NODES)).moving_xy[:, 0].max() < 90 + 25
    as_grid = DisplacementGrid.sampled(left, *MOVING_SIZE, 10, left.supported)
    assert dense(registration(as_grid, NODES)).moving_xy[:, 0].max() < 90 + 30


def test_what_tie_points_contradict_is_left_out_and_what_some_contradict_is_less_certain():
    found = dense(registration(TURN, NODES, wrong=(np.abs(NODES - 120.5) < 25).all(axis=1)))
    away = np.linalg.norm(found.moving_xy - 120.5, axis=1)
    assert 15 < away.min() < 50 and found.certainty[away < 45].max() < 0.75 and found.certainty[away > 80].min() > 0.79
    assert len(dense(registration(TURN, NODES, wrong=np.ones(len(NODES), bool)))) == 0


def test_tie_points_on_a_line_hold_nothing():
    line = np.column_stack([np.linspace(5, 150, 12)] * 2)
    assert len(dense(registration(TURN, line))) == 0


def test_holes_and_what_is_not_looked_at_are_left_out(tmp_path):
    hole = np.ones((FIXED_SIZE[1], FIXED_SIZE[0]), bool)
    hole[40:90, 60:120] = False
    found = dense(registration(TURN, NODES), spacing=4.0, fixed=image(FIXED_SIZE, hole), roi="0,0,150,160")
    column, row = found.fixed_xy.astype(int).T
    assert hole[row, column].all() and 140 < column.max() < 150
    area = {"type": "Polygon", "coordinates": [[[0, 0], [90, 0], [90, 170], [0, 170], [0, 0]]]}
    (tmp_path / "west.geojson").write_text(json.dumps(area))
    assert dense(registration(TURN, NODES), moving_mask=str(tmp_path / "west.geojson")).moving_xy[:, 0].max() < 91


def test_without_a_map_there_are_no_points():
    assert len(dense(replace(registration(TURN, NODES), transform=None))) == 0


@pytest.mark.parametrize("spacing", [0, -3, np.nan, np.inf, 0.01, 5000])
def test_a_spacing_that_makes_none_or_too_many_is_refused(spacing):
    with pytest.raises(UsageError, match="spacing"):
        lattice_over(*FIXED_SIZE, spacing)


def test_a_spacing_of_one_gives_the_centre_of_each_px_and_the_one_that_is_proposed_is_fine():
    assert np.array_equal(lattice_over(3, 2, 1.0), pixel_centres(3, 2).reshape(-1, 2))
    with pytest.raises(UsageError) as caught:
        lattice_over(4000, 3000, 1.0)
    assert len(lattice_over(4000, 3000, float(caught.value.hint.split()[1]))) <= MOST


def test_a_linear_map_is_as_certain_as_its_tie_points():
    assert dense(registration(TURN, NODES, certainty=0.4)).certainty == pytest.approx(0.4)
