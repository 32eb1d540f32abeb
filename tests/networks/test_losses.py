"""The dense loss: least at the truth, blind to what is not covisible, and enough to learn from."""

from types import SimpleNamespace

import pytest
import torch

from tests.networks.test_xmatch import TINY
from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import cell_centres
from xmatch.networks.losses import charbonnier, coarse_loss, dense_loss, distance_px, truth_at
from xmatch.networks.xmatch.network import XMatch

SIZE = 64


def shifted_batch(shift_px: int, seed: int = 0) -> SimpleNamespace:
    """Moving is fixed moved to the left: fixed's pixel x lies at x - shift in moving."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, 1, SIZE // 4, SIZE // 4, generator=rng)
    scene = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic")
    warp = cell_centres(SIZE, SIZE, scene).expand(4, SIZE, SIZE, 2) - torch.tensor([2 * shift_px / SIZE, 0.0])
    covisible = (warp.abs() < 1).all(-1)
    valid = torch.ones(4, 1, SIZE, SIZE, dtype=torch.bool)
    moving = torch.roll(scene, -shift_px, 3)
    return SimpleNamespace(
        fixed=scene, moving=moving, fixed_valid=valid, moving_valid=valid, warp=warp, covisible=covisible
    )


def exact(batch, stride: int) -> torch.Tensor:
    return truth_at(batch.warp, batch.covisible, (SIZE, SIZE), stride).warp


def test_the_truth_of_a_cell_is_the_warp_of_its_centre():
    batch = shifted_batch(5)
    truth = truth_at(batch.warp, batch.covisible, (SIZE, SIZE), 8)
    expected = cell_centres(8, 8, batch.warp) - torch.tensor([10 / SIZE, 0.0])
    torch.testing.assert_close(truth.warp[0][truth.whole[0]], expected[truth.whole[0]])
    assert truth.whole[0, 0].tolist() == [False] + [True] * 7  # the first cell's left part leaves moving


def test_distances_are_pixels_of_moving():
    batch = shifted_batch(0)
    truth = truth_at(batch.warp, batch.covisible, (SIZE, SIZE), 4)
    off = truth.warp + torch.tensor([2 * 3 / SIZE, 2 * 4 / SIZE])
    torch.testing.assert_close(distance_px(off, truth), torch.full_like(truth.covisible, 5.0))


def test_the_charbonnier_of_roma_grows_as_a_root():
    far = charbonnier(torch.tensor([1.0, 4.0]))
    assert far[1] / far[0] == pytest.approx(2.0, rel=1e-3)
    assert charbonnier(torch.tensor(0.0)) == pytest.approx(0.03**0.5)


def test_the_coarse_loss_prefers_the_true_cell_and_shares_between_neighbours():
    batch = shifted_batch(8)  # one cell
    truth = truth_at(batch.warp, batch.covisible, (SIZE, SIZE), 8)
    cells = torch.arange(64)
    right, wrong = (torch.full((4, 64, 64), -12.0) for _ in range(2))
    right[:, cells, (cells - 1).clamp(min=0)] = -0.1
    wrong[:, cells, cells] = -0.1
    assert coarse_loss(right, truth, (8, 8)) < 0.2 < 10 < coarse_loss(wrong, truth, (8, 8))
    half = truth_at(shifted_batch(4).warp, shifted_batch(4).covisible, (SIZE, SIZE), 8)
    both = torch.full((4, 64, 64), -12.0)
    both[:, cells, cells] = both[:, cells, (cells - 1).clamp(min=0)] = -1.4
    assert coarse_loss(both, half, (8, 8)) == pytest.approx(1.4, abs=1e-3)


def test_what_moving_does_not_show_teaches_nothing_but_certainty():
    batch = shifted_batch(0)
    batch.covisible = torch.zeros_like(batch.covisible)
    scales = tuple(
        DenseWarp(s, torch.rand(4, SIZE // s, SIZE // s, 2), torch.zeros(4, SIZE // s, SIZE // s)) for s in (8, 8, 4)
    )
    losses = dense_loss(Prediction(scales, torch.rand(4, 64, 64), (scales[0].warp, exact(batch, 4))), batch).named()
    assert losses["coarse"] == losses["regression_8"] == losses["regression_4"] == 0
    assert losses["certainty_4"] == pytest.approx(0.6931, abs=1e-3)


def test_a_few_steps_on_one_batch_find_its_shift():
    torch.manual_seed(0)
    model, batch = XMatch(TINY), shifted_batch(8)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        found = model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, finest=4)
        losses = dense_loss(found, batch)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        errors.append(float(losses.finest_error_px))
    assert errors[0] > 10 and min(errors[-5:]) < 4


def test_a_refiner_is_not_taught_what_lies_beyond_its_window():
    """The guess is off by more than three cells in the right half, where the answer is wrong too."""
    batch = shifted_batch(0)
    guess, answer = exact(batch, 4).clone(), exact(batch, 4).clone()
    guess[:, :, 8:, 0] += 2 * 4 * 3.5 / SIZE
    answer[:, :, 8:, 0] += 2 * 4 * 5 / SIZE
    scales = tuple(
        DenseWarp(s, w, torch.zeros(4, SIZE // s, SIZE // s)) for s, w in ((8, exact(batch, 8)), (4, answer))
    )
    losses = dense_loss(Prediction(scales, torch.zeros(4, 64, 64), (guess,)), batch).named()
    assert losses["regression_4"] == pytest.approx(float(charbonnier(torch.tensor(0.0))), rel=1e-4)


def test_certainty_learns_whether_the_warp_is_right_and_not_only_whether_it_is_seen():
    batch = shifted_batch(0)
    wrong = exact(batch, 4) + 0.5
    sure = torch.full((4, 16, 16), 3.0)
    scales = (DenseWarp(8, exact(batch, 8), torch.zeros(4, 8, 8)), DenseWarp(4, wrong, sure))
    losses = dense_loss(Prediction(scales, torch.zeros(4, 64, 64), (exact(batch, 4),)), batch).named()
    assert losses["certainty_4"] > 3
