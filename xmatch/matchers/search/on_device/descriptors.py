"""Descriptors of many images at once: what `search.descriptors` and `search.pooled_descriptors` make of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xmatch.geometry.masked import LEAST_COVER
from xmatch.matchers.search.descriptors import (
    NEIGHBOURHOOD_PX,
    NOISE_FLOOR,
    ORDERS,
    SMOOTHING_PX,
    STRONGEST,
    TRUSTED_RIM_PX,
    WEIGHTS,
)
from xmatch.matchers.search.pooled_descriptors import AMOUNT, AROUND_PX, CELL_PX, LARGE_PX
from xmatch.ops.frames import Frames, Sizes, affine_looked_up, along_both, cut, gradients, resizing, shrunk, uploaded
from xmatch.raster import View


@dataclass(frozen=True, eq=False)
class DescriptorMaps:
    """N `DescriptorMap`s, each in the top left of its frame; beyond it all is 0."""

    planes: Tensor
    """(N, 2 k, H, W)."""
    valid: Tensor
    """(N, H, W)."""
    sizes: Sizes
    """(N, 2) height and width of each, in the units of the planes: px or cells."""
    orders: tuple[int, ...] = ORDERS

    def of(self, which: NDArray[np.int64]) -> DescriptorMaps:
        """Those at the places (M,), in frames no larger than they need."""
        sizes = self.sizes[which]
        rows, columns = (int(n) for n in sizes.max(axis=0))
        index = uploaded(which, self.planes.device)
        planes, valid = self.planes[:, :, :rows, :columns][index], self.valid[:, :rows, :columns][index]
        return replace(self, planes=planes, valid=valid, sizes=sizes)


def stacked(maps: Sequence[DescriptorMaps]) -> DescriptorMaps:
    """Those of one frame size in one."""
    planes, valid = torch.cat([one.planes for one in maps]), torch.cat([one.valid for one in maps])
    return replace(maps[0], planes=planes, valid=valid, sizes=np.concatenate([one.sizes for one in maps]))


@dataclass(frozen=True, eq=False)
class Views:
    """Views on a device."""

    images: Tensor
    """(N, 2, H, W) values, 0 where not valid, and validity."""
    sizes: Sizes

    @staticmethod
    def of(views: Sequence[View], device: torch.device) -> Views:
        sizes = np.array([(view.height, view.width) for view in views], np.int64)
        shape, on_gpu = (len(views), *sizes.max(axis=0).tolist()), device.type == "cuda"
        images, valid = (torch.zeros(shape, dtype=kind, pin_memory=on_gpu) for kind in (torch.float32, torch.bool))
        for image, shown, view in zip(images.numpy(), valid.numpy(), views, strict=True):
            image[: view.height, : view.width] = view.image
            shown[: view.height, : view.width] = view.valid
        images, valid = (x.to(device, non_blocking=True) for x in (images, valid))
        return Views(torch.stack([torch.where(valid, images, 0.0), valid.float()], 1), sizes)

    def resized(
        self, which: NDArray[np.int64], sizes: Sizes, shrinks: NDArray[np.bool_]
    ) -> tuple[Frames, Tensor, Tensor]:
        """Frames, images (M, H, W) and validity of the views `which` (M,) at `sizes` (M, 2), as `fourier.resized`."""
        device = self.images.device
        frames = Frames.around(sizes, device)
        given = self.sizes[which]
        rows, columns = (
            resizing(given[:, axis], sizes[:, axis], self.images.shape[2 + axis], frames.shape[axis], shrinks, device)
            for axis in (0, 1)
        )
        weighted = self.images[uploaded(which, device)]
        image, cover = along_both(rows, weighted, columns).unbind(1)
        return frames, image / cover.clamp_min(float(LEAST_COVER)), cover > 0.5


def bytes_of_views(fixed: View, moving: View) -> int:
    """That `Views` of a pair take in frames of one size: two planes of single precision, what they are made from, and
    that as it comes from the host."""
    side = max(fixed.width, fixed.height, moving.width, moving.height)
    return 2 * (2 * 8 + 5) * side**2


Describe = Callable[[Frames, Tensor, Tensor], DescriptorMaps]
"""From images (N, H, W) in frames, and where they are valid, to descriptors."""


def described(
    views: Views,
    which: NDArray[np.int64],
    sizes: Sizes,
    shrinks: NDArray[np.bool_],
    describe: Describe,
    cell_px: int = 1,
) -> Callable[[NDArray[np.int64]], DescriptorMaps]:
    """Descriptors of the views `which` (N,) at `sizes` (N, 2), what is asked for twice made once; by their places in N.

    Args:
        cell_px: px of a cell of the descriptors.
    """
    # Alike ones side by side: the frames of a part are as large as its largest.
    keys, place = np.unique(np.column_stack([sizes.max(axis=1), which, sizes, shrinks]), axis=0, return_inverse=True)
    device = views.images.device
    rows, columns = (int(n) for n in -(-sizes.max(axis=0) // cell_px))
    planes, valid, made = [], [], []
    # About thirty images of a frame's size are alive at once, and half as many matrices.
    for start, stop in cut(4 * 60 * keys[:, 0] ** 2 + 8 * views.images[0].numel(), device):
        key = keys[start:stop]
        maps = describe(*views.resized(key[:, 1], key[:, 2:4], key[:, 4].astype(bool)))
        rest = (0, columns - maps.planes.shape[-1], 0, rows - maps.planes.shape[-2])
        planes.append(F.pad(maps.planes, rest))
        valid.append(F.pad(maps.valid, rest))
        made.append(maps)
    every = DescriptorMaps(
        torch.cat(planes), torch.cat(valid), np.concatenate([maps.sizes for maps in made]), made[0].orders
    )
    return lambda asked: every.of(place[asked])


def edge_descriptors(frames: Frames, image: Tensor, valid: Tensor, orders: int = 2) -> DescriptorMaps:
    """As `search.descriptors.edge_descriptors`: images (N, H, W) in [0, 1], valid (N, H, W) bool."""
    root = _smooth(frames, _rooted(frames, image, valid, 4 * SMOOTHING_PX), SMOOTHING_PX)
    gx, gy = (gradient / 32 for gradient in gradients(root))
    trusted = shrunk(valid.float(), TRUSTED_RIM_PX)
    squared = (gx * gx + gy * gy) * trusted
    around = mean_around(frames, squared, trusted, NEIGHBOURHOOD_PX)
    strength = squared.sqrt() / (around.sqrt() + NOISE_FLOOR * _mean(squared, trusted).sqrt() + 1e-6)
    strength = strength.sqrt().clamp_max(STRONGEST) * trusted
    length = squared.sqrt() + 1e-9
    cos1, sin1 = gx * trusted / length, gy * trusted / length
    cos2, sin2 = cos1 * cos1 - sin1 * sin1, 2 * cos1 * sin1
    parts = [strength * cos2, strength * sin2]
    if orders > 1:
        weighted = strength * float(np.sqrt(WEIGHTS[1]))
        parts += [weighted * (cos2 * cos2 - sin2 * sin2), weighted * (2 * cos2 * sin2)]
    return DescriptorMaps(torch.stack(parts, 1), trusted, frames.sizes, ORDERS[:orders])


def pooled_edge_descriptors(frames: Frames, image: Tensor, valid: Tensor) -> DescriptorMaps:
    """As `search.pooled_descriptors.pooled_edge_descriptors`, sizes in cells."""
    fine = edge_descriptors(frames, image, valid, orders=1)
    amounts = torch.hypot(fine.planes[:, 0], fine.planes[:, 1]), _large(frames, image, valid, fine.valid)
    planes = [
        AMOUNT * (amount - mean_around(frames, amount, fine.valid, around)) * fine.valid
        for amount, around in zip(amounts, AROUND_PX, strict=True)
    ]
    stacked = torch.cat([fine.planes, torch.stack([*planes, fine.valid], 1)], 1)
    rest = [-n % CELL_PX for n in frames.shape]
    pooled = F.avg_pool2d(F.pad(stacked, (0, rest[1], 0, rest[0])), CELL_PX)
    return DescriptorMaps(pooled[:, :-1], pooled[:, -1], -(-frames.sizes // CELL_PX), (*fine.orders, 0))


def centred(source: DescriptorMaps) -> DescriptorMaps:
    """As `search.descriptors.centred`."""
    mean = source.planes.sum((2, 3)) / source.valid.sum((1, 2)).clamp_min(1.0)[:, None]
    return replace(source, planes=source.planes - mean[..., None, None] * source.valid[:, None])


def blurred(frames: Frames, source: DescriptorMaps, sigma_px: float) -> DescriptorMaps:
    """As `search.descriptors.blurred`."""
    if sigma_px <= 0:
        return source
    smooth = frames.smoothed(torch.cat([source.planes, source.valid[:, None]], 1), sigma_px)
    return replace(source, planes=smooth[:, :-1] / smooth[:, -1:].clamp_min(float(LEAST_COVER)))


def warped(source: DescriptorMaps, matrices: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """As `search.descriptors.warped`, each of the N by K maps.

    Args:
        matrices: (N, K, 3, 3) affine maps, centre-counted.
        shape: (height, width) of the result.

    Returns:
        Planes (N, 2 k, K, height, width) and validity (N, K, height, width).
    """
    a, b, c, d = (matrices[..., i, j] for i in (0, 1) for j in (0, 1))
    mirrored = a * d - b * c < 0
    angle = torch.where(mirrored, torch.atan2(c + b, a - d), torch.atan2(c - b, a + d))
    seen = affine_looked_up(torch.cat([source.planes, source.valid[:, None]], 1), inverse(matrices)[..., :2, :], shape)
    mixed = []
    for k, order in enumerate(source.orders):
        real, imaginary = seen[:, 2 * k], seen[:, 2 * k + 1]
        if order:
            cos, sin = (f(order * angle).to(seen.dtype)[..., None, None] for f in (torch.cos, torch.sin))
            sign = torch.where(mirrored, -1.0, 1.0).to(seen.dtype)[..., None, None]
            real, imaginary = cos * real - sign * sin * imaginary, sin * real + sign * cos * imaginary
        mixed += [real, imaginary]
    return torch.stack(mixed, 1), seen[:, -1]


def inverse(matrices: Tensor) -> Tensor:
    """(..., 3, 3) inverse affine maps: no library is asked, which would wait for the device to say if there are any."""
    a, b, c, d = (matrices[..., i, j] for i in (0, 1) for j in (0, 1))
    turn = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2) / (a * d - b * c)[..., None, None]
    result = torch.zeros_like(matrices)
    result[..., :2, :2] = turn
    result[..., :2, 2:] = -turn @ matrices[..., :2, 2:]
    result[..., 2, 2] = 1
    return result


def mean_around(frames: Frames, values: Tensor, weight: Tensor, sigma_px: float) -> Tensor:
    """As `search.descriptors.mean_around`, (N, H, W)."""
    total, share = frames.smoothed(torch.stack([values * weight, weight], 1), sigma_px).unbind(1)
    return total / share.clamp_min(float(LEAST_COVER))


def _large(frames: Frames, image: Tensor, valid: Tensor, trusted: Tensor) -> Tensor:
    root = _smooth(frames, _rooted(frames, image, valid, 2 * LARGE_PX), LARGE_PX)
    length = torch.hypot(*gradients(root)) * trusted
    around = mean_around(frames, length, trusted, AROUND_PX[1])
    strength = length / (around + NOISE_FLOOR * _mean(length, trusted) + 1e-6)
    return strength.sqrt().clamp_max(STRONGEST) * trusted


def _rooted(frames: Frames, image: Tensor, valid: Tensor, reach_px: float) -> Tensor:
    root = torch.where(valid, image, 0.0).clamp(0, 1).sqrt()
    return torch.where(valid, root, mean_around(frames, root, valid.float(), reach_px))


def _smooth(frames: Frames, images: Tensor, sigma_px: float) -> Tensor:
    return frames.smoothed(images[:, None], sigma_px)[:, 0]


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """(N, 1, 1) of what is trusted."""
    return (values.sum((1, 2)) / weight.sum((1, 2)).clamp_min(1.0))[:, None, None]
