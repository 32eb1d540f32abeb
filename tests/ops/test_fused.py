"""The fused kernels against the reference, forward and backward: on the GPU where there is one, else interpreted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from correlation_cases import LARGE, SHAPES, case, in_double, with_gradients

pytest.importorskip("triton")

from xmatch.ops import fused, reference, windows
from xmatch.ops.correlation import local_correlation

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"
gpu_only = pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device")


def relative_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    return ((found.double() - truth).norm() / truth.norm().clamp_min(1e-12)).item()


@pytest.mark.parametrize("name", SHAPES)
def test_kernels_equal_the_reference(name):
    given = case(SHAPES[name], device=DEVICE)
    truth = with_gradients(reference.local_correlation, *in_double(given))
    for found, expected in zip(with_gradients(fused.local_correlation, *given), truth, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_every_number_of_the_result_is_written(monkeypatch):
    fixed, moving, warp, radius = case(SHAPES["several tiles"], device=DEVICE)
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, *size, **more: self.new_full(size, torch.nan, **more))
    assert fused.local_correlation(fixed, moving, warp, radius).isfinite().all()


def test_half_precision_features_are_summed_in_single_precision():
    given = case(SHAPES["several tiles"], torch.bfloat16, DEVICE)
    truth = with_gradients(reference.local_correlation, *in_double(given))
    for found, expected in zip(with_gradients(fused.local_correlation, *given), truth, strict=True):
        assert found.dtype == torch.bfloat16
        assert relative_error(found, expected) < 4e-3  # one rounding to 8 bits


def test_features_of_two_types_give_the_wider_one():
    fixed, moving, warp, radius = case(SHAPES["odd sizes"], device=DEVICE)
    result, to_fixed, to_moving = with_gradients(
        fused.local_correlation, fixed.detach().bfloat16().requires_grad_(), moving, warp, radius
    )
    assert (result.dtype, to_fixed.dtype, to_moving.dtype) == (torch.float32, torch.bfloat16, torch.float32)


def test_memory_layout_does_not_matter():
    fixed, moving, warp, radius = case(SHAPES["odd sizes"], device=DEVICE)
    plain = with_gradients(fused.local_correlation, fixed, moving, warp, radius)
    last = torch.channels_last
    turned = warp.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    strided = with_gradients(
        lambda a, b, w, r: fused.local_correlation(a.to(memory_format=last), b.to(memory_format=last), w, r),
        *(fixed, moving, turned, radius),
    )
    for one, other in zip(plain, strided, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_gradient_in_another_layout_is_read_right():
    fixed, moving, warp, radius = case(SHAPES["odd sizes"], device=DEVICE)
    result = fused.local_correlation(fixed, moving, warp, radius)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    plain = torch.autograd.grad(result, (fixed, moving), weights, retain_graph=True)
    strided = torch.autograd.grad(result, (fixed, moving), weights.to(memory_format=torch.channels_last))
    for one, other in zip(plain, strided, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("learned", [0, 1])
def test_one_side_may_be_without_gradient(learned):
    fixed, moving, warp, radius = case(SHAPES["odd sizes"], device=DEVICE)
    expected = with_gradients(reference.local_correlation, fixed, moving, warp, radius)[1 + learned]
    (fixed, moving)[1 - learned].requires_grad_(False)
    result = fused.local_correlation(fixed, moving, warp, radius)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    (found,) = torch.autograd.grad((result * weights).sum(), (fixed, moving)[learned])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_outside_is_zero_and_so_is_a_position_that_is_no_number():
    fixed, moving = torch.ones(1, 2, 1, 5, device=DEVICE), torch.ones(1, 2, 3, 3, device=DEVICE)
    far = [[-9.0, 0], [0, 1e30], [torch.nan, 0], [torch.inf, 0], [0, -torch.inf]]
    assert not fused.local_correlation(fixed, moving, torch.tensor(far, device=DEVICE).view(1, 1, 5, 2), 1).any()


def test_an_empty_batch_gives_an_empty_result():
    nothing = torch.zeros(0, 4, 3, 3, device=DEVICE)
    assert fused.local_correlation(nothing, nothing, torch.zeros(0, 3, 3, 2, device=DEVICE), 1).shape == (0, 9, 3, 3)


def test_kernels_compile_for_a_gpu_without_spilling_registers(tmp_path):
    script = Path(__file__).with_name("compile_kernels.py")
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, script, "1", "3"], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    stacks = json.loads(done.stdout)
    assert stacks == {"_forward 1": 0, "_backward 1": 0, "_forward 3": 0, "_backward 3": 0}


@gpu_only
@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.bfloat16, 4e-3)])
@pytest.mark.parametrize("shape", [LARGE, (2, 64, (56, 40), (48, 64), 3), (1, 32, (33, 70), (70, 33), 7)])
def test_large_inputs_on_the_gpu(shape, dtype, bound):
    given = case(shape, dtype, "cuda")
    truth = with_gradients(reference.local_correlation, *in_double(given))
    for found, expected in zip(with_gradients(local_correlation, *given), truth, strict=True):
        assert relative_error(found, expected) < bound


@gpu_only
def test_windows_work_on_the_gpu_too():
    given = case(LARGE, device="cuda")
    truth = with_gradients(reference.local_correlation, *in_double(given))
    for found, expected in zip(with_gradients(windows.local_correlation, *given), truth, strict=True):
        assert relative_error(found, expected) < 1e-5
