"""Previews: right pixels in the right place, of the part that matters, for any kind of pixel."""

import numpy as np
import pytest
from memory_source import MemorySource
from report_cases import HEIGHT, TURN, WIDTH, registration, sources

from xmatch.geometry import DisplacementGrid, similarity, translation
from xmatch.raster import Raster
from xmatch.report import PreviewFrame, make_previews
from xmatch.report.previews import picture
from xmatch.report.sample import spread


def aligned_error(previews) -> float:
    """Mean grey difference of fixed and warped inside the overlap, edges left out."""
    both = previews.warped_valid & previews.fixed_valid
    difference = np.abs(previews.fixed.astype(float) - previews.moving_warped)[both]
    return float(np.median(difference))


def same_stretch(fixed, moving):
    """Pin both stretches: the values that set the percentiles lie outside of the overlap or in both images."""
    for source in (fixed, moving):
        source.pixels[0, :4, :] = 0.0
        source.pixels[0, 4:8, :] = 255.0
    return fixed, moving


@pytest.mark.parametrize("max_side", [900, 40])
@pytest.mark.parametrize("bending", [False, True], ids=["matrix", "grid"])
def test_the_warped_moving_image_lies_on_the_fixed_one(max_side, bending):
    transform = DisplacementGrid.sampled(TURN, WIDTH, HEIGHT, 10.0) if bending else TURN
    fixed, moving = same_stretch(*sources())
    made = registration(transform)
    right = aligned_error(make_previews(fixed, moving, made, max_side))
    one_off = registration(similarity(10.0, 1.2, (8.0, -4.0)))
    wrong = aligned_error(make_previews(fixed, moving, one_off, max_side))
    assert right <= 1.0
    assert wrong >= right + 1.0


def test_a_shift_by_whole_pixels_is_exact_to_the_pixel():
    fixed, moving = sources(translation(7.0, 3.0))
    previews = make_previews(fixed, moving, registration(translation(7.0, 3.0)))
    assert np.array_equal(previews.moving_warped[3:, 7:], previews.moving[:-3, :-7])
    assert previews.warped_valid[3:, 7:].all()
    assert not previews.warped_valid[:3].any() and not previews.warped_valid[:, :7].any()


def test_no_data_stays_no_data_after_the_warp():
    fixed, moving = sources(translation(0.0, 0.0))
    moving.masks[..., 30:] = False
    previews = make_previews(fixed, moving, registration(translation(0.0, 0.0)))
    assert np.array_equal(previews.warped_valid, moving.masks[0])
    assert previews.overlap == pytest.approx(30 / WIDTH)


def test_a_small_overlap_fills_the_preview():
    big = MemorySource(np.add.outer(np.arange(300.0), np.arange(400.0)))
    small = MemorySource(np.add.outer(np.arange(40.0), np.arange(50.0)))
    made = registration(translation(200.0, 100.0))
    x, y, width, height = make_previews(big, small, made).fixed_frame.window
    assert 190 <= x <= 200 and 90 <= y <= 100
    assert 250 <= x + width <= 260 and 140 <= y + height <= 150


def test_a_rejected_result_shows_both_images_whole():
    fixed, moving = sources()
    previews = make_previews(fixed, moving, registration(translation(-70.0, -50.0), accepted=False))
    assert previews.fixed_frame.window == (0, 0, WIDTH, HEIGHT)
    assert previews.moving_frame.window == (0, 0, WIDTH, HEIGHT)


def test_without_a_transform_there_is_nothing_warped():
    fixed, moving = sources()
    previews = make_previews(fixed, moving, registration(None, accepted=False))
    assert previews.moving_warped is None and previews.overlap is None
    assert np.isnan(previews.mapped_xy).all()


def test_no_side_is_longer_than_asked_for():
    fixed, moving = sources(width=90, height=30)
    previews = make_previews(fixed, moving, registration(), max_side=45)
    assert previews.fixed.shape == (15, 45)
    assert max(previews.moving.shape) <= 45


def test_a_frame_maps_there_and_back():
    frame = PreviewFrame((100, 50, 400, 200), (200, 50))
    np.testing.assert_allclose(frame.to_preview(np.array([[100, 50], [500, 250]])), [[0, 0], [200, 50]])
    xy = np.array([[123.25, 77.5]])
    np.testing.assert_allclose(frame.to_full(frame.to_preview(xy)), xy)


def test_the_sample_of_matches_is_small_spread_and_fair():
    fixed, moving = sources()
    made = registration(translation(0.0, 0.0), count=3000)
    previews = make_previews(fixed, moving, made)
    assert 100 <= previews.inliers.sum() <= 120 and 20 <= (~previews.inliers).sum() <= 40
    np.testing.assert_allclose(previews.mapped_xy, previews.moving_xy)
    for low, high in [((0, 0), (40, 30)), ((40, 0), (80, 30)), ((0, 30), (40, 60)), ((40, 30), (80, 60))]:
        drawn = previews.fixed_xy[previews.inliers]
        assert ((drawn >= low) & (drawn < high)).all(axis=1).sum() >= 20


def test_a_cluster_does_not_crowd_out_the_rest():
    rng = np.random.default_rng(0)
    xy = np.concatenate([rng.uniform(0, 1, (1000, 2)), rng.uniform(0, 100, (30, 2))])
    chosen = spread(xy, np.arange(len(xy)), 40)
    assert len(set(chosen)) == 40
    assert (chosen >= 1000).sum() >= 15


def raster(pixels, valid=None) -> Raster:
    pixels = np.asarray(pixels)
    return Raster(pixels, np.ones(pixels.shape[1:], bool) if valid is None else valid)


def test_outliers_and_no_data_do_not_darken_the_picture():
    pixels = np.linspace(1000, 2000, 2500).reshape(1, 50, 50)
    pixels[0, 0, 0], pixels[0, 0, 1] = 1e6, np.nan
    valid = np.isfinite(pixels[0])
    shown = picture(raster(pixels, valid))
    assert shown.dtype == np.uint8
    assert shown[25, 0] == pytest.approx(128, abs=4)


def test_complex_pixels_show_their_amplitude_in_decibels():
    amplitude = np.logspace(0, 4, 100).reshape(1, 10, 10)
    shown = picture(raster(amplitude * np.exp(1j * np.arange(100).reshape(1, 10, 10))))
    steps = np.diff(shown.ravel().astype(int))
    assert steps.min() >= 0 and steps.max() <= 4  # even steps: logarithmic in, linear out


def test_a_flat_or_empty_picture_is_grey_and_no_fault():
    assert (picture(raster(np.full((1, 4, 4), 7.0))) == 128).all()
    assert (picture(raster(np.zeros((3, 4, 4), np.uint16), np.zeros((4, 4), bool))) == 128).all()


def test_eight_bit_colours_keep_their_balance():
    rng = np.random.default_rng(1)
    grey = rng.integers(50, 200, (20, 20))
    shown = picture(raster(np.stack([grey, grey // 2, grey // 4]).astype(np.uint8)))
    assert shown[..., 0].mean() > shown[..., 1].mean() + 20 > shown[..., 2].mean() + 20


def test_red_green_and_blue_are_found_by_name():
    planes = np.stack([np.full((9, 9), level, np.uint8) for level in (10, 20, 30, 40)])
    planes[:, 0, 0], planes[:, 0, 1] = 0, 255
    source = MemorySource(planes, bands=("Blue", "Green", "Red", "NIR"))
    shown = make_previews(source, source, registration(translation(0.0, 0.0))).fixed
    assert shown.shape == (9, 9, 3)
    red, green, blue = shown[5, 5].astype(int)
    assert red > green > blue
