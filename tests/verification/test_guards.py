"""What stands in the way of an alignment that would otherwise be accepted."""

from __future__ import annotations

import pytest

from xmatch.verification.evidence import MOST_OFF, MOST_OFF_FOR_ON, Following

FOLLOWED = {"count": 100, "agreeing": 90, "coherent": 90, "bend_px": 0.5}


@pytest.mark.parametrize(
    ("off", "on", "is_bent"),
    [
        (0.0, 0.9, False),
        (MOST_OFF - 0.01, 0.0, False),  # so few that chance may have put them there
        (MOST_OFF, 0.0, True),
        (MOST_OFF_FOR_ON * 0.6 - 0.01, 0.6, False),  # but more lie on the map
        (MOST_OFF_FOR_ON * 0.6, 0.6, True),
    ],
)
def test_regions_that_lie_elsewhere_together_speak_of_a_bend(off, on, is_bent):
    assert Following(**FOLLOWED, regions_share=on, regions_off=off).is_bent == is_bent


def test_tie_points_that_bend_together_are_told_though_regions_say_nothing():
    followed = FOLLOWED | {"agreeing": 20, "coherent": 60}
    assert Following(**followed).is_bent and not Following(**followed | {"agreeing": 40}).is_bent
