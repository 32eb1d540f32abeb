"""One map an image from maps between pairs: exact, blind to a wrong pair, and honest where loops cannot tell."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from xmatch.estimate.adjustment import Tie
from xmatch.estimate.graph import best_ways, solve
from xmatch.geometry import DisplacementGrid, Linear, compose, homography, similarity, translation
from xmatch.geometry.outlines import nodes_over

SIZE = (200, 160)
PLACES = nodes_over(*SIZE, 6)
NOISE_PX = 0.2
POSES = [
    similarity(),
    similarity(4, 1.05, (7, -3)),
    similarity(-8, 0.95, (-12, 9)),
    similarity(15, 1.1, (3, 14)),
    similarity(2, 1.0, (-5, -6)),
]
"""Each image's px -> px of the first."""


def tie(fixed: int, moving: int, poses=POSES, by=(0.0, 0.0), ce90_px=1.0) -> Tie:
    """The true map of a pair, shifted by some fixed px."""
    return Tie(fixed, moving, compose(poses[moving], poses[fixed].inverse, translation(*by)), PLACES, ce90_px)


def ties_of(pairs, seed=0, poses=POSES) -> list[Tie]:
    rng = np.random.default_rng(seed)
    return [tie(fixed, moving, poses, rng.normal(0, NOISE_PX, 2)) for fixed, moving in pairs]


def worst_px(network, poses=POSES) -> float:
    return max(
        np.linalg.norm(found(PLACES) - true(PLACES), axis=1).max()
        for found, true in zip(network.maps, poses, strict=True)
    )


def test_exact_pairs_give_the_poses_themselves():
    network = solve(5, 0, [tie(*pair) for pair in combinations(range(5), 2)], SIZE)
    assert worst_px(network) < 1e-6
    assert set(network.states) == {"used"} and all(network.in_loop)


def test_loops_average_what_single_pairs_say():
    single, many = [], []
    for seed in range(8):
        ties = ties_of(combinations(range(5), 2), seed)
        many.append(worst_px(solve(5, 0, ties, SIZE)))
        single.append(worst_px(solve(5, 0, [t for t in ties if t.fixed == 0], SIZE)))
    assert np.mean(many) < 0.8 * np.mean(single)


@pytest.mark.parametrize("wrong", list(combinations(range(5), 2)))
def test_a_wrong_pair_is_left_out_and_named(wrong):
    ties = ties_of(combinations(range(5), 2))
    bad = next(k for k, one in enumerate(ties) if (one.fixed, one.moving) == wrong)
    ties[bad] = tie(*wrong, by=(9, -7))
    network = solve(5, 0, ties, SIZE)
    assert [k for k, state in enumerate(network.states) if state != "used"] == [bad]
    assert network.states[bad] == "disagrees" and 9 < network.off_px[bad] < 14
    assert worst_px(network) < 0.5


def test_a_wrong_pair_that_is_surest_is_left_out_all_the_same():
    """It then lies on the chains that all starts from."""
    ties = [tie(*pair) for pair in combinations(range(5), 2)]
    ties[0] = tie(0, 1, by=(30, 10), ce90_px=0.1)
    network = solve(5, 0, ties, SIZE)
    assert network.states[0] == "disagrees" and worst_px(network) < 1e-3


def test_a_loop_of_three_that_does_not_close_says_not_which_pair_is_wrong():
    ties = [tie(0, 1), tie(1, 2, by=(20, 0)), tie(0, 2)]
    network = solve(3, 0, ties, SIZE)
    assert set(network.states) <= {"disputed", "apart"}
    assert network.maps[1] is None and network.maps[2] is None


def test_what_lies_on_the_near_side_of_a_dispute_keeps_its_map():
    pairs = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)]
    ties = [*map(lambda pair: tie(*pair), pairs), tie(2, 4, by=(25, 5))]
    network = solve(5, 0, ties, SIZE)
    assert [image for image, found in enumerate(network.maps) if found is None] == [3, 4]
    assert network.states[:3] == ("used",) * 3


def test_a_chain_without_loops_is_used_and_says_so():
    network = solve(4, 1, [tie(0, 1), tie(1, 2), tie(2, 3)], SIZE)
    assert set(network.states) == {"used"} and not any(network.in_loop)
    assert network.ce90_px[1] == 0 < network.ce90_px[2] < network.ce90_px[3]
    truth = compose(POSES[3], POSES[1].inverse)
    assert np.allclose(network.maps[3](PLACES), truth(PLACES))


def test_images_without_a_way_to_the_reference_have_no_map():
    network = solve(5, 0, [tie(0, 1), tie(2, 3)], SIZE)
    assert [found is None for found in network.maps] == [False, False, True, True, True]
    assert network.states == ("used", "apart") and np.isnan(network.off_px[1]) and np.isnan(network.ce90_px[2])


def test_homographies_are_made_consistent_as_homographies():
    poses = [
        similarity(),
        *(
            compose(pose, homography([[1, 0, 0], [0, 1, 0], [s, -s / 2, 1]]))
            for pose, s in zip(POSES[1:4], (2e-4, -3e-4, 1e-4), strict=True)
        ),
    ]
    network = solve(4, 0, ties_of(combinations(range(4), 2), poses=poses), SIZE)
    assert worst_px(network, poses) < 1.0
    assert {found.kind for found in network.maps[1:]} == {"homography"}


def test_bends_of_the_pairs_stay_in_the_maps():
    """Each image is bent in its own way against the ground; corrections alone could not follow that."""

    def bend(k):
        return DisplacementGrid.sampled(lambda xy: xy + 4 * np.sin(xy[:, ::-1] / 30 + k), *SIZE, 8.0)

    poses = [similarity(), bend(1), bend(2)]
    ties = [Tie(0, 1, poses[1], PLACES, 1.0), Tie(0, 2, poses[2], PLACES, 1.0)]
    ties.append(Tie(1, 2, compose(poses[2], poses[1].inverse), PLACES, 1.0))
    network = solve(3, 0, ties, SIZE)
    inside = (PLACES[:, 0] > 15) & (PLACES[:, 0] < 185) & (PLACES[:, 1] > 15) & (PLACES[:, 1] < 145)
    for found, true in zip(network.maps, poses, strict=True):
        assert np.linalg.norm((found(PLACES) - true(PLACES))[inside], axis=1).max() < 0.3


def test_a_coarse_image_may_be_off_by_a_px_of_its_own():
    """Expected errors count in px of each pair's fixed image, the network in those of the reference."""
    poses = [similarity(), similarity(scale=8.0), similarity(scale=8.0, shift_px=(16, 8))]
    ties = [tie(0, 1, poses, ce90_px=8.0), tie(0, 2, poses, ce90_px=8.0), tie(1, 2, poses, by=(1.5, 0), ce90_px=1.0)]
    assert set(solve(3, 0, ties, (1600, 1280)).states) == {"used"}


def test_ways_are_the_cheapest():
    edges = [(0, 1, 5.0), (0, 2, 1.0), (2, 1, 1.0), (3, 4, 1.0)]
    assert best_ways(5, 0, edges) == [(0.0, ()), (2.0, (1, 2)), (1.0, (1,)), (np.inf, ()), (np.inf, ())]


def test_a_map_of_a_long_chain_stays_a_matrix():
    poses = [similarity(k, 1.0, (3 * k, -k)) for k in range(12)]
    network = solve(12, 0, ties_of([(k, k + d) for d in (1, 2, 4) for k in range(12 - d)], poses=poses), SIZE)
    assert all(isinstance(found, Linear) and found.kind == "similarity" for found in network.maps[1:])
    assert worst_px(network, poses) < 2.0
