"""The judge's measures are high where the images lie right, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xmatch.geometry import similarity
from xmatch.raster import View
from xmatch.verification.judge import ProposalJudge
from xmatch.verification.judge_settings import NAMES

SIDE = 200
POSE = similarity(15, 1.1, (20, -30))
FITTING = ("structure", "structure_fine", "structure_z", "structure_gain", "information_gain", "information_z")


def land() -> np.ndarray:
    noise = np.random.default_rng(4).uniform(0, 1, (40, 40)).astype(np.float32)
    return np.clip(cv2.resize(noise, (400, 400), interpolation=cv2.INTER_CUBIC), 0, 1)


def seen(matrix: np.ndarray) -> np.ndarray:
    """Moving, such that `matrix` lays it onto the window of the land that fixed shows."""
    onto_land = np.array([[1.0, 0, 100], [0, 1, 100], [0, 0, 1]]) @ matrix
    return cv2.warpAffine(land(), onto_land[:2], (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def view(image: np.ndarray, valid: np.ndarray | None = None) -> View:
    valid = np.ones(image.shape, bool) if valid is None else valid
    return View(np.where(valid, image, 0).astype(np.float32), valid, np.eye(3))


FIXED = view(land()[100:300, 100:300])
MOVING = view(seen(POSE.matrix))


@pytest.fixture(scope="module")
def right() -> dict[str, float]:
    return ProposalJudge(FIXED, MOVING)(POSE.matrix)


@pytest.mark.parametrize(
    "away",
    [similarity(0, 1, (9, 0)), similarity(12), similarity(0, 1.25), similarity(180, 1, (SIDE, SIDE))],
    ids=["shifted", "turned", "scaled", "half-turned"],
)
def test_every_measure_of_fit_and_the_standing_are_higher_at_the_right_place(right, away):
    judge = ProposalJudge(FIXED, MOVING)
    wrong = judge(away.matrix @ POSE.matrix)
    for name in FITTING:
        assert right[name] > wrong[name] + 0.05, name
    assert judge.log_odds(right) > judge.log_odds(wrong) + 2


def test_all_measures_are_there_and_finite(right):
    assert set(right) == set(NAMES)
    assert np.isfinite(list(right.values())).all()


def test_turning_contrast_over_changes_little(right):
    negative = ProposalJudge(FIXED, view(1 - MOVING.image))(POSE.matrix)
    # Descriptors is taken of the square root, which is not the same of a negative.
    assert negative["structure"] == pytest.approx(right["structure"], rel=0.15)
    assert negative["information"] == pytest.approx(right["information"], rel=0.05)


def test_overlap_is_the_share_of_the_smaller_image_that_lies_on_the_other():
    small = view(land()[150:200, 120:220])
    assert ProposalJudge(FIXED, small)(similarity(0, 1, (20, 50)).matrix)["overlap"] == pytest.approx(1, abs=0.06)
    assert ProposalJudge(FIXED, FIXED)(similarity(0, 1, (SIDE / 4, 0)).matrix)["overlap"] == pytest.approx(
        0.75, abs=0.02
    )


def test_values_that_are_not_valid_have_no_influence():
    valid = np.ones((SIDE, SIDE), bool)
    valid[:, 120:] = False
    one = view(MOVING.image, valid)
    noise = np.random.default_rng(0).uniform(0, 1, (SIDE, SIDE)).astype(np.float32)
    other = View(np.where(valid, MOVING.image, noise), valid, np.eye(3))
    measured = [ProposalJudge(FIXED, moving)(POSE.matrix) for moving in (one, other)]
    assert measured[0]["overlap"] == measured[1]["overlap"]
    for name in NAMES:
        assert measured[0][name] == pytest.approx(measured[1][name], rel=1e-3, abs=1e-3), name


def test_without_overlap_every_measure_is_zero():
    away = similarity(0, 1, (5 * SIDE, 0)).matrix
    assert ProposalJudge(FIXED, MOVING)(away) == dict.fromkeys(NAMES, 0.0)
