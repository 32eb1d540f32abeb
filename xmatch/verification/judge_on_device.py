"""What `ProposalJudge` measures of poses, of many of them and of many pairs at once, in torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmatch.coords import Floats, to_centre_matrix
from xmatch.geometry.matrices import scale_of
from xmatch.matchers.search.fourier import reduced_size
from xmatch.matchers.search.on_device import upload
from xmatch.matchers.search.on_device.descriptors import (
    DescriptorMaps,
    Views,
    bytes_of_views,
    edge_descriptors,
    warped,
)
from xmatch.ops.frames import affine_looked_up, cut, fitting, uploaded
from xmatch.raster import View
from xmatch.verification.judge_settings import BINS, FULL_COVER, MIN_OVERLAP_PX, NAMES, SHIFTS, SIDE_PX


@torch.inference_mode()
def measured_of_pairs(
    asked: Sequence[tuple[View, View, Floats]], side_px: float, device: str
) -> list[list[dict[str, float]]]:
    """What `measured` says of each pair's poses: (fixed, moving, (K, 3, 3)) -> K of them."""
    found: list[list[dict[str, float]]] = [[] for _ in asked]
    # Each view takes the place of the largest beside it: as many pairs at once as the device has room for.
    taken = [bytes_of_views(one, other) for one, other, _ in asked]
    for part in fitting(taken, torch.device(device)):
        pair = np.repeat(np.arange(len(part)), [len(asked[place][2]) for place in part])
        matrices = np.concatenate([asked[place][2] for place in part])
        measures = measured(*upload([asked[place][:2] for place in part], device), pair, matrices, side_px)
        for which, one in zip(pair, measures, strict=True):
            found[part[which]].append(one)
    return found


@torch.inference_mode()
def measured(
    fixed: Views, moving: Views, pair: NDArray[np.int64], matrices: Floats, side_px: float = SIDE_PX
) -> list[dict[str, float]]:
    """`NAMES` of each pose, as `ProposalJudge`.

    Args:
        pair: (N,) which of the pairs each is of.
        matrices: (N, 3, 3) moving view px -> fixed view px, corner-counted.
    """
    found: list[dict[str, float]] = [{} for _ in pair]
    # What lies elsewhere is looked at round the edge of fixed: those together must be of one size.
    for size in np.unique(fixed.sizes[pair], axis=0):
        those = np.flatnonzero((fixed.sizes[pair] == size).all(axis=1))
        # Grey levels one by one, of both and at a shift, and descriptors.
        taken = np.full(len(those), round(4 * (4 * BINS + 60) * side_px**2))
        for start, stop in cut(taken, fixed.images.device):
            part = those[start:stop]
            values = _of_one_size(fixed, moving, pair[part], matrices[part], side_px).cpu().numpy()
            for place, row in zip(part, values, strict=True):
                found[place] = dict(zip(NAMES, map(float, row), strict=True))
    return found


