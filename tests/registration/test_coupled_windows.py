"""Windows that choose their places together."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.estimate.bspline import SmoothField
from xmatch.geometry import affine, homography
from xmatch.geometry.outlines import nodes_over
from xmatch.registration.coupled_windows import coupled_field, coupled_projective

SIDE, REACH = 100, 6
CENTRES = nodes_over(SIDE, SIDE, 5)
MIDDLE = int(np.argmin(np.linalg.norm(CENTRES - SIDE / 2, axis=1)))
FIELD = SmoothField(SIDE, SIDE, 4)


def peaked(at, height):
    """(2 r + 1, 2 r + 1) likeness that is highest at a displacement (x, y)."""
    ys, xs = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    return height * np.exp(-((xs - at[0]) ** 2 + (ys - at[1]) ** 2) / 4)


def test_a_window_with_a_wrong_peak_follows_its_neighbours():
    """Its right place is there too, only somewhat less alike."""
    surfaces = np.stack([peaked((2, -1), 0.6)] * len(CENTRES))
    surfaces[MIDDLE] = np.maximum(peaked((2, -1), 0.5), peaked((-5, 5), 0.6))
    found = coupled_field(surfaces.astype(np.float32), CENTRES, FIELD, 0.1)(CENTRES)
    np.testing.assert_allclose(found - CENTRES, np.tile((2.0, -1.0), (len(CENTRES), 1)), atol=0.2)


def test_where_nothing_is_alike_nothing_is_displaced():
    blank = np.zeros((len(CENTRES), 2 * REACH + 1, 2 * REACH + 1), np.float32)
    found = coupled_field(blank, CENTRES, FIELD, 0.1)(CENTRES)
    np.testing.assert_allclose(found, CENTRES, atol=0.05)


@pytest.mark.parametrize(
    ("kind", "truth"),
    [
        ("affine", affine([[1.03, 0.02, -1.0], [-0.01, 0.98, 2.0]])),
        ("homography", homography([[1.02, 0.01, 1.0], [0.0, 1.04, -2.0], [3e-4, 2e-4, 1.0]])),
    ],
)
def test_windows_share_one_projective_map_whatever_a_fifth_of_them_would_choose(kind, truth):
    surfaces = np.stack([peaked(at, 0.5) for at in truth(CENTRES) - CENTRES])
    assert np.abs(truth(CENTRES) - CENTRES).max() < REACH
    for i, elsewhere in zip(range(2, len(CENTRES), 5), np.random.default_rng(0).integers(-5, 6, (5, 2)), strict=True):
        surfaces[i] = np.maximum(surfaces[i], peaked(elsewhere, 0.6))
    found = coupled_projective(surfaces.astype(np.float32), CENTRES, kind)
    assert found.kind == kind
    np.testing.assert_allclose(found(CENTRES), truth(CENTRES), atol=0.3)


def test_windows_on_one_line_leave_a_homography_open():
    line = np.column_stack([np.linspace(10, 90, 12), np.full(12, 50.0)])
    surfaces = np.stack([peaked((1, 0), 0.5)] * len(line)).astype(np.float32)
    assert coupled_projective(surfaces, line, "homography") is None
