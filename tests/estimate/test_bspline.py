"""Smooth fields of B-splines, and windows that choose together by them."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.estimate.bspline import SmoothField
from xmatch.geometry.outlines import nodes_over

WIDTH, HEIGHT = 120, 80
FIELD = SmoothField(WIDTH, HEIGHT, 6)
PLACES = nodes_over(WIDTH, HEIGHT, 9)


def test_what_the_basis_functions_add_sums_to_one():
    np.testing.assert_allclose(FIELD.basis(PLACES).sum(axis=1), 1.0)


@pytest.mark.parametrize("stiffness", [0.01, 1.0, 100.0])
def test_a_plane_does_not_bend_and_is_reproduced_at_any_stiffness(stiffness):
    plane = PLACES @ np.array([[0.03, -0.01], [0.02, 0.04]]) + (2.0, -1.0)
    basis = FIELD.basis(PLACES)
    weight = np.linspace(0.1, 1.0, len(PLACES))
    np.testing.assert_allclose(basis @ FIELD.fitted(basis, plane, weight, stiffness), plane, atol=1e-3)


def test_a_stiffer_field_follows_less_of_a_wave():
    wave = np.column_stack([np.sin(2 * np.pi * PLACES[:, 0] / WIDTH), np.zeros(len(PLACES))])
    basis, weight = FIELD.basis(PLACES), np.ones(len(PLACES))
    soft, stiff = (np.ptp(basis @ FIELD.fitted(basis, wave, weight, s)) for s in (1e-4, 100.0))
    assert 1.5 < soft < 2.2 and stiff < 0.8 * soft
