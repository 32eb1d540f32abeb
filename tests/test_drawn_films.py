"""Films of figures: points stay on what they lie on, and hide behind what covers it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drawn_films import PAN, draw_film, followed
from xmatch.coords import pixel_centres

SIZE = 96


@pytest.fixture(scope="module")
def film():
    return draw_film(SIZE, 5, np.random.default_rng(3))


@pytest.fixture(scope="module")
def points():
    return pixel_centres(SIZE, SIZE)[4:-4:5, 4:-4:5].reshape(-1, 2)


def of(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    column, row = np.floor(xy).astype(int).clip(0, SIZE - 1).T
    return picture[row, column]


def test_nothing_moves_from_a_frame_to_itself(film, points):
    there, visible = followed(film[0], film[0], points)
    assert there == pytest.approx(points) and visible.all()


def test_what_is_visible_looks_as_it_did(film, points):
    there, visible = followed(film[0], film[-1], points)
    apart = np.abs(of(film[0].image, points) - of(film[-1].image, there))
    assert visible.mean() > 0.5 and np.median(apart[visible]) < 0.03
    still = np.abs(of(film[0].image, points) - of(film[-1].image, points))
    assert apart[visible].mean() < 0.5 * still.mean()  # it does move


def test_the_ground_moves_as_one_and_the_figure_covers_it(film, points):
    there, visible = followed(film[0], film[-1], points)
    on_ground = of(film[0].part, points) == -1
    moved = there - points
    assert np.ptp(moved[on_ground], axis=0) == pytest.approx(0) and 0 < np.abs(moved[on_ground]).max() <= PAN * SIZE
    covered = on_ground & (of(film[-1].part, there) >= 0)
    assert covered.any() and not visible[covered].any()


def test_points_of_a_limb_stay_where_they_are_on_it(film, points):
    there, visible = followed(film[0], film[2], points)
    limb = visible & (of(film[0].part, points) > 0)
    assert limb.sum() > 10 and (of(film[2].part, there[limb]) == of(film[0].part, points[limb])).all()
    off = np.abs(of(film[2].place, there[limb]) - of(film[0].place, points[limb]))
    sizes = np.linalg.norm(film[2].to_px[:, :, :2], axis=1)[of(film[0].part, points[limb])]
    assert (off * sizes).max() < 1.0  # to within the width of a px


def test_seeds_decide():
    first, again, other = (draw_film(48, 2, np.random.default_rng(seed))[1].image for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
