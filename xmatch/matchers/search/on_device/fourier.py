"""Search over all turns, scales and shifts of many pairs: every pair at every scale is one item of one long batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import Floats, to_centre_matrix
from xmatch.matchers.base import SearchRange
from xmatch.matchers.search.fourier import (
    APART,
    CANDIDATES,
    HALF_TURN,
    MIN_OVERLAP,
    THIN,
    canvas_side,
    reduced_size,
    transform_shape,
)
from xmatch.matchers.search.on_device.descriptors import (
    Describe,
    DescriptorMaps,
    Views,
    centred,
    described,
    pooled_edge_descriptors,
    warped,
)
from xmatch.matchers.search.on_device.poses import Poses, distinct
from xmatch.matchers.search.pooled_descriptors import CELL_PX
from xmatch.matchers.search.turns_and_scales import (
    angles_within,
    is_worth_trying,
    near_place,
    near_shifts,
    scales_within,
    turn_about_centre,
)
from xmatch.ops.frames import Frames, Sizes, cut, uploaded


@dataclass(frozen=True, eq=False)
class _Items:
    """Pairs at one scale each, N of them, smallest first."""

    pair: NDArray[np.int64]
    """(N,) which of the pairs."""
    fixed: Sizes
    """(N, 2) px that the fixed view is reduced to."""
    moving: Sizes
    shrinks: NDArray[np.bool_]
    """(N, 2) bool: whether fixed and moving get smaller by it."""

    def at(self, which: NDArray[np.int64]) -> _Items:
        return _Items(self.pair[which], self.fixed[which], self.moving[which], self.shrinks[which])


def search(
    fixed: Views,
    moving: Views,
    within: Sequence[SearchRange],
    *,
    side_px: float,
    angle_step_deg: float,
    scale_step: float,
    keep: int,
    describe: Describe = pooled_edge_descriptors,
) -> Poses:
    """The `keep` best poses of each of B pairs, as `fourier.search` finds them.

    Args:
        within: of each pair; all of them of as many turns, and mirrored or not (`alike`).
        describe: from images to what is correlated, in cells of `CELL_PX`.
    """

    def cells(frames: Frames, image: Tensor, valid: Tensor) -> DescriptorMaps:
        return centred(describe(frames, image, valid))

    items = _items(fixed, moving, within, side_px, scale_step)
    flips = (False, True) if within[0].mirror else (False,)
    angles = np.stack([angles_within(one, angle_step_deg) for one in within])
    count = len(within)
    device = fixed.images.device
    if len(items.pair) == 0:
        none = torch.zeros(count, 1, device=device)
        return Poses(torch.eye(3, device=device, dtype=torch.float64).expand(count, 1, 3, 3), none, none > 0)
    there = described(fixed, items.pair, items.fixed, items.shrinks[:, 0], cells, CELL_PX)
    here = described(moving, items.pair, items.moving, items.shrinks[:, 1], cells, CELL_PX)
    # Planes of the turned images, their spectra, products and scores, in one canvas each.
    planes = here(np.zeros(1, np.int64)).planes.shape[1]
    taken = angles.shape[1] * len(flips) * (10 + 10 * planes) * (2 * -(-np.hypot(*items.moving.T) // CELL_PX)) ** 2
    found = []
    for start, stop in cut(np.maximum.accumulate(taken), device):
        which = np.arange(start, stop)
        part = items.at(which)
        turns = angles[part.pair]
        ranges = [within[pair] for pair in part.pair]
        found.append(_one_part(there(which), here(which), part, fixed, moving, ranges, turns, flips))
    scores, matrices = (torch.cat(column) for column in zip(*found, strict=True))
    # From items to pairs: where a pair has fewer scales than another, places stay empty.
    place = np.zeros(len(items.pair), np.int64)
    for one in range(count):
        place[items.pair == one] = np.arange((items.pair == one).sum())
    index = uploaded(items.pair, device), uploaded(place, device)
    by_pair = scores.new_zeros(count, int(place.max()) + 1, scores.shape[1])
    by_pair[index] = scores
    poses = matrices.new_zeros(*by_pair.shape, 3, 3)
    poses[index] = matrices
    by_pair, poses = by_pair.flatten(1), poses.flatten(1, 2)
    best, order = by_pair.topk(min(CANDIDATES * keep, by_pair.shape[1]), dim=1)
    rows = torch.arange(count, device=device)[:, None]
    return distinct(Poses(poses[rows, order], best, best > 0), moving.sizes, limit=keep, apart=APART)


def alike(within: SearchRange, angle_step_deg: float) -> tuple[int, bool, bool]:
    """What ranges must share to be searched together."""
    return len(angles_within(within, angle_step_deg)), within.mirror, within.max_angle_deg > 90


def _items(fixed: Views, moving: Views, within: Sequence[SearchRange], side_px: float, scale_step: float) -> _Items:
    pairs, sizes, shrinks = [], [], []
    for pair, one in enumerate(within):
        reduction = side_px / np.sqrt(fixed.sizes[pair].prod())
        for scale in scales_within(one, scale_step):
            shrunk = reduction / max(1.0, scale)
            if is_worth_trying(moving.sizes[pair] * shrunk * scale, side_px):
                pairs.append(pair)
                sizes.append(
                    [reduced_size(fixed.sizes[pair], shrunk), reduced_size(moving.sizes[pair], shrunk * scale)]
                )
                shrinks.append((shrunk < 1, shrunk * scale < 1))
    made = np.array(sizes, np.int64).reshape(-1, 2, 2)
    # Alike ones side by side: the frames of a part are as large as its largest.
    order = np.argsort(made.max(axis=(1, 2)), kind="stable")
    return _Items(
        np.array(pairs, np.int64)[order], made[order, 0], made[order, 1], np.array(shrinks, bool).reshape(-1, 2)[order]
    )


def _one_part(
    there: DescriptorMaps,
    here: DescriptorMaps,
    items: _Items,
    fixed: Views,
    moving: Views,
    within: Sequence[SearchRange],
    angles_deg: Floats,
    flips: tuple[bool, ...],
) -> tuple[Tensor, Tensor]:
    """Best shift for each turn of each item: scores (N, M), and poses (N, M, 3, 3) of moving on fixed, view px.

    Args:
        angles_deg: (N, K).
    """
    device = there.planes.device
    # Each item has the canvas that it has alone, in the top left of the largest: its cells lie on the same blocks then.
    canvases = np.array([canvas_side(width, height) for height, width in here.sizes])
    side = int(canvases.max())
    shapes = [transform_shape(size, canvas) for size, canvas in zip(there.sizes, canvases, strict=True)]
    shape = max(rows for rows, _ in shapes), max(columns for _, columns in shapes)
    half_turned = within[0].max_angle_deg > 90
    # As many cells as a view px has, in x and in y.
    from_fixed, from_moving = (
        (small / views.sizes[items.pair])[:, ::-1] / CELL_PX
        for small, views in ((items.fixed, fixed), (items.moving, moving))
    )
    signs = np.array([-1 if flip else 1 for flip in flips])[:, None]
    height, width = (here.sizes[:, axis, None, None] for axis in (0, 1))
    to_canvas = turn_about_centre(width, height, angles_deg[:, None], canvases[:, None, None], signs).reshape(
        len(within), -1, 3, 3
    )
    turned, cover = warped(here, uploaded(to_centre_matrix(to_canvas), device), (side, side))
    near = _near(within, items, fixed, moving, from_fixed, canvases, shape) if any(one.near for one in within) else None
    highest, places = _peaks(there, turned, cover, shape, canvases, near, half_turned=half_turned)
    shifts = _shifts(places, shape, there.sizes)
    # About the canvas's middle, by nothing and by half a turn.
    starts = uploaded(to_canvas * np.append(from_moving, np.ones((len(within), 1)), 1)[:, None, None], device)
    halves = np.stack([np.tile(one, (len(within), 1, 1)) for one in (np.eye(3), HALF_TURN)][: 1 + half_turned], 1)
    halves[:, 1:, :2, 2] *= canvases[:, None, None]
    poses = uploaded(halves, device)[:, None] @ starts[:, :, None]
    poses[..., :2, 2] += shifts
    poses[..., :2, :] /= uploaded(from_fixed, device)[:, None, None, :, None]
    return highest.flatten(1), poses.flatten(1, 2)


def _peaks(
    fixed: DescriptorMaps,
    turned: Tensor,
    cover: Tensor,
    shape: tuple[int, int],
    canvases: NDArray[np.int64],
    near: Tensor | None,
    *,
    half_turned: bool,
) -> tuple[Tensor, Tensor]:
    """Score (N, K, 1 or 2) of the best cyclic shift, and its place in a score of `shape`, as `_Correlator.correlate`.

    Args:
        turned: (N, C, K, side, side) planes of moving.
        cover: (N, K, side, side) their validity.
        canvases: (N,) sides of the squares in which moving was turned, in the top left.
        near: (N, H, W) bool, shifts that are allowed.
    """
    thin_shape = shape[0] // THIN, shape[1] // THIN
    needed = torch.minimum(fixed.valid.sum((1, 2))[:, None], cover.sum((2, 3)))
    needed = (MIN_OVERLAP * needed).clamp_min(1.0)[..., None, None] / THIN**2
    own = torch.fft.rfft2(F.pad(fixed.planes, _rest(fixed.planes, shape)))
    own_cover = torch.fft.rfft2(F.avg_pool2d(F.pad(fixed.valid, _rest(fixed.valid, shape)), THIN))
    spectra, thin = torch.fft.rfft2(turned, s=shape), torch.fft.rfft2(F.avg_pool2d(cover, THIN), s=thin_shape)
    found = []
    for by_half in (True, False) if half_turned else (False,):
        if by_half:
            # Correlating with a half-turned image is convolving with the image, displaced by its size less one.
            fixed_planes = own * _displacement(canvases - 1, shape, own.device)[:, None]
            fixed_cover = own_cover * _displacement(canvases // THIN - 1, thin_shape, own.device)
        else:
            fixed_planes, fixed_cover = own, own_cover
            spectra, thin = spectra.conj_physical_(), thin.conj_physical_()
        total = fixed_planes[:, 0, None] * spectra[:, 0]
        for plane in range(1, spectra.shape[1]):
            total += fixed_planes[:, plane, None] * spectra[:, plane]
        score = torch.fft.irfft2(total, s=shape)
        overlap = torch.fft.irfft2(fixed_cover[:, None] * thin, s=thin_shape)
        weight = torch.where(overlap > needed, overlap.clamp_min(1.0).rsqrt(), 0.0)
        blocks = score.unflatten(-1, (-1, THIN)).unflatten(-3, (-1, THIN))
        blocks.mul_(weight[..., :, None, :, None])
        if near is not None:
            score.mul_(near[:, None])
        found.append(score.flatten(2).max(-1))
    found.reverse()
    return torch.stack([one.values for one in found], 2), torch.stack([one.indices for one in found], 2)


def _displacement(by: NDArray[np.int64], shape: tuple[int, int], device: torch.device) -> Tensor:
    """(N, H, W / 2 + 1) factors of spectra that displace images by `by` (N,) px to the top left, cyclically."""
    steps, whole = uploaded(by, device)[:, None], torch.ones((), dtype=torch.float64, device=device)
    # Whole turns are taken off before they are made into angles, which would lose digits.
    down, across = (
        torch.polar(whole, (steps * torch.arange(waves, device=device) % n).double() * (2 * np.pi / n))
        for n, waves in ((shape[0], shape[0]), (shape[1], shape[1] // 2 + 1))
    )
    return (down[:, :, None] * across[:, None]).to(torch.complex64)


def _rest(planes: Tensor, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """What `pad` is to add on the right and below."""
    return 0, shape[1] - planes.shape[-1], 0, shape[0] - planes.shape[-2]


def _shifts(places: Tensor, shape: tuple[int, int], sizes: Sizes) -> Tensor:
    """(N, ..., 2) shift (x, y) that places in a score stand for, as `_Correlator.shift`."""
    found = []
    for axis, along in ((1, places % shape[1]), (0, places // shape[1])):
        last = uploaded(sizes[:, axis], places.device)[:, None, None]
        found.append(torch.where(along > last, along - shape[axis], along))
    return torch.stack(found, -1).double()


def _near(
    within: Sequence[SearchRange],
    items: _Items,
    fixed: Views,
    moving: Views,
    factors: Floats,
    canvases: NDArray[np.int64],
    shape: tuple[int, int],
) -> Tensor:
    """(N, H, W) bool: shifts that each range allows, as `near_shifts`."""
    allowed = np.ones((len(within), *shape), bool)
    cells = -(-items.fixed // CELL_PX)
    every = zip(allowed, within, items.pair, factors, cells, canvases, strict=True)
    for mask, one, pair, factor, size, canvas in every:
        if one.near:
            centre, reach = near_place(one, moving.sizes[pair][::-1], fixed.sizes[pair][::-1], factor)
            mask[:] = near_shifts(centre, reach, canvas, shape, size)
    return uploaded(allowed, fixed.images.device)
