import numpy as np

from xmatch.geometry import similarity, translation
from xmatch.geometry.windows import window_around, window_under


def test_a_window_holds_whole_pixels():
    assert window_around(np.array([[2.4, 3.0], [7.1, 5.5]]), 20, 10) == (2, 3, 6, 3)
    assert window_around(np.array([[2.4, 3.0], [7.1, 5.5]]), 20, 10, margin_px=3) == (0, 0, 11, 9)


def test_a_window_never_leaves_the_image():
    assert window_around(np.array([[-9.0, -9.0], [99.0, 99.0]]), 20, 10) == (0, 0, 20, 10)
    assert window_around(np.array([[50.0, 2.0], [60.0, 4.0]]), 20, 10) == (19, 2, 1, 2)


def test_the_window_of_moving_under_a_window_of_fixed():
    assert window_under(translation(-5, 2), (10, 10, 4, 6), 100, 100) == (5, 12, 4, 6)
    # A quarter turn: what is wide in fixed is high in moving.
    assert window_under(similarity(90, shift_px=(50, 0)), (0, 10, 20, 8), 100, 100) == (32, 0, 8, 20)


def test_where_a_map_is_not_defined_there_is_no_window():
    assert window_under(lambda xy: np.full_like(xy, np.nan), (0, 0, 8, 8), 100, 100) is None

    def half(xy):
        return np.where(xy[:, :1] < 50, xy, np.nan)

    assert window_under(half, (0, 0, 100, 100), 100, 100, count=5) == (0, 0, 25, 100)
