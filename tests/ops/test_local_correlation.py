"""Local correlation: what its numbers mean, and that every implementation gives the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from correlation_cases import LARGE, SHAPES, case, in_double, with_gradients

import xmatch.ops.correlation
from xmatch.ops import reference, windows
from xmatch.ops.correlation import local_correlation


def identity(height: int, width: int) -> torch.Tensor:
    """(1, H, W, 2): the normalised centre of every cell."""
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def test_offsets_run_along_rows_first():
    fixed, moving = torch.ones(1, 1, 5, 5), torch.arange(25.0).view(1, 1, 5, 5)
    window = local_correlation(fixed, moving, identity(5, 5), 1)[0, :, 2, 2]
    assert window.tolist() == pytest.approx([6, 7, 8, 11, 12, 13, 16, 17, 18], abs=1e-4)


def test_one_half_cell_blends_two_neighbours():
    fixed, moving = torch.ones(1, 1, 1, 4), torch.tensor([10.0, 20, 40, 80]).view(1, 1, 1, 4)
    warp = identity(1, 4) + torch.tensor([0.25, 0.0])  # half of a cell of width 2 / 4
    assert local_correlation(fixed, moving, warp, 0).flatten().tolist() == pytest.approx([15, 30, 60, 40], abs=1e-4)


def test_products_are_divided_by_the_root_of_the_channels():
    assert local_correlation(torch.ones(1, 16, 1, 1), torch.ones(1, 16, 1, 1), identity(1, 1), 0).item() == 4


def test_outside_is_zero_and_so_is_a_position_that_is_no_number():
    fixed, moving = torch.ones(1, 2, 1, 5), torch.ones(1, 2, 3, 3)
    far = torch.tensor([[-9.0, 0], [0, 1e30], [torch.nan, 0], [torch.inf, 0], [0, -torch.inf]]).view(1, 1, 5, 2)
    for function in (local_correlation, reference.local_correlation):
        assert not function(fixed, moving, far, 1).any()


@pytest.mark.parametrize("shape", [*SHAPES.values(), LARGE])
def test_windows_equal_the_reference_in_double_precision(shape):
    given = case(shape, torch.float64)
    found = with_gradients(windows.local_correlation, *given)
    expected = with_gradients(reference.local_correlation, *given)
    for value, truth in zip(found, expected, strict=True):
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, truth, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [*SHAPES.values(), LARGE])
def test_single_precision_loses_no_more_than_rounding(shape):
    given = case(shape)
    exact = with_gradients(reference.local_correlation, *in_double(given))
    for value, truth in zip(with_gradients(local_correlation, *given), exact, strict=True):
        torch.testing.assert_close(value.double(), truth, rtol=0, atol=1e-5)


def test_gradients_are_those_of_the_function():
    fixed, moving, warp, radius = case((1, 2, (3, 2), (2, 3), 1), torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: local_correlation(a, b, warp, radius), (fixed, moving))


def test_no_gradient_reaches_the_warp():
    fixed, moving, warp, radius = case(SHAPES["odd sizes"])
    warp.requires_grad_()
    local_correlation(fixed, moving, warp, radius).sum().backward()
    assert warp.grad is None and fixed.grad is not None and moving.grad is not None


@pytest.mark.parametrize("learned", ["fixed", "moving"])
def test_one_side_may_be_without_gradient(learned):
    fixed, moving, warp, radius = case(SHAPES["odd sizes"])
    both = with_gradients(local_correlation, fixed, moving, warp, radius)
    other = moving if learned == "fixed" else fixed
    other.requires_grad_(False)
    result = local_correlation(fixed, moving, warp, radius)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((result * weights).sum(), fixed if learned == "fixed" else moving)
    assert torch.equal(gradient, both[1 if learned == "fixed" else 2])


def test_memory_layout_does_not_matter():
    fixed, moving, warp, radius = case(LARGE)
    plain = local_correlation(fixed, moving, warp, radius)
    turned = warp.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    channels_last = fixed.to(memory_format=torch.channels_last)
    torch.testing.assert_close(local_correlation(channels_last, moving, turned, radius), plain, rtol=0, atol=1e-6)
    alone = local_correlation(fixed[1:2], moving[1:2], warp[1:2], radius)
    torch.testing.assert_close(alone, plain[1:2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_summed_in_single_precision(dtype):
    fixed, moving, warp, radius = case(LARGE, dtype)
    result = local_correlation(fixed, moving, warp, radius)
    exact = local_correlation(fixed.float(), moving.float(), warp, radius)
    assert result.dtype == dtype
    assert torch.equal(result, exact.to(dtype))


def test_autocast_does_not_lower_the_precision():
    fixed, moving, warp, radius = case(LARGE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = local_correlation(fixed, moving, warp, radius)
    assert torch.equal(inside, local_correlation(fixed, moving, warp, radius))


def test_an_empty_batch_gives_an_empty_result():
    nothing = torch.zeros(0, 4, 3, 3)
    assert local_correlation(nothing, nothing, torch.zeros(0, 3, 3, 2), 1).shape == (0, 9, 3, 3)


@pytest.mark.parametrize("moving_shape, warp_shape, radius", [
    ((2, 5, 3, 3), (2, 3, 3, 2), 1), ((2, 4, 3, 3), (2, 3, 2, 2), 1), ((2, 4, 3, 3), (2, 3, 3, 2), -1),
])  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(moving_shape, warp_shape, radius):
    with pytest.raises(ValueError):
        local_correlation(torch.zeros(2, 4, 3, 3), torch.zeros(moving_shape), torch.zeros(warp_shape), radius)


@pytest.mark.parametrize("is_cuda, dtype, expected", [
    (False, torch.float32, "windows"), (True, torch.float64, "windows"),
    (True, torch.float32, "fused"), (True, torch.bfloat16, "fused"),
])  # fmt: skip
def test_the_kernel_is_for_the_gpu_in_single_precision(is_cuda, dtype, expected):
    pytest.importorskip("triton")
    chosen = xmatch.ops.correlation._implementation(SimpleNamespace(is_cuda=is_cuda, dtype=dtype))
    assert chosen.__module__ == f"xmatch.ops.{expected}"


def test_who_asks_for_reproducible_sums_gets_them():
    torch.use_deterministic_algorithms(True)
    try:
        chosen = xmatch.ops.correlation._implementation(SimpleNamespace(is_cuda=True, dtype=torch.float32))
    finally:
        torch.use_deterministic_algorithms(False)
    assert chosen is windows.local_correlation


def test_without_triton_the_gpu_uses_windows(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    chosen = xmatch.ops.correlation._implementation(SimpleNamespace(is_cuda=True, dtype=torch.float32))
    assert chosen is windows.local_correlation
