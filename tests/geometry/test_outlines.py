import numpy as np

from xmatch.geometry.outlines import border, cell_centres, finite, inside, lattice, nodes_over


def test_a_lattice_goes_row_by_row():
    assert lattice([1, 2, 3], [10, 20]).tolist() == [[[1, 10], [2, 10], [3, 10]], [[1, 20], [2, 20], [3, 20]]]
    assert nodes_over(8, 4, 2).tolist() == [[0, 0], [8, 0], [0, 4], [8, 4]]


def test_cells_have_their_centres_inside():
    assert cell_centres(8, 3, 2, 1).tolist() == [[2, 1.5], [6, 1.5]]


def test_the_border_goes_round_once():
    ring = border(10, 4, 3)
    assert ring[:3].tolist() == [[0, 0], [5, 0], [10, 0]]
    assert len(ring) == 12 and ring[-1].tolist() == [0, 0]
    assert ((ring[:, 0] % 10 == 0) | (ring[:, 1] % 4 == 0)).all()


def test_what_is_not_finite_is_nowhere():
    xy = np.array([[0.0, 0.0], [10.0, 4.0], [10.1, 1.0], [5.0, -0.1], [np.nan, 1.0]])
    assert inside(xy, 10, 4).tolist() == [True, True, False, False, False]
    assert finite(xy).tolist() == [True, True, True, True, False]
