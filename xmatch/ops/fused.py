"""Local correlation in one kernel each way, for CUDA, in Triton, whose interpreter runs it on the CPU for tests.

The same idea as in `xmatch.ops.windows`: products with whole cells, blended once by the bilinear weights. A program
takes a tile of fixed cells and keeps the products of their windows in registers while it goes through the channels;
nothing but features, warp and result touches device memory. The lanes of a warp lie along the window, whose rows are
contiguous in moving, however the warp is turned; tiles are square rather than rows, so that the windows of a tile
overlap and hit the cache. Moving gets a border of zeros as wide as a window, which spares every load its test.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

_WARPS = 4
_PRODUCTS = 8
"""Products a thread. With the addresses that belong to them, 32 would spill registers (compiled for sm_90)."""


def local_correlation(fixed: Tensor, moving: Tensor, warp: Tensor, radius: int) -> Tensor:
    """As `xmatch.ops.correlation.local_correlation`, in single precision at most.

    The gradient to moving is summed in no fixed order, so that its last bits differ from run to run.
    """
    kept = torch.promote_types(fixed.dtype, moving.dtype)
    border = 2 * radius + 2
    padded = F.pad(moving, (border,) * 4).contiguous()  # padding keeps channels last
    return _Correlation.apply(fixed.contiguous(), padded, warp.float().contiguous(), radius, kept)


class _Correlation(torch.autograd.Function):
    """fixed (B, C, H, W), moving with its border (B, C, H2 + 2s, W2 + 2s), warp (B, H, W, 2), all contiguous."""

    @staticmethod
    def forward(ctx: Any, fixed: Tensor, padded: Tensor, warp: Tensor, radius: int, kept: torch.dtype) -> Tensor:
        batch, _, height, width = fixed.shape
        ctx.save_for_backward(fixed, padded, warp)
        ctx.radius = radius
        result = fixed.new_empty(batch, (2 * radius + 1) ** 2, height, width, dtype=kept)
        if result.numel():
            grid, options = _launch(fixed, padded, radius)
            _forward[grid](fixed, padded, warp, result, **options)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        fixed, padded, warp = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        to_fixed = torch.zeros_like(fixed)
        # Added up by many programs at once, hence in single precision whatever the features are.
        to_moving = torch.zeros_like(padded, dtype=torch.float32)
        if gradient.numel():
            grid, options = _launch(fixed, padded, ctx.radius)
            options |= {"for_fixed": wanted[0], "for_moving": wanted[1]}
            _backward[grid](fixed, padded, warp, gradient.contiguous(), to_fixed, to_moving, **options)
        return to_fixed if wanted[0] else None, to_moving.to(padded.dtype) if wanted[1] else None, None, None, None


def _launch(fixed: Tensor, padded: Tensor, radius: int) -> tuple[tuple[int, int], dict[str, Any]]:
    """Grid (tiles, images) and the arguments that both kernels share."""
    batch, channels, height, width = fixed.shape
    products = triton.next_power_of_2((2 * radius + 2) ** 2)
    cells = max(8, 32 * _WARPS * _PRODUCTS // products)
    tile_width = 8 if cells >= 64 else 4
    tile_height = cells // tile_width
    tiles = triton.cdiv(height, tile_height) * triton.cdiv(width, tile_width)
    options = {
        "channels": channels,
        "height": height,
        "width": width,
        "padded_height": padded.shape[2],
        "padded_width": padded.shape[3],
        "scale": channels**-0.5,
        "radius": radius,
        "products": products,
        "results": triton.next_power_of_2((2 * radius + 1) ** 2),
        "tile_height": tile_height,
        "tile_width": tile_width,
        "num_warps": _WARPS,
    }
    return (tiles, batch), options


@triton.jit
def _tile(warp, height, width, padded_height, padded_width, radius, tile_height, tile_width):
    """Of each cell of this program's tile: index in the plane of fixed, whether it exists, index of its window's first
    cell in the plane of padded moving, bilinear fractions."""
    tile, image = tl.program_id(0), tl.program_id(1).to(tl.int64)
    across = tl.cdiv(width, tile_width)
    local = tl.arange(0, tile_height * tile_width)
    y = tile // across * tile_height + local // tile_width
    x = tile % across * tile_width + local % tile_width
    inside = (y < height) & (x < width)
    index = y * width + x
    position = warp + (image * height * width + index) * 2
    border: tl.constexpr = 2 * radius + 2
    cell_x, fraction_x = _cell(tl.load(position, inside, 0.0), padded_width - 2 * border, radius)
    cell_y, fraction_y = _cell(tl.load(position + 1, inside, 0.0), padded_height - 2 * border, radius)
    first = (cell_y + border - radius).to(tl.int64) * padded_width + cell_x + border - radius
    return index, inside, first, fraction_x, fraction_y


@triton.jit
def _cell(position, length, radius):
    """Normalised coordinate -> whole cell at or before it, and fraction; far outside it stops where no window reaches
    the image. As `xmatch.ops.windows.cells`."""
    cell = ((position + 1) * length - 1) / 2
    cell = tl.where(cell == cell, cell, -radius - 1.0)  # not a number
    cell = tl.minimum(tl.maximum(cell, -radius - 1.0), length + radius + 0.0)
    whole = tl.floor(cell)
    return whole.to(tl.int32), cell - whole


@triton.jit
def _forward(
    fixed, moving, warp, result,
    channels, height, width, padded_height, padded_width, scale,
    radius: tl.constexpr, products: tl.constexpr, results: tl.constexpr,
    tile_height: tl.constexpr, tile_width: tl.constexpr,
):  # fmt: skip
    index, inside, first, fraction_x, fraction_y = _tile(
        warp, height, width, padded_height, padded_width, radius, tile_height, tile_width
    )
    side: tl.constexpr = 2 * radius + 2
    k = tl.arange(0, products)
    window = first[None, :] + (k // side * padded_width + k % side)[:, None]
    used = (k < side * side)[:, None] & inside[None, :]
    image = tl.program_id(1).to(tl.int64)
    fixed_plane = fixed + image * channels * height * width
    moving_plane = moving + image * channels * padded_height * padded_width
    whole = tl.zeros((products, tile_height * tile_width), tl.float32)
    for _ in range(channels):
        own = tl.load(fixed_plane + index, inside, 0.0).to(tl.float32)
        whole += own[None, :] * tl.load(moving_plane + window, used, 0.0).to(tl.float32)
        fixed_plane += height * width
        moving_plane += padded_height * padded_width

    span: tl.constexpr = side - 1
    offset = tl.arange(0, results)
    exists = offset < span * span
    # (dy, dx) of the result -> its four cells of the window; those of the padding of `offset` are never stored.
    corner = tl.where(exists, offset // span * side + offset % span, 0)
    corner = tl.broadcast_to(corner[:, None], (results, tile_height * tile_width))
    upper = _lerp(tl.gather(whole, corner, 0), tl.gather(whole, corner + 1, 0), fraction_x)
    lower = _lerp(tl.gather(whole, corner + side, 0), tl.gather(whole, corner + side + 1, 0), fraction_x)
    blended = _lerp(upper, lower, fraction_y) * scale
    target = result + image * span * span * height * width + offset[:, None] * (height * width) + index[None, :]
    tl.store(target, blended.to(result.dtype.element_ty), exists[:, None] & inside[None, :])


@triton.jit
def _lerp(start, end, fraction):
    return start + fraction[None, :] * (end - start)


@triton.jit
def _backward(
    fixed, moving, warp, gradient, to_fixed, to_moving,
    channels, height, width, padded_height, padded_width, scale,
    radius: tl.constexpr, products: tl.constexpr, results: tl.constexpr,
    tile_height: tl.constexpr, tile_width: tl.constexpr,
    for_fixed: tl.constexpr, for_moving: tl.constexpr,
):  # fmt: skip
    index, inside, first, fraction_x, fraction_y = _tile(
        warp, height, width, padded_height, padded_width, radius, tile_height, tile_width
    )
    side: tl.constexpr = 2 * radius + 2
    span: tl.constexpr = side - 1
    k = tl.arange(0, products)
    row, column = k // side, k % side
    window = first[None, :] + (row * padded_width + column)[:, None]
    used = (k < side * side)[:, None] & inside[None, :]
    image = tl.program_id(1).to(tl.int64)

    # The gradient of each product with a whole cell: of the four results that it was blended into.
    weights = tl.zeros((products, tile_height * tile_width), tl.float32)
    source = gradient + image * span * span * height * width
    for dy in tl.static_range(2):
        for dx in tl.static_range(2):
            share_y = fraction_y if dy else 1 - fraction_y
            share_x = fraction_x if dx else 1 - fraction_x
            y, x = row - dy, column - dx
            exists = (y >= 0) & (y < span) & (x >= 0) & (x < span)
            place = source + (y * span + x)[:, None] * (height * width) + index[None, :]
            value = tl.load(place, exists[:, None] & inside[None, :], 0.0).to(tl.float32)
            weights += value * (share_y * share_x)[None, :]
    weights *= scale

    fixed_plane = image * channels * height * width
    moving_plane = image * channels * padded_height * padded_width
    for _ in range(channels):
        if for_fixed:
            there = tl.load(moving + moving_plane + window, used, 0.0).to(tl.float32)
            own = tl.sum(weights * there, 0)
            tl.store(to_fixed + fixed_plane + index, own.to(to_fixed.dtype.element_ty), inside)
        if for_moving:
            own = tl.load(fixed + fixed_plane + index, inside, 0.0).to(tl.float32)
            tl.atomic_add(to_moving + moving_plane + window, weights * own[None, :], used, sem="relaxed")
        fixed_plane += height * width
        moving_plane += padded_height * padded_width
