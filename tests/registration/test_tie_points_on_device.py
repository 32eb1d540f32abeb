"""Windows on a device find themselves where OpenCV finds them, around a pose and through a map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import pose, scene, seen_from, view
from two_sensors import two_sensor_pairs

from xmatch.geometry import Linear
from xmatch.registration.tie_points import OpenCVLooks, TiePointFinder
from xmatch.registration.tie_points_on_device import DeviceLooks
from xmatch.registration.windows import NARROW, WIDE, Windows

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
pytestmark = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
SAME_PX = 0.05


def holed_pair() -> tuple:
    ground = scene(190, 150, seed=4)
    valid = np.ones(ground.shape, bool)
    valid[40:90, 100:140] = False
    truth = pose(190, 150, turn_deg=25, scale=1.1, shift=(4, -3))
    return view(ground, valid), seen_from(1 - ground, truth), truth


@pytest.mark.parametrize("windows", [NARROW, WIDE, Windows(52, 13, 6)], ids=["narrow", "wide", "regions"])
@pytest.mark.parametrize("as_map", [False, True], ids=["pose", "map"])
def test_windows_move_as_far_and_are_as_certain(device, windows, as_map):
    for fixed, moving, truth in (holed_pair(), *two_sensor_pairs(1, 136, "tissue", seed=0)):
        near = pose(fixed.width, fixed.height, shift=(2, -1)) @ truth
        to_fixed = Linear(near, "affine") if as_map else near
        found, expected = (
            looks.matched(looks.through(to_fixed), windows)
            for looks in (DeviceLooks(fixed, moving, device), OpenCVLooks(fixed, moving, 1))
        )
        assert len(expected.centres) >= 4
        np.testing.assert_array_equal(found.centres, expected.centres)
        np.testing.assert_allclose(found.forward, expected.forward, atol=SAME_PX)
        np.testing.assert_allclose(found.backward, expected.backward, atol=SAME_PX)
        np.testing.assert_allclose(found.certainty, expected.certainty, atol=2e-3)


def test_views_too_small_for_a_window_have_no_tie_points(device):
    looks = DeviceLooks(view(scene(60, 50)), view(scene(60, 50)), device)
    assert len(looks.matched(looks.through(np.eye(3)), NARROW).centres) == 0


def test_the_finder_looks_where_it_is_told_to(device, monkeypatch):
    made = []
    monkeypatch.setattr(
        "xmatch.registration.tie_points_on_device.DeviceLooks",
        lambda fixed, moving, at: made.append(at) or DeviceLooks(fixed, moving, device),
    )
    fixed, moving, truth = holed_pair()
    ties, there_and_back = TiePointFinder(fixed, moving, device="cuda")(truth)
    alone, expected = TiePointFinder(fixed, moving)(truth)
    assert made == ["cuda"] and len(ties) == len(alone) > 20
    np.testing.assert_allclose(ties.moving_xy, alone.moving_xy, atol=SAME_PX)
    np.testing.assert_allclose(there_and_back, expected, atol=SAME_PX)
