"""Tie points on a device: all windows of all poses at once, by transforms of a window's size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from xmatch.coords import Floats, to_centre_matrix
from xmatch.geometry import Transform
from xmatch.geometry.matrices import scale_of
from xmatch.matchers.search.fourier import reduced_size
from xmatch.matchers.search.on_device.descriptors import DescriptorMaps, Views, edge_descriptors, warped
from xmatch.matchers.search.seen_through import seen_through
from xmatch.ops.frames import Frames, cut, uploaded
from xmatch.raster import View
from xmatch.registration.windows import MIN_COVER, Matched, Windows, taper, window_lattice


class DeviceLooks:
    """`tie_points.Looks` on a device."""

    def __init__(self, fixed: View, moving: View, device: str) -> None:
        self._fixed, self._moving, self._device = fixed, moving, torch.device(device)
        self._here: DescriptorMaps | None = None
        self._views: Views | None = None

    @torch.inference_mode()
    def through(self, to_fixed: Floats | Transform) -> DescriptorMaps:
        """Moving's descriptors on the grid of the fixed view."""
        size = (self._fixed.width, self._fixed.height)
        if not isinstance(to_fixed, np.ndarray):
            return _described(*seen_through(self._moving, to_fixed, size), self._device)
        if self._views is None:
            self._views = Views.of([self._moving], self._device)
        return described_under(self._views, np.zeros(1, np.int64), to_fixed[None], (size[1], size[0]))

    @torch.inference_mode()
    def matched(self, there: DescriptorMaps, windows: Windows) -> Matched:
        if self._here is None:
            self._here = _described(self._fixed.image, self._fixed.valid, self._device)
        return matched(self._here, there, windows)[0]


def _described(image: np.ndarray, valid: np.ndarray, device: torch.device) -> DescriptorMaps:
    sizes = np.array([image.shape], np.int64)
    planes = uploaded(np.where(valid, image, np.float32(0))[None], device), uploaded(valid[None], device)
    return edge_descriptors(Frames.around(sizes, device), *planes)


def described_under(moving: Views, which: np.ndarray, matrices: Floats, shape: tuple[int, int]) -> DescriptorMaps:
    """Descriptors of the views `which` (N,) under poses (N, 3, 3), on grids of `shape` (height, width)."""
    device = moving.images.device
    factors = np.array([scale_of(matrix) for matrix in matrices])
    given = moving.sizes[which]
    sizes = np.array([reduced_size(size, factor) for size, factor in zip(given, factors, strict=True)], np.int64)
    frames, image, valid = moving.resized(which, sizes, factors < 1)
    back = np.zeros_like(matrices)
    back[:, 0, 0], back[:, 1, 1], back[:, 2, 2] = given[:, 1] / sizes[:, 1], given[:, 0] / sizes[:, 0], 1
    onto = to_centre_matrix(matrices @ back)
    planes, trusted = warped(edge_descriptors(frames, image, valid), uploaded(onto[:, None], device), shape)
    return DescriptorMaps(planes[:, :, 0], trusted[:, 0], np.tile(np.array(shape, np.int64), (len(which), 1)))


def matched(here: DescriptorMaps, there: DescriptorMaps, windows: Windows) -> Sequence[Matched]:
    """Windows of N pairs of descriptors on grids of one size, matched both ways."""
    height, width = (int(n) for n in here.sizes[0])
    centres = window_lattice(width, height, windows)
    if len(centres) == 0:
        return [Matched.none()] * len(here.planes)
    places = _Places(centres, windows, here.planes.device)
    # Windows, what lies around them, and their spectra.
    taken = 4 * 5 * here.planes.shape[1] * len(centres) * (windows.side_px + 2 * windows.reach_px) ** 2
    found = []
    for start, stop in cut(np.full(len(here.planes), taken), here.planes.device):
        part = np.arange(start, stop)
        for one in places.both_ways(here.of(part), there.of(part)).double().cpu().numpy():
            kept = one[:, 5] > MIN_COVER
            found.append(Matched(centres[kept], one[kept, :2], one[kept, 4], one[kept, 2:4]))
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
