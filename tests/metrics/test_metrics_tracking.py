"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math

import numpy as np
import pytest

from xmatch import metrics


def test_positions_are_resized_to_256_px():
    assert metrics.to_tap_vid_xy([[854.0, 480.0], [427, 120]], 854, 480) == pytest.approx(
        np.array([[256, 256], [128, 64]])
    )


def test_one_point_in_four_frames():
    """Query in frame 0. Frame 1: 3 px off, seen and called seen. Frame 2: occluded, called seen. Frame 3: exact, seen,
    called occluded."""
    true = np.zeros((1, 4, 2))
    predicted = np.array([[[99.0, 99], [3, 0], [50, 50], [0, 0]]])
    found = metrics.tap_vid(predicted, [[True, True, True, False]], true, [[True, True, False, True]])
    assert found.position_accuracy == pytest.approx([50, 50, 100, 100, 100])
    assert found.average_position_accuracy == pytest.approx(80)
    assert found.occlusion_accuracy == pytest.approx(100 / 3)
    # Two are truly visible; called visible and wrong: frames 1 and 2 below 4 px, frame 2 alone from there on.
    assert found.jaccard == pytest.approx([0, 0, 100 / 3, 100 / 3, 100 / 3])
    assert found.average_jaccard == pytest.approx(20)


def test_an_error_that_equals_the_threshold_is_too_large():
    found = metrics.tap_vid([[[0, 0], [4.0, 0]]], [[True, True]], np.zeros((1, 2, 2)), [[True, True]])
    assert found.position_accuracy.tolist() == [0, 0, 0, 100, 100]


def test_frames_up_to_the_query_do_not_count():
    predicted, true = np.full((2, 3, 2), 99.0), np.zeros((2, 3, 2))
    predicted[0, 2], predicted[1, 1:] = 0, 0
    seen = np.ones((2, 3), bool)
    assert metrics.tap_vid(predicted, seen, true, seen, query_frame=np.array([1, 0])).average_jaccard == 100
    assert metrics.tap_vid(predicted, seen, true, seen).average_jaccard < 100


def test_a_position_that_is_not_finite_is_wrong_and_nothing_judged_is_unknown():
    lost = metrics.tap_vid(np.full((1, 2, 2), np.nan), [[True, True]], np.zeros((1, 2, 2)), [[True, True]])
    assert lost.average_position_accuracy == 0 and lost.average_jaccard == 0
    still = metrics.tap_vid(np.zeros((1, 1, 2)), [[True]], np.zeros((1, 1, 2)), [[True]])
    assert math.isnan(still.average_jaccard) and math.isnan(still.occlusion_accuracy)


def test_tap_vid_agrees_with_counting_point_by_point():
    """The definitions of the paper, one point of one frame after the other."""
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 256, (6, 9, 2))
    predicted = true + rng.normal(0, 4, true.shape)
    seen, called = rng.uniform(size=(2, 6, 9)) < 0.7
    query = rng.integers(0, 5, 6)
    found = metrics.tap_vid(predicted, called, true, seen, query)
    frames = [(n, t) for n in range(6) for t in range(query[n] + 1, 9)]
    assert found.occlusion_accuracy == pytest.approx(100 * np.mean([seen[f] == called[f] for f in frames]), abs=1e-6)
    for i, threshold in enumerate((1, 2, 4, 8, 16)):
        near = {f: math.dist(predicted[f], true[f]) < threshold for f in frames}
        within = [near[f] for f in frames if seen[f]]
        hits = sum(seen[f] and called[f] and near[f] for f in frames)
        false = sum(called[f] and not (seen[f] and near[f]) for f in frames)
        missed = sum(seen[f] and not (called[f] and near[f]) for f in frames)
        assert found.position_accuracy[i] == pytest.approx(100 * np.mean(within), abs=1e-6)
        assert found.jaccard[i] == pytest.approx(100 * hits / (hits + false + missed), abs=1e-6)
    assert found.average_jaccard == pytest.approx(sum(found.jaccard) / 5, abs=1e-6)
