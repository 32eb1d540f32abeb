"""Large files are matched at their own resolution, tile by tile."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scenes import distance_px, georeferenced, ground, optical, radar, registered, seen, write

from xmatch.coords import pixel_centres, to_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.evaluation.moving_warps import smooth_bend
from xmatch.geometry import DisplacementGrid, Linear, compose, similarity, translation
from xmatch.geometry.windows import whole
from xmatch.io import open_source
from xmatch.ops.devices import TORCH_ON_CPU
from xmatch.raster import View
from xmatch.registration import full_resolution
from xmatch.registration import tie_points_on_device as on_device
from xmatch.registration.full_resolution import ConfirmedMap, sharpen
from xmatch.registration.options import TILE_PX, RegisterOptions
from xmatch.registration.tile_choice import tile_centres
from xmatch.registration.views import framing, make_view

SIZE = (900, 780)
SIDE = 1000
LAND = ground(5, SIDE)
WHOLE = Linear(np.array([[1.0, 0.0, 50.0], [0.0, 1.0, 60.0], [0.0, 0.0, 1.0]]), "translation")
AS_IT_IS = Linear(np.eye(3), "translation")
MOVING_AT = WHOLE.after(similarity(2.0, 1.03, (-8.0, -20.0)))
TRUE = WHOLE.inverse.after(MOVING_AT)
QUARTER = np.diag([0.25, 0.25, 1.0])
"""Fixed px -> px of a first look at a quarter of the size."""


CHECKS = np.random.default_rng(0).uniform(0, SIZE, (50, 2))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fullsize")
    return (
        write(folder / "fixed.tif", optical(seen(LAND, WHOLE, SIZE))),
        write(folder / "moving.tif", radar(seen(LAND, MOVING_AT, SIZE))),
    )


def sharpened(files, start: Linear, watch=None, plane=np.eye(3), **options):
    with open_source(files[0]) as fixed, open_source(files[1]) as moving:
        first = ConfirmedMap(start, Correspondences.empty(), np.zeros(0, bool), QUARTER)
        look = make_view(fixed, framing(whole(fixed.header.width, fixed.header.height), 240))
        if watch is not None:
            watch(fixed, moving)
        return sharpen(fixed, moving, first, plane, RegisterOptions(threads=1, **options), look)


@pytest.fixture(scope="module")
def result(files):
    return sharpened(files, translation(3.5, -3.0).after(TRUE))


def test_a_first_look_is_sharpened_to_less_than_a_px_of_the_file(result):
    assert distance_px(result.transform, TRUE, SIZE) < 0.7
    assert result.px < 1.4 and "sharpened" in result.notes[0]


def test_tiles_are_matched_many_at_once_on_a_device_to_the_same_map(files, result, monkeypatch):
    given, matched = [], on_device.matched_tiles
    monkeypatch.setattr(
        on_device, "matched_tiles", lambda tiles, *rest: given.append(len(tiles)) or matched(tiles, *rest)
    )
    found = sharpened(files, translation(3.5, -3.0).after(TRUE), device=TORCH_ON_CPU)
    assert distance_px(found.transform, result.transform, SIZE) < 0.1
    assert len(found.correspondences) == len(result.correspondences)
    assert max(given) > 8, "in one call"


def test_tie_points_are_in_px_of_the_files_and_all_over_them(result):
    points = result.correspondences[result.steady]
    off = np.linalg.norm(TRUE(points.moving_xy) - points.fixed_xy, axis=1)
    assert len(points) > 60 and np.median(off) < 1
    assert (np.ptp(points.fixed_xy, axis=0) > 0.6 * np.array(SIZE)).all()


def test_only_tiles_are_read(files):
    largest = []

    def watch(*sources):
        for source in sources:
            read = source.read

            def noted(window, size=None, read=read, **more):
                largest.append(max(size or window[2:]))
                return read(window, size=size, **more)

            object.__setattr__(source, "read", noted)

    sharpened(files, TRUE, watch)
    assert largest and max(largest) < 2 * TILE_PX


def test_what_the_tiles_do_not_confirm_is_left_as_it_was(files, tmp_path):
    other = write(tmp_path / "other.tif", radar(seen(ground(6, SIDE), MOVING_AT, SIZE)))
    found = sharpened((files[0], other), TRUE)
    assert found.transform is TRUE and len(found.correspondences) == 0 and found.px == pytest.approx(4.0)
    assert "do not agree" in found.notes[0]


@pytest.mark.parametrize("kind", ["translation", "homography"])
def test_the_kind_asked_for_is_the_kind_that_sharpens(files, kind):
    transform = sharpened(files, translation(3.5, -3.0).after(TRUE), transform=kind).transform
    assert transform.kind == max(kind, "similarity", key=["translation", "similarity", "homography"].index)
    assert distance_px(transform, TRUE, SIZE) < 1


def test_a_raster_of_1700_px_is_registered_to_a_px_of_the_file(tmp_path):
    side = 1700
    land, away = ground(7, side), similarity(0.3, 1.0, (4, 9))
    here = Linear(np.eye(3), "translation")
    # Both files say that they lie in one place; moving's content is some px off it.
    fixed = write(tmp_path / "fixed.tif", optical(land), **georeferenced(here))
    moving = write(tmp_path / "moving.tif", radar(seen(land, away, (side, side))), **georeferenced(here))
    found = registered(fixed, moving, max_angle_deg=4.0, max_scale=1.05)
    assert found.verdict.accepted
    assert distance_px(found.transform, away, (side, side)) < 1
    assert found.verdict.ce90_ground == pytest.approx(10 * found.verdict.ce90_px, rel=1e-3)


def test_what_tiles_add_comes_after_the_first_look_and_is_counted_in_fixed_px(tmp_path, files):
    """Far from the identity: moving is turned by 70 degrees, so that its px and fixed's point in different ways."""
    middle = np.array(SIZE) / 2
    turned_at = WHOLE.after(translation(*middle)).after(similarity(70.0)).after(translation(*-middle))
    turned = write(tmp_path / "turned.tif", radar(seen(LAND, turned_at, SIZE)))
    true = WHOLE.inverse.after(turned_at)
    found = sharpened((files[0], turned), translation(3.5, -3.0).after(true), transform="translation").transform
    assert np.linalg.norm(found(middle[None]) - true(middle[None])) < 0.7


