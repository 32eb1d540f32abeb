"""Dense matchers, judged by every cell: end-point error, and whether certainty is the chance to be right."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest

from xmatch.coords import pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.evaluation import EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.dense import dense_numbers, dense_summary, is_lattice
from xmatch.evaluation.predict import recipe_digest
from xmatch.evaluation.recipe import JUDGEMENT
from xmatch.evaluation.tables import csv_text, tables
from xmatch.matchers.base import Matches
from xmatch.matchers.registry import MATCHERS

SIZE = (64, 48)
CELLS = pixel_centres(16, 12).reshape(-1, 2) * 4


def cells(off_px=0.0, certainty=1.0):
    """Of a pair whose truth is the identity, each so many px off to the right."""
    return Correspondences(CELLS, CELLS + (off_px, 0), np.full(len(CELLS), certainty))


def row(truth=np.eye(3)):
    return {"truth": truth.tolist(), "related": True, "moving_size": SIZE}


def test_cells_that_are_two_px_off_have_that_error_and_no_more():
    found = dense_numbers(row(), cells(2.0, 0.75))
    assert found["end_point_error_px"] == pytest.approx(2) and found["covisible_cells"] == len(CELLS)
    assert found["cells_below_percent"] == {"1": 0, "3": 100, "5": 100}
    assert found["certainty_calibration_error"] == pytest.approx(0.25)


def test_cells_whose_true_place_is_outside_have_no_error_but_are_never_right():
    """Moving lies half its width to the left: the left half of fixed is all that shows there."""
    truth = np.array([[1.0, 0, -32], [0, 1, 0], [0, 0, 1]])
    found = dense_numbers(row(truth), Correspondences(CELLS, CELLS + (32, 0), np.ones(len(CELLS))))
    assert found["covisible_cells"] == len(CELLS) // 2 and found["end_point_error_px"] == pytest.approx(0)
    assert found["certainty_calibration_error"] == pytest.approx(0.5)


def test_calibration_pools_cells_and_errors_weigh_pairs_and_sets_alike():
    right, wrong = dense_numbers(row(), cells(0.0, 0.9)), dense_numbers(row(), cells(8.0, 0.1))
    found = dense_summary([[right, wrong], [right], [{"failure": "internal"}]])
    assert found["end_point_error_px"] == pytest.approx((4 + 0) / 2)
    assert found["certainty_calibration_error"] == pytest.approx(0.1)
    assert found["certainty_right"] == {"0.100": 0, "0.900": 1}
    assert dense_summary([[{"failure": None}]]) == {}


def test_scattered_points_are_no_lattice_and_one_with_holes_is():
    rng = np.random.default_rng(0)
    assert is_lattice(CELLS) and is_lattice(CELLS[rng.random(len(CELLS)) < 0.5])
    assert not is_lattice(rng.uniform(0, 60, (200, 2))) and not is_lattice(np.zeros((0, 2)))


class Gridded:
    name = "gridded"
    wants_colour = False

    def __call__(self, fixed, moving, within, *, seed=0, threads=1, earlier=None):
        """Every cell of the view lies 1 px of the file to the right of its true place."""
        xy = pixel_centres(fixed.width // 4, fixed.height // 4).reshape(-1, 2) * 4
        return Matches((), Correspondences(xy, xy + (1 / fixed.to_pixel[0, 0], 0), np.full(len(xy), 0.5)))


def test_eval_asks_dense_matchers_for_their_cells_and_tables_show_them(tmp_path, monkeypatch):
    monkeypatch.setitem(MATCHERS, "gridded", lambda *built_from: Gridded())
    image = cv2.resize(np.random.default_rng(0).integers(30, 255, (9, 12), dtype=np.uint8), SIZE)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    pair = {"fixed": "a.png", "moving": "a.png", "moving_to_fixed": np.eye(3).tolist(), "pixel_origin": "corner"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    recipe = EvalRecipe(("pairs.jsonl",), matchers=("identity", "gridded"), controls=False, dense=True)
    found = {}
    for method in methods(recipe):
        found[method] = tmp_path / f"{method.name}.jsonl"
        predict(plan(recipe, tmp_path), recipe, found[method], certificate={}, data_sha256="d", method=method)
    document = results_document(found, recipe)
    (part,) = document["matchers"]["gridded"]["sets"].values()
    assert document["failures"] == []
    assert part["end_point_error_px"] == pytest.approx(1, abs=1e-4)
    assert part["cells_below_percent"]["3"] == 100 and part["certainty_calibration_error"] == pytest.approx(0.5)
    assert "cell_right" not in document["matchers"]["gridded"]["pairs"][0]
    json.dumps(document, allow_nan=False)
    (table,) = tables(document)
    place = table.heads.index("cells <3 px %")
    assert [line[place] for line in table.rows] == ["-", "100"]
    assert ",gridded,cells_below_percent,3,100" in csv_text(document)


def test_asking_for_cells_is_another_recipe_and_not_asking_is_that_of_before():
    plain, dense = EvalRecipe(("x",)), EvalRecipe(("x",), dense=True)
    (method, *_) = methods(plain)
    values = method.shapes(plain)
    for name in (*JUDGEMENT, "dense"):
        del values[name]
    for name in ("threads", "device"):
        del values["register"][name]
    before = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    assert recipe_digest(plain, method) == before != recipe_digest(dense, method)
