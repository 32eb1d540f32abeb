"""The expected error of a map as a whole, and when it is too much to call anything registered."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.registration.expected_error import with_global_error
from xmatch.result import ErrorMap, Verdict


def error_map(ce90_px: float) -> ErrorMap:
    """Of an overlap of 400 x 200 px."""
    cells = np.full((4, 8), ce90_px)
    return ErrorMap((0.0, 0.0), (50.0, 50.0), cells, np.zeros((4, 8), bool), np.full((4, 8), 1 / 32))


@pytest.mark.parametrize(("ce90_px", "accepted"), [(8.0, True), (60.0, True), (90.0, False)])
def test_a_map_that_may_be_off_by_more_than_a_fifth_of_the_overlap_is_refused(ce90_px, accepted):
    verdict = with_global_error(Verdict(True, 0.97, "Structure agrees."), error_map(ce90_px))
    assert verdict.accepted is accepted
    assert (verdict.ce90_px is not None) is accepted
    assert (verdict.probability > 0.5) is accepted
    assert ("400" in verdict.reason) is not accepted
