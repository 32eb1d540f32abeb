"""Inputs of local correlation, and what is compared: the result and both gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SHAPES = {  # batch, channels, fixed size, moving size, radius
    "one cell": (1, 1, (1, 1), (1, 1), 1),
    "no neighbours": (2, 3, (4, 5), (4, 5), 0),
    "odd sizes": (2, 5, (7, 3), (5, 9), 2),
    "window wider than moving": (1, 8, (6, 6), (3, 2), 4),
    "several tiles": (2, 6, (9, 14), (8, 11), 3),
}
LARGE = (3, 70, (17, 13), (11, 19), 3)
"""More than one part of `windows`; too much for Triton's interpreter."""


def case(
    shape: tuple, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor, Tensor, int]:
    """fixed, moving, a warp that leaves the image at a third of the cells, radius."""
    batch, channels, size, moving_size, radius = shape
    rng = torch.Generator().manual_seed(channels)
    fixed = torch.randn(batch, channels, *size, generator=rng).to(device, dtype).requires_grad_()
    moving = torch.randn(batch, channels, *moving_size, generator=rng).to(device, dtype).requires_grad_()
    warp = 1.5 * (2 * torch.rand(batch, *size, 2, generator=rng) - 1)
    return fixed, moving, warp.to(device), radius


def in_double(given: tuple[Tensor, Tensor, Tensor, int]) -> tuple[Tensor, Tensor, Tensor, int]:
    """The same inputs for a more exact answer."""
    fixed, moving, warp, radius = given
    return *(x.detach().double().requires_grad_() for x in (fixed, moving)), warp.double(), radius


def with_gradients(function: Callable, fixed: Tensor, moving: Tensor, warp: Tensor, radius: int) -> tuple[Tensor, ...]:
    """Result and both gradients of its sum with fixed random weights."""
    result = function(fixed, moving, warp, radius)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(3)).to(result)
    return (result, *torch.autograd.grad((result * weights).sum(), (fixed, moving)))
