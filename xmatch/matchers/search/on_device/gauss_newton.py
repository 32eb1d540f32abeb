"""Refinement of many poses of many pairs at once: the steps of `search.gauss_newton`, all poses in step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmatch.coords import CENTRE, corners
from xmatch.matchers.search.fourier import reduced_size
from xmatch.matchers.search.gauss_newton import (
    FIELDS,
    FIRST_DAMPING,
    LEAST_DAMPING,
    LEAST_GAIN,
    LEAST_STEP_PX,
    MOST_DAMPING,
    POWERS,
    PRODUCTS,
    RELIEF,
    STEP_PX,
    STIFFENING,
    PyramidLevel,
    can_be_seen,
    reduction_at,
)
from xmatch.matchers.search.on_device.descriptors import (
    DescriptorMaps,
    Views,
    blurred,
    described,
    edge_descriptors,
    inverse,
    warped,
)
from xmatch.matchers.search.on_device.poses import Poses, scale_of
from xmatch.ops.frames import Frames, cut, uploaded


def refine(fixed: Views, moving: Views, poses: Poses, level: PyramidLevel) -> Poses:
    """The best pose near each, at one level of the pyramid, and its score, as `PoseRefiner` finds them.

    How large moving is there goes to the host: it is one number a pose, and decides how much there is to compute.
    """

    def describe(frames: Frames, image: Tensor, valid: Tensor) -> DescriptorMaps:
        return blurred(frames, edge_descriptors(frames, image, valid), level.blur_px)

    device = fixed.images.device
    count, each = poses.scores.shape
    reductions = np.array([reduction_at(level, width, height) for height, width in fixed.sizes])
    targets = np.array([reduced_size(size, by) for size, by in zip(fixed.sizes, reductions, strict=True)], np.int64)
    every = np.arange(count)
    fixed_maps = described(fixed, every, targets, reductions < 1, describe)(every)
    to_level = (targets / fixed.sizes)[:, ::-1]
    pair = np.repeat(every, each)
    factors = to_level[pair, 0] * scale_of(poses.matrices).flatten().cpu().numpy()
    seen = np.array([can_be_seen(moving.sizes[one], factor) for one, factor in zip(pair, factors, strict=True)])
    factors = np.where(seen, factors, 1e-9)
    sizes = np.array(
        [reduced_size(moving.sizes[one], factor) for one, factor in zip(pair, factors, strict=True)], np.int64
    )
    moving_maps = described(moving, pair, sizes, factors < 1, describe)

    to_level_matrix = _scaling(to_level, device)[uploaded(pair, device)]
    from_level = _scaling(moving.sizes[pair][:, ::-1] / sizes[:, ::-1], device)
    starts = to_level_matrix @ poses.matrices.flatten(0, 1) @ from_level
    alive = poses.exist.flatten() & uploaded(seen, device)
    found, scores = [], []
    # Planes of both, their gradients and products, about forty of fixed's size.
    taken = np.full(len(pair), 4 * 40 * int(np.prod(targets.max(axis=0))) + 4 * 5 * int(np.prod(sizes.max(axis=0))))
    for start, stop in cut(taken, device):
        part = np.arange(start, stop)
        pose, score = _climb(
            fixed_maps.of(pair[part]), moving_maps(part), starts[start:stop], alive[start:stop], level.steps
        )
        found.append(pose)
        scores.append(score)
    refined = inverse(to_level_matrix) @ torch.cat(found) @ inverse(from_level)
    matrices = torch.where(alive[:, None, None], refined, poses.matrices.flatten(0, 1))
    return Poses(matrices.view_as(poses.matrices), torch.cat(scores).view_as(poses.scores), poses.exist)


def _scaling(factors_xy: NDArray[np.float64], device: torch.device) -> Tensor:
    """(N, 3, 3)."""
    return torch.diag_embed(uploaded(np.column_stack([factors_xy, np.ones(len(factors_xy))]), device))


@dataclass(frozen=True, eq=False)
class _Sums:
    """What `_climb` asks of poses: their scores (N,), Hessians (N, 4, 4) and gradients (N, 4)."""

    score: Tensor
    hessian: Tensor
    gradient: Tensor


def _climb(
    fixed: DescriptorMaps, moving: DescriptorMaps, pose: Tensor, alive: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """The poses (N, 3, 3) near `pose` that correlate best, and their correlation (N,), as that of the CPU.

    Those that have come to an end stay where they are while the others go on: nobody asks the device whether any do.

    Args:
        alive: (N,) bool; the others are left alone.
    """
    device = pose.device
    width, height = (uploaded(fixed.sizes[:, axis].astype(np.float64), device) for axis in (1, 0))
    centre = torch.eye(3, dtype=torch.float64, device=device).repeat(len(pose), 1, 1)
    centre[:, 0, 2], centre[:, 1, 2] = width / 2, height / 2
    from_centre = inverse(centre)
    fields = uploaded(FIELDS, device)
    outline = uploaded((corners(1, 1) - (CENTRE, CENTRE)) * fixed.sizes[:, None, ::-1], device)
    measure = _Measure(fixed, moving)
    best, best_score = pose, torch.full_like(width, -torch.inf)
    damping = torch.full_like(width, FIRST_DAMPING)
    hessian, gradient = width.new_zeros(len(pose), 4, 4), width.new_zeros(len(pose), 4)
    for _ in range(steps + 1):
        current = measure(pose)
        better = alive & (current.score > best_score)
        best = torch.where(better[:, None, None], pose, best)
        best_score = torch.where(better, current.score, best_score)
        damping = torch.where(better, (damping * RELIEF).clamp_min(LEAST_DAMPING), damping * STIFFENING)
        hessian = torch.where(better[:, None, None], current.hessian, hessian)
        gradient = torch.where(better[:, None], current.gradient, gradient)
        alive = alive & (damping <= MOST_DAMPING) & best_score.isfinite()
        diagonal = hessian.diagonal(dim1=-2, dim2=-1)
        damped = hessian + torch.diag_embed(damping[:, None] * (diagonal + 1e-9))
        step, singular = torch.linalg.solve_ex(damped, gradient)
        reach = _reach_px(step, fields, outline)
        alive = alive & (singular == 0) & (reach >= LEAST_STEP_PX)
        # A step that would leave the neighbourhood is shortened.
        step = torch.where(alive[:, None], step * (STEP_PX / reach).clamp_max(1.0)[:, None], 0.0)
        pose = centre @ _matrix(step, fields) @ from_centre @ best
    return best, torch.where(best_score.isfinite(), best_score, -1.0).float()


def _matrix(step: Tensor, fields: Tensor) -> Tensor:
    """(N, 3, 3) as `gauss_newton.motion` of steps (N, 4)."""
    by = torch.einsum("nk,kij->nij", step, fields)
    moved = torch.eye(3, dtype=step.dtype, device=step.device).repeat(len(step), 1, 1)
    moved[:, :2] += by[:, :, [1, 2, 0]]
    return moved


def _reach_px(step: Tensor, fields: Tensor, outline: Tensor) -> Tensor:
    """(N,) as `gauss_newton._reach_px`; the outline (N, 4, 2) is about the images' centres."""
    by = torch.einsum("nk,kij->nij", step, fields)
    turned = by[..., 1:] @ outline.mT
    reach: Tensor = torch.linalg.vector_norm(turned, dim=1).amax(1) + torch.linalg.vector_norm(by[..., 0], dim=1)
    return reach


