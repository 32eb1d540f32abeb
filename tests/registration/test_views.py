"""What a matcher sees of a file, and the way back to its pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scenes import FIXED_AT, ground, optical, radar, seen, write

from xmatch.errors import InputError
from xmatch.geometry import Linear, similarity
from xmatch.io import open_source
from xmatch.raster import Raster, View
from xmatch.registration.views import channel, framing, make_view, warped_view, where_seen

IMAGE = optical(seen(ground(3), FIXED_AT))
HOLE = np.zeros(IMAGE.shape, bool)
HOLE[:, :70] = True


def view_of(path, window=None, view_px=10_000.0, shape=(1.0, 1.0)):
    with open_source(path) as source:
        whole = (0, 0, source.header.width, source.header.height)
        return make_view(source, framing(window or whole, view_px, shape))


def blob_at(x: float, y: float, size=(120, 90)) -> np.ndarray:
    """A bright spot on a slope."""
    ys, xs = np.mgrid[: size[1], : size[0]] + 0.5
    return (20 + 0.2 * xs + 200 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 50)).astype(np.uint8)


def brightest_px(view) -> np.ndarray:
    """(2,) where a view's bright spot lies in the file."""
    weight = np.clip(view.image - 0.5, 0, None)
    ys, xs = np.mgrid[: view.height, : view.width] + 0.5
    middle = np.array([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()
    return Linear(view.to_pixel, "affine")(middle[None])[0]


@pytest.mark.parametrize(
    ("window", "view_px", "shape"),
    [
        ((0, 0, 120, 90), 500.0, (1.0, 1.0)),
        ((0, 0, 120, 90), 60.0, (1.0, 1.0)),
        ((31, 17, 80, 64), 50.0, (1.0, 1.0)),
        ((0, 0, 120, 90), 200.0, (1.0, 2.0)),
    ],
    ids=["whole", "reduced", "window", "tall pixels"],
)
def test_a_spot_in_the_view_leads_back_to_its_place_in_the_file(tmp_path, window, view_px, shape):
    view = view_of(write(tmp_path / "spot.tif", blob_at(70.3, 41.8)), window, view_px, shape)
    assert np.hypot(*(brightest_px(view) - (70.3, 41.8))) < 0.3
    assert max(view.width, view.height) <= max(view_px, 120)


def stack(*holes: slice) -> Raster:
    """Bands of one scene with holes in other columns each."""
    masks = np.ones((len(holes), *IMAGE.shape), bool)
    for mask, hole in zip(masks, holes, strict=True):
        mask[:, hole] = False
    pixels = np.stack([IMAGE.astype(np.int16) * (k + 1) for k in range(len(holes))])
    return Raster(np.where(masks, pixels, -999), masks.any(axis=0), band_valid=masks)


def test_bands_with_much_in_common_are_seen_where_all_of_them_are():
    raster = stack(slice(20, 40), slice(60, 70))
    assert np.array_equal(where_seen(raster), raster.band_valid.all(axis=0))


def test_bands_with_little_in_common_stand_in_for_each_other():
    """Thirds of three bands are missing: what is left shows the scene, but for the lines where the choice changes."""
    width = IMAGE.shape[1]
    third = width // 3
    raster = stack(slice(0, third), slice(third, 2 * third), slice(2 * third, width))
    where = where_seen(raster)
    assert set(np.flatnonzero(~where.all(axis=0))) == {third - 1, third, 2 * third - 1, 2 * third}
    whole = channel(Raster(IMAGE[None].astype(np.int16), np.ones(IMAGE.shape, bool)))
    assert np.corrcoef(channel(raster)[where], whole[where])[0, 1] > 0.98


def test_one_band_without_data_is_a_colour_where_bands_are_colours():
    pixels = np.full((3, 20, 30), 200, np.uint8)
    pixels[1:, :, :25] = 0  # pure red
    raster = Raster(pixels, np.ones((20, 30), bool), band_valid=pixels > 0)
    assert where_seen(raster).all() and np.ptp(channel(raster)) > 0


def test_a_view_is_never_larger_than_its_window():
    assert framing((0, 0, 30, 20), 640).size == (30, 20)


def test_views_have_square_pixels_on_the_ground():
    assert framing((0, 0, 100, 100), 640, shape=(0.5, 1.0)).size == (100, 200)
    assert framing((0, 0, 100, 100), 100, shape=(2.0, 0.5)).size == (100, 25)


@pytest.mark.parametrize("view_px", [240, 110])
def test_values_under_a_mask_do_not_reach_the_view(tmp_path, view_px):
    views = []
    for i, garbage in enumerate((0, 255, radar(seen(ground(8), FIXED_AT)))):
        path = write(tmp_path / f"masked{i}.tif", np.where(HOLE, garbage, IMAGE).astype(np.uint8), ~HOLE)
        views.append(view_of(path, view_px=view_px))
    assert 0.65 < views[0].valid.mean() < 0.75
    for view in views[1:]:
        np.testing.assert_array_equal(view.valid, views[0].valid)
        np.testing.assert_array_equal(view.image, views[0].image)


def test_invalid_pixels_are_zero_and_valid_ones_fill_the_range(tmp_path):
    view = view_of(write(tmp_path / "masked.tif", IMAGE, ~HOLE))
    assert view.image.dtype == np.float32
    assert not view.image[~view.valid].any()
    assert (view.image.min(), view.image.max()) == (0, 1)


def test_a_file_without_data_is_refused_with_its_share(tmp_path):
    path = write(tmp_path / "empty.tif", np.full((40, 50), 7, np.uint16), nodata=7)
    with pytest.raises(InputError, match="0 %") as refused:
        view_of(path)
    assert "--nodata" in refused.value.hint and refused.value.path == str(path)


def test_an_undeclared_black_collar_is_masked_and_its_share_kept(tmp_path):
    turn = cv2.getRotationMatrix2D((120, 120), 20, 1.0)
    view = view_of(write(tmp_path / "turned.tif", cv2.warpAffine(IMAGE, turn, (240, 240))))
    assert 0.1 < view.collar < 0.3
    assert view.collar == pytest.approx(1 - view.valid.mean(), abs=1e-6)


def raster(*bands: np.ndarray) -> Raster:
    return Raster(np.stack(bands), np.ones(bands[0].shape, bool))


RAMP = np.linspace(0, 1, 400).reshape(20, 20)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "int64", "float32", "float64"])
def test_every_dtype_fills_the_range_in_order(dtype):
    low, high = (-3e38, 3e38) if dtype.startswith("float") else (np.iinfo(dtype).min * 0.99, np.iinfo(dtype).max * 0.99)
    seen_as = channel(raster((low + (high - low) * RAMP).astype(dtype)))
    assert (seen_as.min(), seen_as.max()) == (0, 1)
    assert np.corrcoef(seen_as.ravel(), RAMP.ravel())[0, 1] > 0.99


