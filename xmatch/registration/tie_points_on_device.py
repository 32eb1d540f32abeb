"""Tie points on a device: all windows of all pairs and tiles at once, by transforms of a window's size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from xmatch.coords import Floats, Image, Mask, to_centre_matrix
from xmatch.geometry import Transform
from xmatch.geometry.matrices import scale_of
from xmatch.matchers.search.fourier import reduced_size
from xmatch.matchers.search.on_device.descriptors import (
    DescriptorMaps,
    Views,
    edge_descriptors,
    stacked,
    warped,
)
from xmatch.matchers.search.seen_through import seen_through
from xmatch.ops.batching import together
from xmatch.ops.frames import Frames, cut, fitting, uploaded
from xmatch.raster import View
from xmatch.registration.windows import MIN_COVER, Matched, Windows, taper, window_lattice


class DeviceLooks:
    """`tie_points.Looks` on a device."""

    def __init__(self, fixed: View, moving: View, device: str) -> None:
        self._fixed, self._moving, self._device = fixed, moving, device
        self._here: DescriptorMaps | None = None

    def through(self, to_fixed: Floats | Transform) -> DescriptorMaps:
        """Moving's descriptors on the grid of the fixed view."""
        size = (self._fixed.width, self._fixed.height)
        if not isinstance(to_fixed, np.ndarray):
            return together(described, [seen_through(self._moving, to_fixed, size)], self._device)[0]
        return together(described_as_posed, [(self._moving, to_fixed, size)], self._device)[0]

    def matched(self, there: DescriptorMaps, windows: Windows) -> Matched:
        if self._here is None:
            (self._here,) = together(described, [(self._fixed.image, self._fixed.valid)], self._device)
        return together(matched, [(self._here, there)], windows)[0]


def matched_tiles(tiles: Sequence[tuple[View, View]], windows: Windows, device: str) -> list[Matched]:
    """Windows of each tile's views (fixed, moving on fixed's grid), matched both ways."""
    here, there = (
        together(described, [(tile[side].image, tile[side].valid) for tile in tiles], device) for side in (0, 1)
    )
    return together(matched, list(zip(here, there, strict=True)), windows)


@torch.inference_mode()
def described(images: Sequence[tuple[Image, Mask]], device: str) -> list[DescriptorMaps]:
    """Descriptors of each image where it is valid, at its own size."""
    found: dict[int, DescriptorMaps] = {}
    where = torch.device(device)
    for part in fitting([_bytes_at(max(image.shape)) for image, _ in images], where):
        views = Views.of([View(images[place][0], images[place][1], np.eye(3)) for place in part], where)
        image, valid = views.images.unbind(1)
        maps = edge_descriptors(Frames.around(views.sizes, where), image, valid > 0)
        found |= _each(part.tolist(), maps)
    return [found[place] for place in range(len(images))]


