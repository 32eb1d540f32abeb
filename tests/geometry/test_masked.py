import numpy as np
import pytest

from xmatch.coords import to_centre_matrix
from xmatch.geometry.masked import remapped_masked, resized_masked, warped_masked
from xmatch.geometry.matrices import shift_matrix


def half_valid() -> tuple[np.ndarray, np.ndarray]:
    """0.8 on the left half, which is valid; garbage on the right, which is not."""
    valid = np.arange(16)[None] < np.full((12, 1), 8)
    return np.where(valid, 0.8, 77.0).astype(np.float32), valid


def test_shrinking_means_over_what_is_valid():
    image, valid = half_valid()
    small, cover = resized_masked(image, valid, (5, 4), shrinks=True)  # px 2 holds 1.6 valid columns of 3.2
    assert small[cover > 0] == pytest.approx(0.8)
    assert cover[0] == pytest.approx([1, 1, 0.5, 0, 0])


def test_warping_by_half_a_pixel_takes_nothing_from_holes():
    image, valid = half_valid()
    moved, cover = warped_masked(image, valid, to_centre_matrix(shift_matrix((0.5, 0.0))), (16, 12))
    assert moved[cover > 0] == pytest.approx(0.8)
    assert cover[3, 6:10] == pytest.approx([1, 1, 0.5, 0])


def test_a_look_up_beyond_all_measure_finds_nothing():
    image, valid = half_valid()
    at = np.array([[[2.0, 3.0], [np.nan, 3.0], [1e7, 3.0], [7.5, 3.0]]])
    seen, cover = remapped_masked(image, valid, at)
    assert cover[0] == pytest.approx([1, 0, 0, 0.5])
    assert seen[0, [0, 3]] == pytest.approx(0.8)