def test_small_differences_on_large_integers_are_kept():
    seen_as = channel(raster(2**60 + (1000 * RAMP).astype(np.int64)))
    assert len(np.unique(seen_as)) > 3


def test_complex_radar_is_seen_as_amplitude_in_decibels():
    phase = np.exp(1j * np.random.default_rng(0).uniform(0, 7, RAMP.shape))
    seen_as = channel(raster((10 ** (3 * RAMP) * phase).astype(np.complex64)))
    np.testing.assert_allclose(seen_as, channel(raster(RAMP)), atol=0.01)


def test_colours_weigh_as_the_eye_does():
    red, blue = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    red[:, :6], blue[:, 14:] = 200, 200
    seen_as = channel(raster(red, np.zeros_like(red), blue))
    assert seen_as[0, 0] == 1 and 0.3 < seen_as[0, -1] < 0.5 and seen_as[0, 10] == 0


def test_one_outlier_does_not_darken_the_rest():
    spiked = (100 * RAMP).astype(np.float32)
    spiked[3, 4] = 1e9
    assert np.abs(channel(raster(spiked)) - channel(raster((100 * RAMP).astype(np.float32)))).mean() < 0.02


def test_a_constant_image_is_seen_as_nothing():
    assert not channel(raster(np.full((20, 20), 5, np.uint8))).any()


def test_a_warped_view_still_leads_back_to_the_file(tmp_path):
    view = view_of(write(tmp_path / "spot.tif", blob_at(70.3, 41.8)))
    laid = warped_view(view, similarity(33, 0.8, (40, -10)).matrix, (140, 130))
    assert np.hypot(*(brightest_px(laid) - (70.3, 41.8))) < 0.3


def test_a_warped_view_is_invalid_where_nothing_was_seen():
    """A bright image stays bright up to its edge: what is beyond does not bleed in."""
    half = View(np.ones((40, 40), np.float32), np.arange(40)[None] < np.full((40, 1), 20), np.eye(3))
    laid = warped_view(half, similarity(0, 1.0, (5.5, 3.0)).matrix, (60, 60))
    assert laid.valid.sum() == pytest.approx(20 * 40, rel=0.06)
    np.testing.assert_allclose(laid.image[laid.valid], 1.0, atol=1e-3)
    assert not laid.image[~laid.valid].any()
