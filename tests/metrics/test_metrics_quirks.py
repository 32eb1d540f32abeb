"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import numpy as np
import pytest

from xmatch import metrics
from xmatch.coords import from_centre_matrix
from xmatch.errors import UsageError
from xmatch.geometry import affine, homography, similarity, translation

IDENTITY = translation(0, 0)
MINIMA = ("minima-corner-order", "minima-inner-corners")
TILTED = np.array([[1.05, 0.1, 3.0], [-0.08, 0.95, -2.0], [1e-4, -2e-4, 1.0]])
HALF_TURN = homography(np.array([[-1.0, 0, 60], [0, -1, 40], [0, 0, 1]]))
MIRROR = affine(np.array([[-1.0, 0, 60], [0, 1, 0]]))
QUARTER_TURN = affine(np.array([[0.0, -1, 60], [1, 0, 0]]))


def test_without_quirks_the_number_is_the_plain_one():
    plain = metrics.corner_error_px(homography(TILTED), IDENTITY, 60, 40)
    assert metrics.quirky_corner_error_px(homography(TILTED), IDENTITY, 60, 40, ()) == plain


@pytest.mark.parametrize(
    ("wrong", "height"),
    [(HALF_TURN, 40), (MIRROR, 40), (QUARTER_TURN, 60)],
    ids=["half turn", "mirror", "quarter turn of a square"],
)
def test_sorted_corners_forgive_turns_and_mirrors(wrong, height):
    assert metrics.corner_error_px(wrong, IDENTITY, 60, height) > 50
    assert metrics.quirky_corner_error_px(wrong, IDENTITY, 60, height, ["minima-corner-order"]) == pytest.approx(0)


def test_inner_corners_lie_half_a_pixel_inside():
    """Doubling about the outer corner moves the centres of the corner pixels of a 31 x 41 image by these lengths."""
    moved = [np.hypot(x, y) for x in (0.5, 30.5) for y in (0.5, 40.5)]
    error = metrics.quirky_corner_error_px(similarity(scale=2), IDENTITY, 31, 41, ["minima-inner-corners"])
    assert error == pytest.approx(np.mean(moved), abs=1e-6)


def test_both_quirks_give_minimas_own_number():
    """Its tests map corners 0..W-1 by centre-counted matrices, sort both lists and take the mean distance."""
    grid = np.array([[0, 0, 1], [59, 0, 1], [0, 39, 1], [59, 39, 1.0]])
    turn = np.array([[0.1, -1.0, 50], [0.9, 0.05, -4], [0, 0, 1]])
    lists = []
    for matrix in (TILTED, turn):
        image = grid @ matrix.T
        xy = [tuple(row[:2] / row[2]) for row in image]
        lists.append([min(xy, key=sum), min(xy, key=lambda p: p[1] - p[0]), max(xy, key=sum)])
        lists[-1].append(max(xy, key=lambda p: p[1] - p[0]))
    expected = np.mean(np.linalg.norm(np.subtract(*lists), axis=1))
    estimate, truth = (homography(from_centre_matrix(m)) for m in (TILTED, turn))
    assert metrics.quirky_corner_error_px(estimate, truth, 60, 40, MINIMA) == pytest.approx(expected, abs=1e-6)
    assert metrics.corner_error_px(estimate, truth, 60, 40) > 1.5 * expected


def test_a_failure_stays_a_failure():
    beyond = homography(np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]]))
    assert metrics.quirky_corner_error_px(None, IDENTITY, 60, 40, MINIMA) == np.inf
    assert metrics.quirky_corner_error_px(beyond, IDENTITY, 60, 40, MINIMA) == np.inf


def test_a_quirk_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="no quirk is called corner-order") as error:
        metrics.quirky_corner_error_px(IDENTITY, IDENTITY, 60, 40, ["corner-order"])
    assert "minima-corner-order" in error.value.hint


def test_the_seed_of_a_path_is_the_end_of_its_sha_256():
    """The digest of "abc" is published in FIPS 180-2: ... b410ff61 f20015ad."""
    assert metrics.minima_path_seed("abc") == 0xF20015AD
    assert metrics.minima_path_seed("data/a.png") != metrics.minima_path_seed("./data/a.png")


def test_superglue_counts_two_of_the_four_focal_lengths():
    first, second = np.diag([80.0, 90, 1]), np.diag([70.0, 75, 1])
    assert metrics.superglue_mean_focal_px(first, second) == np.mean([80, 75, 80, 75])
    assert metrics.mean_focal_px(first, second) == np.mean([80, 90, 70, 75])
