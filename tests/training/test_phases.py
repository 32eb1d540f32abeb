"""Where the time of a step goes."""

import pytest
import torch

from xmatch.training.phases import PHASES, Phases


def test_shares_are_those_of_a_clock_and_start_anew_after_each_report():
    ticks = iter([0.0, 1.0, 3.0, 6.0, 10.0, 10.0, 12.0])
    phases = Phases(torch.device("cpu"), clock=lambda: next(ticks))
    phases.begin(reported=False)
    for phase in PHASES:
        phases.end(phase)
    assert list(phases.shares().values()) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    phases.begin(reported=False)
    phases.end("forward")
    assert phases.shares()["forward_share"] == 1.0
    assert sum(phases.shares().values()) == 0
