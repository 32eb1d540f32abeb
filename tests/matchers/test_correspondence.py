"""Networks that find correspondences look at moving as it is, and under poses that structure proposes."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import corner_error_px, pose, scene, seen_from, view

from xmatch.correspondences import Correspondences
from xmatch.matchers.base import SearchRange
from xmatch.matchers.correspondence import CorrespondenceMatcher
from xmatch.networks.keypoints import MutualNearest
from xmatch.networks.sift.detector import SiftDetector

SIDE = 160
IMAGE = scene(SIDE, SIDE)


class Upright:
    """Matches places that look alike where they are, as networks do that were never shown a turn: both images are cut
    into squares, and a square of one is the same square of the other if they agree."""

    def describe(self, image, valid):
        return image, valid

    def match(self, fixed, moving):
        if fixed[0].shape != moving[0].shape:
            return Correspondences.empty()
        rows = []
        for y in range(0, fixed[0].shape[0] - 16, 8):
            for x in range(0, fixed[0].shape[1] - 16, 8):
                here, there = (each[0][y : y + 16, x : x + 16] for each in (fixed, moving))
                seen = all(each[1][y : y + 16, x : x + 16].all() for each in (fixed, moving))
                if seen and here.std() > 0.02 and np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.8:
                    rows.append((x + 8.0, y + 8.0))
        xy = np.array(rows).reshape(-1, 2)
        return Correspondences(xy, xy, np.ones(len(xy)))


def best(found):
    every = [(p.score, p.matrix) for p in found.proposals] + [(m.score, m.to_fixed.matrix) for m in found.maps]
    return max(every, key=lambda one: one[0])[1]


@pytest.mark.parametrize("mirror", [False, True])
def test_what_is_turned_or_turned_over_is_seen_under_a_pose_that_structure_proposes(mirror):
    over = np.array([[-1.0, 0.0, SIDE], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) if mirror else np.eye(3)
    truth = pose(SIDE, SIDE, turn_deg=40, shift=(3, -4)) @ over
    moving = seen_from(IMAGE, truth)
    found = CorrespondenceMatcher("upright", Upright())(view(IMAGE), moving, SearchRange(mirror=mirror))
    assert len(found.correspondences) > 20 and found.edge_proposals
    assert corner_error_px(best(found), truth, moving) < 3
    assert all(np.sign(np.linalg.det(p.matrix[:2, :2])) == (-1 if mirror else 1) for p in found.proposals)


def test_where_the_first_look_settles_it_structure_is_not_asked(monkeypatch):
    monkeypatch.setattr("xmatch.matchers.correspondence.propose", None)
    matcher = CorrespondenceMatcher("sift", MutualNearest(SiftDetector("cpu"), least_similarity=0.85))
    found = matcher(view(IMAGE), view(IMAGE), SearchRange())
    assert found.edge_proposals is None and corner_error_px(best(found), np.eye(3), view(IMAGE)) < 0.1


def test_what_an_earlier_stage_proposed_is_not_searched_for_again(monkeypatch):
    truth = pose(SIDE, SIDE, turn_deg=40, shift=(3, -4))
    moving, matcher = seen_from(IMAGE, truth), CorrespondenceMatcher("upright", Upright())
    first = matcher(view(IMAGE), moving, SearchRange())
    monkeypatch.setattr("xmatch.matchers.correspondence.propose", None)
    again = matcher(view(IMAGE), moving, SearchRange(), earlier=first)
    np.testing.assert_array_equal(best(again), best(first))
