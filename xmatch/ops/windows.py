"""Local correlation by windows of whole cells, for the CPU.

All (2r + 1)^2 samples around one position share its bilinear fraction, and sampling commutes with the dot product:

    correlations with the (2r + 2)^2 whole cells around the position, then blended by the four bilinear weights

are the same numbers, for a quarter of the reads. With channels last and a border of zeros around moving, a row of a
window is one contiguous run of memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK = 2**19
"""Numbers gathered at once: 2 MiB in float32 stay in the cache between gathering and multiplying."""


def local_correlation(fixed: Tensor, moving: Tensor, warp: Tensor, radius: int) -> Tensor:
    """As `xmatch.ops.correlation.local_correlation`."""
    batch, channels, height, width = fixed.shape
    side = 2 * radius + 2
    kept = torch.promote_types(fixed.dtype, moving.dtype)
    exact = torch.promote_types(kept, torch.float32)
    cell = cells(warp.to(exact), (moving.shape[-2], moving.shape[-1]), radius)
    corner = cell.floor()
    # The first cell of a window lies `radius` before the corner; a border of `side` keeps it inside.
    first = (corner.long() + (side - radius)).view(batch, height * width, 2)
    padded = F.pad(moving.to(exact).permute(0, 2, 3, 1), (0, 0, side, side, side, side))
    rows, columns = padded.shape[1:3]
    image = torch.arange(batch, device=warp.device)[:, None]
    first = ((image * rows + first[..., 1]) * columns + first[..., 0]).view(-1, 1)
    starts = first + columns * torch.arange(side, device=warp.device)
    scaled = (fixed.to(exact) / channels**0.5).permute(0, 2, 3, 1).reshape(-1, channels)
    # Without .contiguous() a batch of one would stay a strided view, for which the products take three times as long.
    whole = _WindowProducts.apply(scaled.contiguous(), padded.reshape(-1, channels).contiguous(), starts)
    blended = _blend(whole.view(-1, side, side), (cell - corner).reshape(-1, 2))
    return blended.view(batch, height, width, (side - 1) ** 2).permute(0, 3, 1, 2).to(kept)


def cells(warp: Tensor, size: tuple[int, int], radius: int) -> Tensor:
    """Positions counted in cells, the centre of the first at 0; those too far outside to see any cell are clamped.

    Args:
        warp: (..., 2) normalised positions, align_corners=False.
        size: height and width of moving.
        radius: reach of the offsets, cells.

    Returns:
        (..., 2), x in [-radius - 1, W + radius] and y likewise.
    """
    extent = warp.new_tensor([size[1], size[0]])
    cell = ((warp + 1) * extent - 1) / 2
    return cell.nan_to_num(nan=-torch.inf).clamp(min=-radius - 1).minimum(extent + radius)


def _blend(whole: Tensor, fraction: Tensor) -> Tensor:
    """(N, s, s) products with whole cells and (N, 2) fractions (x, y) in [0, 1) -> (N, (s - 1)^2)."""
    fraction_x, fraction_y = fraction[:, 0, None, None], fraction[:, 1, None, None]
    across = torch.lerp(whole[:, :, :-1], whole[:, :, 1:], fraction_x)
    return torch.lerp(across[:, :-1], across[:, 1:], fraction_y).flatten(1)


class _WindowProducts(torch.autograd.Function):
    """Products of N vectors with the s x s cells of a window each: fixed (N, C), cells (M, C), starts (N, s): index of
    the first cell in each row of the window -> (N, s^2)."""

    @staticmethod
    def forward(ctx: Any, fixed: Tensor, moving: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(fixed, moving, starts)
        products = fixed.new_empty(len(fixed), starts.shape[1] ** 2)
        for part in _parts(fixed, starts):
            window = _gather(moving, starts[part])
            products[part] = torch.bmm(window, fixed[part, :, None])[..., 0]
        return products

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        fixed, moving, starts = ctx.saved_tensors
        to_fixed = torch.empty_like(fixed) if ctx.needs_input_grad[0] else None
        to_moving = torch.zeros_like(moving) if ctx.needs_input_grad[1] else None
        columns = torch.arange(starts.shape[1], device=starts.device)
        for part in _parts(fixed, starts):
            weights = gradient[part]
            if to_fixed is not None:
                to_fixed[part] = torch.bmm(weights[:, None], _gather(moving, starts[part]))[:, 0]
            if to_moving is not None:
                where = (starts[part, :, None] + columns).flatten()
                to_moving.index_add_(0, where, (weights[:, :, None] * fixed[part, None]).flatten(0, 1))
        return to_fixed, to_moving, None


def _parts(fixed: Tensor, starts: Tensor) -> list[slice]:
    step = max(1, _CHUNK // (fixed.shape[1] * starts.shape[1] ** 2))
    return [slice(start, start + step) for start in range(0, len(fixed), step)]


def _gather(moving: Tensor, starts: Tensor) -> Tensor:
    """(n, s) starts -> (n, s^2, C) cells; runs of s cells overlap in memory, nothing is copied before the gathering."""
    side, channels = starts.shape[1], moving.shape[1]
    runs = moving.as_strided((len(moving) - side + 1, side * channels), (channels, 1))
    return runs.index_select(0, starts.flatten()).view(len(starts), side * side, channels)
