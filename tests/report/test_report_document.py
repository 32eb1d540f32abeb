"""The JSON of a registration: its schema, its strictness, and a transform that can be replayed from it."""

import json
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from report_cases import HEIGHT, TURN, WIDTH, errors, registration, sources

from xmatch.geometry import DisplacementGrid, Linear, ThinPlateSpline, homography, transform_from_dict, translation
from xmatch.report import make_previews, registration_document, to_json
from xmatch.report.affine_part import affine_part

CONTROL = np.array([[0, 0], [80, 5], [3, 60], [75, 58], [40, 30]], dtype=float)
TRANSFORMS = {
    "translation": translation(3.5, -2.0),
    "similarity": TURN,
    "affine": Linear(np.array([[1.1, 0.2, 3], [-0.1, 0.9, 5], [0, 0, 1.0]]), "affine"),
    "homography": homography([[1.0, 0.1, 2], [0.0, 1.1, -3], [1e-3, 2e-4, 1.0]]),
    "tps": ThinPlateSpline(CONTROL, CONTROL[:, ::-1] + [[0, 0], [0, 0], [0, 0], [0, 0], [4.0, 2.0]]),
    "grid": DisplacementGrid.sampled(TURN, WIDTH, HEIGHT, 20.0),
}


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(resources.files("xmatch.report").joinpath("registration.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_every_kind_of_transform_is_replayed_from_the_json_alone(kind, validator):
    document = json.loads(to_json(registration_document(registration(TRANSFORMS[kind]), output="out.tif")))
    validator.validate(document)
    xy = np.array([[0.0, 0.0], [33.0, 21.0], [79.5, 59.5]])
    assert document["transform"]["kind"] == kind
    np.testing.assert_array_equal(transform_from_dict(document["transform"])(xy), TRANSFORMS[kind](xy))


def test_the_expected_error_of_each_cell_is_told_in_px_and_on_the_ground(validator):
    document = json.loads(to_json(registration_document(registration(error_map=errors()), output=None)))
    validator.validate(document)
    part = document["error_map"]
    assert part["ce90_px"][0] == [1, 2, 3, 4] and part["ce90_ground"][0] == [10, 20, 30, 40]
    assert part["ce90_px"][2][3] is None and part["ce90_ground"][2][3] is None
    assert part["extrapolated"][0] == [False, False, False, True]
    assert part["extrapolated_share"] == pytest.approx(2 / 11)
    assert registration_document(registration(), output=None)["error_map"] is None


def test_a_registration_without_transform_or_matches_is_a_valid_document(validator):
    document = registration_document(registration(None, accepted=False, count=0), output=None)
    validator.validate(document)
    assert document["ok"] is False
    assert (document["transform"], document["residuals"], document["output"]) == (None, None, None)
    assert document["correspondences"] == {"count": 0, "inliers": 0}


def test_previews_add_the_overlap(validator):
    fixed, moving = sources(translation(20.0, 0.0))
    made = registration(translation(20.0, 0.0))
    document = registration_document(made, output=None, previews=make_previews(fixed, moving, made))
    validator.validate(document)
    assert document["shown"]["overlap"] == pytest.approx(60 / 80)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("verdict"),
        lambda d: d["verdict"].update(probability=1.5),
        lambda d: d["transform"].update(pixel_origin="centre"),
        lambda d: d["transform"].update(matrix=None),
        lambda d: d["correspondences"].update(inliers=-1),
        lambda d: d.update(schema="xmatch.registration/2"),
    ],
)
def test_the_schema_refuses_a_spoilt_document(spoil, validator):
    document = registration_document(registration(), output=None)
    spoil(document)
    assert not validator.is_valid(document)


def test_no_number_that_json_lacks_gets_in():
    verdict = replace(
        registration().verdict, ce90_px=np.inf, evidence={"held_out_px": np.float32("nan"), "n": np.int64(7)}
    )
    made = registration(verdict=verdict, seconds={"total": float("nan")}, provenance={"deep": [{"x": (-np.inf, 1)}]})
    document = json.loads(to_json(registration_document(made, output=None)), parse_constant=pytest.fail)
    assert document["verdict"]["ce90_px"] is None
    assert document["verdict"]["evidence"] == {"held_out_px": None, "n": 7}
    assert document["seconds"] == {"total": None}
    assert document["provenance"] == {"deep": [{"x": [None, 1]}]}


def test_paths_dates_and_file_names_of_any_bytes_survive():
    name = b"caf\xe9 \xff.tif".decode("utf-8", "surrogateescape")
    made = registration(fixed={"path": name, "width": 8, "height": 8}, provenance={"day": date(2026, 11, 21)})
    text = to_json(registration_document(made, output=Path("out") / name))
    assert text.isascii()
    document = json.loads(text)
    assert document["fixed"]["path"] == name
    assert document["output"] == str(Path("out") / name)
    assert document["provenance"]["day"] == "2026-11-21"


def test_the_histogram_counts_every_inlier_once():
    made = registration()
    residuals = registration_document(made, output=None)["residuals"]
    assert sum(residuals["histogram"]["counts"]) == made.inliers.sum() == 45
    assert residuals["histogram"]["edges_px"][-1] == pytest.approx(residuals["max_px"])
    assert residuals["median_px"] < residuals["rms_px"] < residuals["p90_px"] < residuals["max_px"] < 5


def test_an_exact_fit_has_a_histogram_too():
    made = registration(residual_px=np.zeros(60))
    histogram = registration_document(made, output=None)["residuals"]["histogram"]
    assert histogram["edges_px"][0] == 0 and histogram["counts"][0] == 45


def test_a_map_is_taken_apart_into_what_it_was_made_of():
    angle, shear = np.radians(25.0), np.radians(7.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ [[1.3, 0.8 * np.tan(shear)], [0.0, 0.8]]
    made = Linear(np.vstack([np.column_stack([linear, (11.0, -4.0)]), (0, 0, 1)]), "affine")
    part = affine_part(made, 100, 50)
    assert part["rotation_deg"] == pytest.approx(25.0)
    assert part["scale_xy"] == pytest.approx((1.3, 0.8))
    assert part["shear_deg"] == pytest.approx(7.0)
    assert part["shift_px"] == pytest.approx((11.0, -4.0))
    assert part["centre_xy"] == pytest.approx(made(np.array([[50.0, 25.0]]))[0])
    assert not part["mirrored"]
    assert part["departure_px"] == pytest.approx(0.0, abs=1e-9)


def test_a_mirrored_map_says_so():
    part = affine_part(Linear(np.diag([2.0, -3.0, 1.0]), "affine"), 10, 10)
    assert part["mirrored"] and part["scale_xy"] == pytest.approx((2.0, 3.0))


def test_bending_is_measured_against_the_nearest_affine_map():
    def bent(xy):
        return xy + np.column_stack([6.0 * np.sin(np.pi * xy[:, 0] / 100), np.zeros(len(xy))])

    grid = DisplacementGrid.sampled(bent, 100, 100, 2.0)
    part = affine_part(grid, 100, 100)
    # A half sine less its mean (12/pi) leaves 6 * 2/pi at its ends.
    assert part["departure_px"] == pytest.approx(12 / np.pi, abs=0.6)