def test_on_px_that_are_not_square_the_correction_is_made_on_the_ground_and_told_in_px(files):
    start = translation(3.5, -3.0).after(TRUE)
    found = sharpened(files, start, plane=np.diag([3.0, 1.0, 1.0]), transform="translation").transform
    assert distance_px(found, TRUE, SIZE) < 1


@pytest.mark.parametrize("tile_px", [192, 2048])
def test_how_much_is_held_at_a_time_does_not_show(files, result, tile_px):
    found = sharpened(files, translation(3.5, -3.0).after(TRUE), tile_px=tile_px)
    assert np.array_equal(found.transform(CHECKS), result.transform(CHECKS))
    assert np.array_equal(found.correspondences.fixed_xy, result.correspondences.fixed_xy)


def looked_at_tiles(image, most, transform=AS_IT_IS, moving=(4000, 2000)):
    """Centres of tiles of 200 px in a file of 4000 x 2000 px that was seen at a tenth of its size."""
    view = View(image, np.ones(image.shape, bool), np.diag([10.0, 10.0, 1.0]))
    return tile_centres(view, (0, 0, 4000, 2000), 200.0, most, transform, moving)


def test_where_all_tiles_are_too_many_those_of_most_texture_are_taken_all_over_the_image():
    image = np.full((200, 400), 0.5, np.float32)
    # A speck in each part of 1000 x 1000 px: in the third column and the fourth row of its 25 tiles.
    image[70::100, 50::100] = 1.0
    centres = looked_at_tiles(image, 8)
    assert len(centres) == 8
    assert np.array_equal(np.unique(centres[:, 0]), [500.0, 1500.0, 2500.0, 3500.0])
    assert np.array_equal(np.unique(centres[:, 1]), [700.0, 1700.0])


def test_all_tiles_are_looked_at_where_they_are_few_and_none_that_moving_does_not_reach():
    image = np.random.default_rng(0).random((200, 400), np.float32)
    assert len(looked_at_tiles(image, 200)) == 200
    half = looked_at_tiles(image, 60, moving=(2000, 2000))
    assert 40 <= len(half) <= 60 and half[:, 0].max() < 2000


BENT_SIZE = (1500, 1400)


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    """A pair that is bent by up to 8 px, and where px of its moving image lie."""
    folder, land = tmp_path_factory.mktemp("bent"), ground(8, 1700)
    place, stiff = translation(100, 100), similarity(1.5, 1.01, (9, -12))
    true = compose(smooth_bend(*BENT_SIZE, 8.0, np.random.default_rng(3)), stiff)
    at = DisplacementGrid.sampled(true, *BENT_SIZE, 8)(pixel_centres(*BENT_SIZE))
    cells = to_centre_xy(place(at)).astype(np.float32)
    looked_up = cv2.remap(land, cells[..., 0], cells[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    files = (
        write(folder / "fixed.tif", optical(seen(land, place, BENT_SIZE))),
        write(folder / "m.tif", radar(looked_up)),
    )
    xy = pixel_centres(*BENT_SIZE, step=40).reshape(-1, 2)
    shared = ((true(xy) > 0) & (true(xy) < BENT_SIZE)).all(axis=1)
    return files, stiff, xy[shared], true(xy)[shared]


def test_a_bend_that_a_first_look_cannot_see_is_followed(bent):
    """Of up to 8 px, which are two of a view's."""
    files, start, xy, true_xy = bent
    found = sharpened(files, start).transform
    off, before = (np.linalg.norm(transform(xy) - true_xy, axis=1) for transform in (found, start))
    assert np.quantile(before, 0.9) > 3 and np.quantile(off, 0.9) < 1
    assert found.matrix is None and found.kind == "tps"


def test_what_does_not_bend_is_not_bent(result):
    assert result.transform.matrix is not None


def test_every_thread_has_a_tile_however_few_may_be_held(monkeypatch):
    threads = 6
    all_at_once = threading.Barrier(threads, timeout=5)

    def match(number):
        all_at_once.wait()
        return np.full((1, 2), number), np.zeros((1, 2)), np.ones(1), np.ones(1, bool)

    monkeypatch.setattr(full_resolution, "tile_centres", lambda *_: range(2 * threads))
    monkeypatch.setattr(full_resolution, "_tile", lambda fixed, moving, transform, centre, side, reduction: (centre,))
    monkeypatch.setattr(full_resolution, "_match_tile", match)
    options = RegisterOptions(threads=threads, tile_px=TILE_PX)
    moving = SimpleNamespace(header=SimpleNamespace(width=9, height=9))
    ties, _ = full_resolution._tile_ties(None, moving, AS_IT_IS, 1.0, options, None, (0, 0, 9, 9))
    assert ties.fixed_xy[:, 0].tolist() == list(range(2 * threads))
