"""Grids of cells: affine warps stay affine when they are doubled, and their Jacobian is their matrix."""

import torch

from xmatch.networks.grids import cell_centres, doubled, jacobian

MATRIX = torch.tensor([[0.8, -0.3], [0.2, 1.1]])


def affine_warp(height: int, width: int) -> torch.Tensor:
    return cell_centres(height, width, MATRIX)[None] @ MATRIX.T + torch.tensor([0.1, -0.2])


def test_centres_of_two_cells_lie_half_way_to_the_edges():
    assert cell_centres(1, 2, MATRIX).tolist() == [[[-0.5, 0.0], [0.5, 0.0]]]


def test_doubling_an_affine_warp_gives_the_affine_warp_of_the_finer_grid_up_to_the_border():
    fine = doubled(affine_warp(5, 7).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(fine, affine_warp(10, 14), atol=1e-6, rtol=0)


def test_the_jacobian_of_a_turn_by_90_degrees_takes_right_to_down():
    # x' = -y, y' = x in cells of a square image.
    grid = cell_centres(6, 6, MATRIX)[None]
    turned = torch.stack([-grid[..., 1], grid[..., 0]], -1)
    inner = jacobian(turned, (6, 6))[0, :, 2, 3]
    torch.testing.assert_close(inner, torch.tensor([0.0, 1.0, -1.0, 0.0]))
