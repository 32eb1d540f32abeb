"""Counting accepted registrations: a matcher that is right is believed, one that is wrong is not."""

from __future__ import annotations

import cv2
import numpy as np
from made_pairs import scene

from xmatch.adaptation.pairs import Pair
from xmatch.adaptation.verdicts import accepted
from xmatch.matchers.base import Matches, Proposal


class Says:
    """A matcher that always answers with one pose."""

    name = "says"
    wants_colour = False

    def __init__(self, dx: float) -> None:
        self.pose = np.array([[1.0, 0.0, dx], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

    def __call__(self, fixed, moving, within, *, seed=0, threads=1, earlier=None):
        return Matches((Proposal(self.pose, 1.0),))


def test_right_poses_are_accepted_wrong_ones_and_unreadable_files_are_not(tmp_path):
    image = cv2.resize(scene(3, side=96), (288, 288), interpolation=cv2.INTER_CUBIC)
    paths = tmp_path / "fixed.png", tmp_path / "moving.png"
    for path in paths:
        cv2.imwrite(str(path), image)
    pair, broken = Pair("p", "", *paths), Pair("q", "", paths[0], tmp_path / "none.png")
    done = []
    assert accepted(Says(0.0), [pair, broken], seed=0, threads=1, progress=done.append) == 1
    assert done == [0.5, 1.0]
    assert accepted(Says(90.0), [pair], seed=0, threads=1) == 0
