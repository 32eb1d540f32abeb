"""What the user is told of an item that has no answer."""

import pytest

from xmatch.workers.lost import Lost


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (Lost.DIED, "the process that made pairs died (killed for its memory? fewer --jobs)"),
        (Lost.OVERDUE, "it was not done after 1.5 s (is a file slow to come? or give it a longer --time-limit)"),
    ],
)
def test_a_lost_item_says_why_and_what_to_do(why, told):
    assert str(why.as_error("made pairs", "fewer --jobs", 1.5)) == told
