"""Tensor operations with more than one implementation: what is asked for stands here, how it is done beside it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor

Correlation = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def local_correlation(fixed: Tensor, moving: Tensor, warp: Tensor, radius: int) -> Tensor:
    """How alike each cell of fixed is to the cells of moving around the place where `warp` sends it.

    out[b, k, y, x] = < fixed[b, :, y, x], moving[b, :] sampled at warp[b, y, x] + (dx, dy) > / sqrt(C) as in RoMa
    (Edstedt et al. 2024), with bilinear sampling, zeros outside moving, and offsets of whole cells of moving:
    k = (dy + radius) (2 radius + 1) + dx + radius, for dx and dy from -radius to radius.

    Gradients reach both feature maps, none reaches the warp. Sums are kept in float32 at least, inside autocast too;
    the result has the type that fixed and moving share.

    Args:
        fixed: (B, C, H, W) features.
        moving: (B, C, H2, W2) features.
        warp: (B, H, W, 2) position (x, y) in moving, normalised so that its outer edges lie at -1 and 1
            (align_corners=False). Any value is allowed; a position that is not a number counts as outside.
        radius: cells, 0 or more.

    Returns:
        (B, (2 radius + 1)^2, H, W).

    Raises:
        ValueError: shapes do not fit together, or the radius is negative.
    """
    batch, channels, height, width = fixed.shape
    if moving.shape[:2] != (batch, channels) or warp.shape != (batch, height, width, 2):
        shapes = f"fixed {tuple(fixed.shape)}, moving {tuple(moving.shape)}, warp {tuple(warp.shape)}"
        raise ValueError(f"{shapes} do not fit (B, C, H, W), (B, C, H2, W2), (B, H, W, 2)")
    if radius < 0:
        raise ValueError(f"radius {radius} is negative")
    with torch.autocast(fixed.device.type, enabled=False):
        return _implementation(fixed)(fixed, moving, warp.detach(), radius)


def _implementation(fixed: Tensor) -> Correlation:
    """The quickest one that can run where the tensors are and as exactly as is asked for.

    On the GPU that is the fused kernel, which keeps no sampled features. Triton comes with torch's CUDA builds for
    Linux, not with others; the kernel sums in single precision, and its gradient to moving in no fixed order.
    Elsewhere all offsets share one window of whole cells: on one CPU core two to four times as quick as the reference
    forward, seven to sixteen times backward (benchmarks/local_correlation.py). The reference is there to test both, and
    for files that other programs run.
    """
    if torch.onnx.is_in_onnx_export():  # operators that other programs have
        from xmatch.ops import reference

        return reference.local_correlation
    may_vary = fixed.dtype != torch.float64 and not torch.are_deterministic_algorithms_enabled()
    if fixed.is_cuda and may_vary and importlib.util.find_spec("triton") is not None:
        from xmatch.ops import fused

        return fused.local_correlation
    from xmatch.ops import windows

    return windows.local_correlation