def _of_one_size(fixed: Views, moving: Views, pair: NDArray[np.int64], matrices: Floats, side_px: float) -> Tensor:
    """(N, measures) float64 in the order of `NAMES`."""
    device = fixed.images.device
    pairs, which = np.unique(pair, return_inverse=True)
    whole = fixed.sizes[pairs]
    reduction = side_px / np.sqrt(whole[0].prod())
    small = np.array([reduced_size(size, reduction) for size in whole], np.int64)
    frames, image, valid = fixed.resized(pairs, small, np.full(len(pairs), reduction < 1))
    edges = edge_descriptors(frames, image, valid)
    index = uploaded(which, device)
    image, valid, edges = image[index], valid[index], edges.of(which)

    to_level = small[0, ::-1] / whole[0, ::-1]
    factors = np.array([to_level[0] * scale_of(matrix) for matrix in matrices])
    sizes = np.array([reduced_size(moving.sizes[one], factor) for one, factor in zip(pair, factors, strict=True)])
    frames, seen, shown = moving.resized(pair, sizes, factors < 1)
    from_level = moving.sizes[pair][:, ::-1] / sizes[:, ::-1]
    poses = _scaling(to_level[None]) @ matrices @ _scaling(from_level)
    onto = to_centre_matrix(poses)
    shape = int(small[0, 0]), int(small[0, 1])
    back = uploaded(np.linalg.inv(onto)[:, None, :2], device)
    looked_up = affine_looked_up(torch.stack([seen, shown.float()], 1), back, shape)[:, :, 0]
    cover = looked_up[:, 1] > FULL_COVER
    planes, trusted = warped(edge_descriptors(frames, seen, shown), uploaded(onto[:, None], device), shape)
    shared = valid & cover
    count = shared.sum((1, 2)).double()

    codes = _codes(image, shared), _codes(looked_up[:, 0], shared)
    information, elsewhere = _information(*codes, valid, cover)
    spread, elsewhere = elsewhere.std(1, correction=0) + 0.005, elsewhere.mean(1)
    here = _agreement(edges, planes[:, :, 0], trusted[:, 0])
    around = torch.stack(
        [
            _agreement(
                edges, torch.roll(planes[:, :, 0], (dy, dx), (2, 3)), torch.roll(trusted[:, 0], (dy, dx), (1, 2))
            )
            for dx, dy in SHIFTS
        ],
        1,
    )
    order2, order4 = (here - around.mean(1)).unbind(1)
    root = count.sqrt()
    smaller = torch.minimum(valid.sum((1, 2)), shown.sum((1, 2))).double()
    by_name = {
        "structure": order2,
        "structure_fine": order4,
        "structure_z": order2 * root,
        "structure_gain": (here[:, 0] - around[:, :, 0].amax(1)) * root,
        "information": information,
        "information_gain": (information - elsewhere) / elsewhere.clamp_min(0.02),
        "information_z": (information - elsewhere) / spread,
        "overlap": count / smaller.clamp_min(1.0),
    }
    enough = count >= MIN_OVERLAP_PX
    return torch.where(enough[:, None], torch.stack([by_name[name] for name in NAMES], 1), 0.0)


def _scaling(factors_xy: Floats) -> Floats:
    """(N, 3, 3)."""
    scaled = np.tile(np.eye(3), (len(factors_xy), 1, 1))
    scaled[:, 0, 0], scaled[:, 1, 1] = factors_xy.T
    return scaled


def _agreement(fixed: DescriptorMaps, planes: Tensor, valid: Tensor) -> Tensor:
    """(N, 2) normalised correlation of each order over the overlap."""
    weight = (fixed.valid * valid)[:, None]
    product, own, other = (
        (weight * one * two).sum((2, 3)).double().view(-1, 2, 2).sum(2)
        for one, two in ((fixed.planes, planes), (fixed.planes, fixed.planes), (planes, planes))
    )
    return product / (own * other + 1e-9).sqrt()


def _codes(image: Tensor, among: Tensor) -> Tensor:
    """(N, H, W) equal-population bins 0 .. BINS - 1 of the px picked by `among`."""
    values = image.flatten(1)
    ordered = torch.where(among.flatten(1), values, torch.inf).sort(1).values
    last = (among.sum((1, 2)) - 1).clamp_min(0).double()[:, None]
    shares = torch.arange(1, BINS, device=image.device, dtype=torch.float64) / BINS
    place = last * shares
    below = place.floor().long()
    low, high = (ordered.gather(1, at).double() for at in (below, torch.minimum(below + 1, last.long())))
    edges = torch.lerp(low, high, place - below)
    return torch.searchsorted(edges, values.double()).view_as(image)


def _information(fixed: Tensor, moving: Tensor, valid: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) normalised mutual information of codes, and (N, 8) of moving's displaced by `SHIFTS`."""
    # How often two grey levels meet is a product of matrices, which a GPU counts faster than it can take notes.
    levels = torch.arange(BINS, device=fixed.device)[:, None, None]
    one, other = (
        ((codes[:, None] == levels) & among[:, None]).float() for codes, among in ((fixed, valid), (moving, cover))
    )
    height, width = fixed.shape[1:]
    found = []
    for dx, dy in ((0, 0), *SHIFTS):
        here = one[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)].flatten(2)
        there = other[..., max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)].flatten(2)
        joint = (here @ there.mT).double()
        count = joint.sum((1, 2))
        shares = joint / count.clamp_min(1.0)[:, None, None]
        rows, columns, both = (-torch.xlogy(p, p).flatten(1).sum(1) for p in (shares.sum(2), shares.sum(1), shares))
        information = 2 * (rows + columns - both) / (rows + columns).clamp_min(1e-9)
        found.append(torch.where(count >= MIN_OVERLAP_PX, information, 0.0))
    return found[0], torch.stack(found[1:], 1)
