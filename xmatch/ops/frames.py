"""Images of unlike sizes in one tensor, and what OpenCV does to one of them done to all.

Each image lies in the top left of a frame; beyond it all is 0. Whatever runs along rows and then along columns (sizes,
Gaussians, with the borders that OpenCV gives them) is a matrix each way, an image's own: a device multiplies thousands
of them in the time in which it begins to do a few things one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Sizes = NDArray[np.int64]
"""(N, 2) height and width of N images; always on the host, which launches by them."""

ON_CPU = 2**27
"""Bytes that a part of the work may take on a CPU: little, so that it stays near the core."""
GPU_SHARE = 1 / 8
"""Of a GPU's memory: enough to be busy, and room for others."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Where N images lie in frames (H, W), and filters that stop at their borders."""

    sizes: Sizes
    device: torch.device
    shape: tuple[int, int]
    """Of a frame, px: no image is larger."""
    _kernels: dict[tuple[float, int], Tensor] = field(default_factory=dict)

    @staticmethod
    def around(sizes: Sizes, device: torch.device, multiple: int = 1) -> Frames:
        """Frames as small as the largest of the images allows, sides multiples of a number."""
        rows, columns = (int(-(-n // multiple) * multiple) for n in sizes.max(axis=0))
        return Frames(sizes, device, (rows, columns))

    def smoothed(self, images: Tensor, sigma_px: float) -> Tensor:
        """(N, C, H, W) under a Gaussian, mirrored at each image's border, as `cv2.GaussianBlur` in single precision."""
        rows, columns = self._gaussian(sigma_px, 0), self._gaussian(sigma_px, 1)
        return along_both(rows, images, columns)

    def _gaussian(self, sigma_px: float, axis: int) -> Tensor:
        """(N or 1, n, n) for one axis; kept, since several planes are smoothed alike."""
        if (sigma_px, axis) not in self._kernels:
            lengths, which = np.unique(self.sizes[:, axis], return_inverse=True)
            made = _gaussians(lengths, self.shape[axis], sigma_px, self.device)
            self._kernels[sigma_px, axis] = made if len(lengths) == 1 else made[uploaded(which, self.device)]
        return self._kernels[sigma_px, axis]


def along_both(rows: Tensor, images: Tensor, columns: Tensor) -> Tensor:
    """(N, C, R, S): matrices (N or 1, R, H) and (N or 1, S, W) applied to the columns and rows of (N, C, H, W)."""
    count, planes, height, width = images.shape
    if len(columns) == 1:
        half = images @ columns[0].mT
    else:
        half = (images.reshape(count, planes * height, width) @ columns.mT).view(count, planes, height, -1)
    return (
        torch.einsum("rh,nchs->ncrs", rows[0], half) if len(rows) == 1 else torch.einsum("nrh,nchs->ncrs", rows, half)
    )


def resizing(
    sizes: Sizes, to: Sizes, frame: int, to_frame: int, shrinks: NDArray[np.bool_], device: torch.device
) -> Tensor:
    """(N or 1, to_frame, frame) that make rows or columns of (N,) px into so many others, as `cv2.resize` does.

    Args:
        shrinks: (N,) bool: by means over areas; bilinear otherwise.
    """
    keys, which = np.unique(np.column_stack([sizes, to, shrinks]), axis=0, return_inverse=True)
    sizes, to, shrinks = keys[:, 0], keys[:, 1], keys[:, 2].astype(bool)
    given, wanted, ratio, by_area = (
        uploaded(values.astype(np.float32 if values.dtype != bool else bool), device)[:, None, None]
        for values in (sizes, to, sizes / to, shrinks)
    )
    place = torch.arange(to_frame, device=device, dtype=torch.float32)[:, None]
    source = torch.arange(frame, device=device, dtype=torch.float32)
    start, end = place * ratio, torch.minimum((place + 1) * ratio, given)
    area = (torch.minimum(end, source + 1) - torch.maximum(start, source)).clamp_min(0) / (end - start).clamp_min(1e-6)
    middle = torch.minimum(((place + 0.5) * ratio - 0.5).clamp_min(0), given - 1)
    weights = torch.where(by_area, area, (1 - (middle - source).abs()).clamp_min(0))
    weights = weights * (place < wanted)
    return weights if len(keys) == 1 else weights[uploaded(which, device)]


def _gaussians(lengths: NDArray[np.int64], frame: int, sigma_px: float, device: torch.device) -> Tensor:
    """(N, frame, frame) Gaussian means of (N,) px, cut off at four sigma; position -k is position k again, as is
    length - 1 + k that of length - 1 - k."""
    radius = (round(8 * sigma_px + 1) | 1) // 2
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    # From the middle outwards, and nothing beyond.
    bell = uploaded(np.append(taps[radius:] / taps.sum(), 0.0).astype(np.float32), device)
    place, source = torch.arange(frame, device=device)[:, None], torch.arange(frame, device=device)
    last = uploaded(lengths - 1, device)[:, None, None]
    inside = (place <= last) & (source <= last)
    # The two ends are their own mirror images.
    mirrored = inside & (source > 0) & (source < last)
    nearest = int(lengths.min()) - 1
    turns = 1 + radius // max(2 * nearest, 1)
    weights = torch.zeros(len(lengths), frame, frame, device=device)
    for turn in range(-turns, turns + 1):
        # Where even the shortest image is longer than the Gaussian reaches, there is nothing to add.
        if (2 * abs(turn) - 1) * nearest <= radius:
            weights += inside * bell[(place - source - 2 * turn * last).abs().clamp_max(radius + 1)]
        if 2 * max(-turn, turn - 1) * nearest <= radius:
            weights += mirrored * bell[(place + source - 2 * turn * last).abs().clamp_max(radius + 1)]
    return weights


def shrunk(valid: Tensor, radius_px: int) -> Tensor:
    """(N, H, W) float without a rim of `radius_px`; what lies beyond a frame counts as not valid."""
    padded = F.pad(valid, (radius_px,) * 4)
    return -F.max_pool2d(-padded[:, None], 2 * radius_px + 1, 1)[:, 0]


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, H, W) x and y derivatives by Scharr's filter, its weights not divided by their sum; right but at borders."""
    padded = F.pad(images, (1, 1, 1, 1))
    # Not as a convolution, for which a GPU may round its input to ten bits.
    across, down = padded[:, :, 2:] - padded[:, :, :-2], padded[:, 2:] - padded[:, :-2]
    return (
        3 * (across[:, :-2] + across[:, 2:]) + 10 * across[:, 1:-1],
        3 * (down[:, :, :-2] + down[:, :, 2:]) + 10 * down[:, :, 1:-1],
    )


def affine_looked_up(images: Tensor, onto_source: Tensor, shape: tuple[int, int]) -> Tensor:
    """(N, C, K, height, width) bilinear, 0 beyond the frame: each image through K affine maps of its own.

    Args:
        images: (N, C, H, W).
        onto_source: (N, K, 2, 3) px of the result -> px of the image, both centre-counted.
        shape: (height, width) of the result.
    """
    count, maps = onto_source.shape[:2]
    rows, columns = shape
    # (2 x + 1) / n - 1 is where `grid_sample` has the centre of px x.
    theta = torch.stack([onto_source[:, :, axis] * (2 / images.shape[-1 - axis]) for axis in (0, 1)], 2)
    theta[..., 0, 2] += 1 / images.shape[-1] - 1
    theta[..., 1, 2] += 1 / images.shape[-2] - 1
    theta = theta.to(images.dtype)
    x = torch.arange(columns, device=images.device, dtype=images.dtype)
    y = torch.arange(rows, device=images.device, dtype=images.dtype)
    along_x = theta[..., None, None, :, 0] * x[:, None]
    along_y = (theta[..., None, None, :, 1] * y[:, None, None]) + theta[..., None, None, :, 2]
    grid = (along_x + along_y).view(count, maps * rows, columns, 2)
    found = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.view(count, images.shape[1], maps, rows, columns)


def uploaded(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """On the device, without waiting for what it is doing."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def fitting(bytes_each: Sequence[int] | NDArray[np.int64], device: torch.device) -> Iterator[NDArray[np.intp]]:
    """Places of items that fit together, given what each takes, those that take least first: what shares a tensor takes
    the place of the largest each."""
    taken = np.asarray(bytes_each, np.int64)
    order = np.argsort(taken, kind="stable")
    for start, stop in cut(taken[order], device):
        yield order[start:stop]


def cut(bytes_each: NDArray[np.int64], device: torch.device) -> Iterator[tuple[int, int]]:
    """Runs of items (start, stop) that fit together, given what each takes, which does not fall."""
    whole = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0
    limit, start = int(GPU_SHARE * whole) or ON_CPU, 0
    for stop in range(1, len(bytes_each) + 1):
        if stop == len(bytes_each) or (stop + 1 - start) * bytes_each[stop] > limit:
            yield start, stop
            start = stop