class _Measure:
    """Scores of poses and the system of equations of the next step, as `correlation` and `_normal_equations` reckon
    them."""

    def __init__(self, fixed: DescriptorMaps, moving: DescriptorMaps) -> None:
        self._fixed, self._moving = fixed, moving
        device = fixed.planes.device
        self._fields = uploaded(FIELDS.reshape(4, 6), device)
        exponents = torch.arange(3, device=device)
        y, x = (
            (torch.arange(n, device=device) - uploaded(fixed.sizes[:, axis] / 2, device)[:, None]).float()
            for axis, n in enumerate(fixed.planes.shape[-2:])
        )
        self._powers_y, self._powers_x = (along[:, None] ** exponents[:, None] for along in (y, x))
        self._own = (fixed.planes * fixed.planes).sum(1)
        self._order = [uploaded(np.array(powers), device) for powers in POWERS]
        self._products = uploaded(PRODUCTS, device)

    def __call__(self, pose: Tensor) -> _Sums:
        shape = self._fixed.valid.shape[1], self._fixed.valid.shape[2]
        to_centre, to_corner = _half_px(pose, -CENTRE), _half_px(pose, CENTRE)
        planes, valid = warped(self._moving, (to_centre @ pose @ to_corner)[:, None], shape)
        source, weight = planes[:, :, 0], valid[:, 0] * self._fixed.valid
        target = self._fixed.planes
        product, other = (target * source).sum(1), (source * source).sum(1)
        both, own, others = (_over(weight, what) for what in (product, self._own, other))
        together = own * others
        score = both / together.clamp_min(1e-30).sqrt() * weight.sum((1, 2)).double().sqrt()
        squared = weight * weight
        gain = (_over(squared, product) / _over(squared, other).clamp_min(1e-9)).clamp_min(LEAST_GAIN).float()
        source = source * weight[:, None]
        residual = target * weight[:, None] / gain[:, None, None, None] - source
        # Content moves by +d where the sampled position moves by -d.
        gx, gy = torch.zeros_like(source), torch.zeros_like(source)
        torch.sub(source[..., :-2], source[..., 2:], out=gx[..., 1:-1])
        torch.sub(source[..., :-2, :], source[..., 2:, :], out=gy[..., 1:-1, :])
        gx *= 0.5 * weight[:, None]
        gy *= 0.5 * weight[:, None]
        pairs = ((gx, gx), (gx, gy), (gy, gy), (gx, residual), (gy, residual))
        summed = torch.stack([(one * two).sum(1) for one, two in pairs], 1)
        moments = (self._powers_y[:, None] @ (summed @ self._powers_x[:, None].mT)).double()
        by_power = moments[:, :, self._order[0], self._order[1]]
        xx, xy, yy = by_power[:, :3, self._products].unbind(1)
        blocks = torch.cat([torch.cat([xx, xy], 2), torch.cat([xy, yy], 2)], 1)
        pull = by_power[:, 3:, :3].flatten(1)
        hessian = self._fields @ blocks @ self._fields.mT
        return _Sums(torch.where(together > 0, score, 0.0), hessian, pull @ self._fields.mT)


def _over(weight: Tensor, what: Tensor) -> Tensor:
    return (weight * what).sum((1, 2)).double()


def _half_px(like: Tensor, by: float) -> Tensor:
    moved = torch.eye(3, dtype=like.dtype, device=like.device)
    moved[:2, 2] = by
    return moved
