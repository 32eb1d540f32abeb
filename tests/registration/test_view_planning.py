"""Which parts of two files are looked at, and where the search starts."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import FIXED_AT, SIDE, georeferenced, ground, optical, placed, seen, to_fixed, write

from xmatch.errors import InputError
from xmatch.geometry import Linear
from xmatch.io import open_source
from xmatch.raster import View
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register
from xmatch.registration.view_planning import frame_pair, widened

LAND = ground(3)
IMAGE = optical(seen(LAND, FIXED_AT))


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    return write(tmp_path_factory.mktemp("framing") / "fixed.tif", IMAGE, **georeferenced(FIXED_AT))


def framed(fixed, moving, **options):
    with open_source(fixed) as one, open_source(moving) as other:
        return frame_pair(one, other, RegisterOptions(**options))


def alike(fixed: View, moving: View, at: np.ndarray) -> float:
    """Correlation of two views of one sensor, laid on each other by the shift of `at`, moving px -> fixed px."""
    dx, dy = np.rint(at[:2, 2]).astype(int)
    ys, xs = np.nonzero(moving.valid)
    inside = (xs + dx >= 0) & (xs + dx < fixed.width) & (ys + dy >= 0) & (ys + dy < fixed.height)
    xs, ys = xs[inside], ys[inside]
    assert len(xs) > 5000
    return float(np.corrcoef(fixed.image[ys + dy, xs + dx], moving.image[ys, xs])[0, 1])


GRIDS = {
    "north-up": np.diag([1, 1]),
    "south-up": np.diag([1, -1]),
    "east to west": np.diag([-1, 1]),
    "half-turned": np.diag([-1, -1]),
    "axes interchanged": np.array([[0, 1], [1, 0]]),
    "quarter turn left": np.array([[0, 1], [-1, 0]]),
    "quarter turn right": np.array([[0, -1], [1, 0]]),
    "interchanged backwards": np.array([[0, -1], [-1, 0]]),
    "turned": np.array([[0.8, -0.6], [0.6, 0.8]]),
    "sheared": np.array([[1.0, 0.3], [0.0, 0.9]]),
    "tall pixels": np.diag([0.6, 1.4]),
    "five times coarser": np.diag([5.0, 5.0]),
}


@pytest.mark.parametrize("turn", GRIDS.values(), ids=GRIDS)
def test_moving_of_any_grid_is_seen_on_fixeds_grid(fixed, tmp_path, turn):
    size = (200, 200) if turn[0, 0] < 5 else (60, 60)
    origin = FIXED_AT(np.array([[130.0, 125.0]]))[0] - turn @ (np.array(size) / 2)
    at = Linear(np.vstack([np.column_stack([turn, origin]), (0, 0, 1)]), "affine")
    frame = framed(fixed, write(tmp_path / "moving.tif", optical(seen(LAND, at, size)), **georeferenced(at)))
    xy = np.random.default_rng(0).uniform(0, size, (20, 2))
    np.testing.assert_allclose(frame.prior(xy), to_fixed(at)(xy), atol=1e-6)
    assert frame.within.near
    assert alike(frame.fixed, frame.moving, frame.within.centre) > 0.9
    # Both ways round, a position in the moving view is one and the same place.
    view_xy = np.array([[10.0, 20.0], [50.0, 31.0]])
    by_moving = frame.prior(frame.moving_px(view_xy))
    by_fixed = Linear(frame.fixed.to_pixel @ frame.within.centre, "affine")(view_xy)
    np.testing.assert_allclose(by_moving, by_fixed, atol=1e-6)


def test_only_the_overlap_and_a_margin_is_looked_at(fixed, tmp_path):
    at = placed(0, 1.0, (150, 0))
    frame = framed(fixed, write(tmp_path / "east.tif", IMAGE, **georeferenced(at)))
    x0 = frame.fixed.to_pixel[0, 2]
    assert 100 < x0 < 150, "the overlap starts at 150"
    assert frame.fixed.width == SIDE - x0 and frame.fixed.height == SIDE


@pytest.mark.parametrize("shift", [(236, 0), (0, -238), (235, 235)])
def test_an_overlap_of_a_few_px_is_too_little_to_match_and_said_so(fixed, tmp_path, shift):
    moving = write(tmp_path / "beside.tif", IMAGE, **georeferenced(placed(0, 1.0, shift)))
    frame = framed(fixed, moving)
    assert min(frame.moving.width, frame.moving.height) < 24
    assert any("--ignore-georef" in note for note in frame.notes)
    with open_source(fixed) as one, open_source(moving) as other:
        found = register(one, other, RegisterOptions())
    assert not found.verdict.accepted and found.verdict.reason
    assert any("few pixels" in note for note in found.notes)


def test_files_that_do_not_overlap_are_looked_at_whole_when_georeferencing_is_left_out(fixed, tmp_path):
    moving = write(tmp_path / "far.tif", IMAGE[:200], **georeferenced(placed(0, 1.0, (5000, 0))))
    with pytest.raises(InputError, match="does not overlap"):
        framed(fixed, moving)
    frame = framed(fixed, moving, use_georef=False)
    assert (frame.moving.width, frame.moving.height) == (SIDE, 200)
    assert frame.prior is None and not frame.within.near


def test_moving_without_data_in_the_overlap_is_refused(fixed, tmp_path):
    half_empty = IMAGE.copy()
    half_empty[:, 120:] = 0
    moving = write(tmp_path / "west.tif", half_empty, nodata=0, **georeferenced(placed(0, 1.0, (-160, 0))))
    with pytest.raises(InputError, match="no valid pixels") as refused:
        framed(fixed, moving)
    assert refused.value.path == str(moving)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 15)])
def test_an_image_too_small_to_match_is_refused(fixed, tmp_path, shape):
    small = write(tmp_path / "small.tif", np.ones(shape, np.uint8), **georeferenced(FIXED_AT))
    for pair in ((fixed, small), (small, fixed)):
        with pytest.raises(InputError, match="at least 16 px") as refused:
            framed(*pair)
        assert refused.value.path == str(small)


@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_an_image_of_nodata_only_is_refused(tmp_path, role):
    empty = write(tmp_path / "empty.tif", np.full((60, 70), np.nan, np.float32))
    full = write(tmp_path / "full.tif", IMAGE)
    with pytest.raises(InputError, match="0 %") as refused:
        framed(*((empty, full) if role == "fixed" else (full, empty)))
    assert refused.value.path == str(empty)


def test_views_are_no_larger_than_asked_and_scale_one_means_the_same_pixel_size(tmp_path):
    fixed = write(tmp_path / "fixed.tif", np.tile(IMAGE, (1, 2)))
    moving = write(tmp_path / "moving.tif", IMAGE)
    frame = framed(fixed, moving, view_px=160)
    assert (frame.fixed.width, frame.fixed.height, frame.moving.width) == (160, 80, 160)
    # fixed shows 3 file px a view px, moving 1.5.
    assert frame.within.centre[0, 0] == pytest.approx(0.5)
    assert (frame.within.min_scale, frame.within.max_scale) == (0.5, 2.0)


def test_the_users_range_is_searched_and_no_more(fixed, tmp_path):
    moving = write(tmp_path / "moving.tif", IMAGE, **georeferenced(FIXED_AT))
    asked = {"max_angle_deg": 4.0, "max_scale": 1.05, "mirror": True}
    for use_georef in (True, False):
        within = framed(fixed, moving, use_georef=use_georef, **asked).within
        assert (within.max_angle_deg, within.max_scale, within.mirror) == (4.0, 1.05, True)


def test_a_prior_bounds_the_search_until_it_is_given_up(fixed, tmp_path):
    frame = framed(fixed, write(tmp_path / "moving.tif", IMAGE, **georeferenced(FIXED_AT)))
    assert frame.within.near and frame.within.max_angle_deg < 30
    wide = widened(frame, RegisterOptions())
    assert not wide.within.near and wide.within.max_angle_deg == 180 and wide.within.max_scale == 2
    assert len(wide.notes) == len(frame.notes) + 1


def test_an_undeclared_collar_is_told_with_the_option_that_declares_it(tmp_path):
    collared = IMAGE.copy()
    collared[:40] = 0
    collared, plain = write(tmp_path / "collared.tif", collared), write(tmp_path / "plain.tif", IMAGE)
    assert any("moving" in note and "--moving-nodata" in note for note in framed(plain, collared).notes)
    assert not framed(plain, plain).notes