@torch.inference_mode()
def described_as_posed(asked: Sequence[tuple[View, Floats, tuple[int, int]]], device: str) -> list[DescriptorMaps]:
    """Descriptors of each view under a pose (3, 3), on a grid of (width, height) px."""
    found: dict[int, DescriptorMaps] = {}
    where = torch.device(device)
    for size, alike in _alike([size for _, _, size in asked]).items():
        taken = []
        for place in alike:
            view, matrix, _ = asked[place]
            seen = reduced_size((view.height, view.width), scale_of(matrix))
            taken.append(_bytes_at(max(seen)) + _bytes_at(max(size)) // 4)
        for part in fitting(taken, where):
            places = [alike[one] for one in part]
            views = Views.of([asked[place][0] for place in places], where)
            matrices = np.stack([asked[place][1] for place in places])
            found |= _each(places, _under(views, matrices, (size[1], size[0])))
    return [found[place] for place in range(len(asked))]


def _bytes_at(side: int) -> int:
    """Of one image while it is described, in a frame with others of about its side: some sixty planes are alive at
    once."""
    return 4 * 60 * side**2


def _each(places: Sequence[int], maps: DescriptorMaps) -> dict[int, DescriptorMaps]:
    return {place: maps.of(np.array([at])) for at, place in enumerate(places)}


def _alike(sizes: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    """Size -> places where it stands."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place, size in enumerate(sizes):
        found.setdefault(size, []).append(place)
    return found


def _under(moving: Views, matrices: Floats, shape: tuple[int, int]) -> DescriptorMaps:
    """Descriptors of views under poses (N, 3, 3), on grids of `shape` (height, width)."""
    device = moving.images.device
    every, factors = np.arange(len(matrices)), np.array([scale_of(matrix) for matrix in matrices])
    given = moving.sizes
    sizes = np.array([reduced_size(size, factor) for size, factor in zip(given, factors, strict=True)], np.int64)
    frames, image, valid = moving.resized(every, sizes, factors < 1)
    back = np.zeros_like(matrices)
    back[:, 0, 0], back[:, 1, 1], back[:, 2, 2] = given[:, 1] / sizes[:, 1], given[:, 0] / sizes[:, 0], 1
    onto = to_centre_matrix(matrices @ back)
    planes, trusted = warped(edge_descriptors(frames, image, valid), uploaded(onto[:, None], device), shape)
    return DescriptorMaps(planes[:, :, 0], trusted[:, 0], np.tile(np.array(shape, np.int64), (len(every), 1)))


@torch.inference_mode()
def matched(pairs: Sequence[tuple[DescriptorMaps, DescriptorMaps]], windows: Windows) -> list[Matched]:
    """Windows of the descriptors of each pair, both on one grid, matched both ways."""
    found = [Matched.none() for _ in pairs]
    for (height, width), alike in _alike([tuple(here.sizes[0].tolist()) for here, _ in pairs]).items():
        centres = window_lattice(width, height, windows)
        if len(centres) == 0:
            continue
        device = pairs[alike[0]][0].planes.device
        places = _Places(centres, windows, device)
        # Windows, what lies around them, and their spectra.
        planes = pairs[alike[0]][0].planes.shape[1]
        taken = 4 * 5 * planes * len(centres) * (windows.side_px + 2 * windows.reach_px) ** 2
        for start, stop in cut(np.full(len(alike), taken), device):
            part = alike[start:stop]
            here, there = (stacked([pairs[place][side] for place in part]) for side in (0, 1))
            for place, one in zip(part, places.both_ways(here, there).double().cpu().numpy(), strict=True):
                kept = one[:, 5] > MIN_COVER
                found[place] = Matched(centres[kept], one[kept, :2], one[kept, 4], one[kept, 2:4])
    return found


class _Places:
    """Windows around (M, 2) whole centres, each of `windows.side_px` and free to move by `windows.reach_px`."""

    def __init__(self, centres: Floats, windows: Windows, device: torch.device) -> None:
        self._windows = windows
        self._centres = uploaded(centres.astype(np.int64), device)
        self._taper = uploaded(taper(windows.side_px), device)
        self._length = cv2.getOptimalDFTSize(windows.side_px + 2 * windows.reach_px)

    def cut(self, planes: Tensor, side_px: int) -> Tensor:
        """(N, C, M, side, side) of planes (N, C, H, W), around the centres."""
        offsets = torch.arange(side_px, device=planes.device) - side_px // 2
        x, y = (self._centres[:, axis, None] + offsets for axis in (0, 1))
        return planes[:, :, y[:, :, None], x[:, None, :]]

    def both_ways(self, here: DescriptorMaps, there: DescriptorMaps) -> Tensor:
        """(N, M, 6): forward x and y, backward x and y, certainty, and the share of a window that is valid in both."""
        share = self.cut(here.valid[:, None] * there.valid[:, None], self._windows.side_px).mean((-2, -1))[:, 0]
        forward, certainty = self.displacements(here, there)
        backward, _ = self.displacements(there, here)
        return torch.cat([forward, backward, certainty[..., None], share[..., None]], -1)

    def displacements(self, fixed: DescriptorMaps, moving: DescriptorMaps) -> tuple[Tensor, Tensor]:
        """(N, M, 2) and (N, M) as `tie_points.displacements`."""
        side, reach = self._windows.side_px, self._windows.reach_px
        template = self.cut(fixed.planes, side) * self._taper
        region = self.cut(moving.planes, side + 2 * reach)
        # Of both: how much agrees at each place, and how much of moving lies under the taper there.
        product = self._correlated(region, template).sum(1)
        around = self._correlated(region.square().sum(1), self._taper)
        length = torch.linalg.vector_norm(template.flatten(3), dim=(1, 3))[..., None, None]
        surfaces = product / (length * around.clamp_min(1e-6).sqrt() + 1e-6)
        return _peaks(surfaces, reach)

    def _correlated(self, region: Tensor, template: Tensor) -> Tensor:
        """(..., 2 reach + 1, 2 reach + 1) sums of products at all places of a template in its region."""
        shape, places = (self._length,) * 2, 2 * self._windows.reach_px + 1
        spectrum = torch.fft.rfft2(region, s=shape) * torch.fft.rfft2(template, s=shape).conj()
        surfaces: Tensor = torch.fft.irfft2(spectrum, s=shape)
        return surfaces[..., :places, :places]


def _peaks(surfaces: Tensor, reach_px: int) -> tuple[Tensor, Tensor]:
    """Sub-pixel maxima (N, M, 2) and certainties (N, M), as `tie_points.peaks` and its neighbour."""
    side = surfaces.shape[-1]
    flat = surfaces.flatten(2)
    highest, best = flat.max(-1)
    y, x = best // side, best % side
    inside = (y > 0) & (y < side - 1) & (x > 0) & (x < side - 1)
    y, x = y.clamp(1, side - 2), x.clamp(1, side - 2)

    def at(dy: int, dx: int) -> Tensor:
        return flat.gather(2, ((y + dy) * side + x + dx)[..., None])[..., 0]

    peak = at(0, 0)

    def parabola(before: Tensor, after: Tensor) -> Tensor:
        bend = before - 2 * peak + after
        curved = bend < -1e-9
        return torch.where(curved, 0.5 * (before - after) / torch.where(curved, bend, 1.0), 0.0).clamp(-0.5, 0.5)

    shifts = torch.stack([x + parabola(at(0, -1), at(0, 1)), y + parabola(at(-1, 0), at(1, 0))], -1) - reach_px
    height = (peak - flat.mean(-1)) / (flat.std(-1, correction=0) + 1e-3)
    certainty = ((height - 1.0) / 4.0).clamp(0, 1) * peak.clamp(0, 1).sqrt()
    return shifts, torch.where(inside, certainty, 0.0).nan_to_num()
