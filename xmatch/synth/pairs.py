"""Training pairs: two sensors, two geometries, and the exact warp between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.degrade import degraded
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.moved import Moved, moved
from xmatch.synth.resampling import all_valid_at, believed, bilinear, resampled, within
from xmatch.synth.seeds import host_rng, uploaded
from xmatch.synth.sources.aligned import Aligned, joined, with_channels
from xmatch.synth.warps import Warps, base_side, centres, draw_warps, steps_px

FILL_SHARES = {"zeros": 0.5, "mean": 0.25, "noise": 0.25}
"""How often px without content are filled with what."""


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """B pairs of S x S px. Positions are normalised, `align_corners=False`."""

    fixed: Tensor
    """(B, C, S, S) float32 in [0, 1]; C = 1 unless more was asked for."""
    fixed_valid: Tensor
    """(B, 1, S, S) bool: the px shows the scene, not a filled border."""
    moving: Tensor
    """(B, C, S, S)."""
    moving_valid: Tensor
    """(B, 1, S, S) bool."""
    warp: Tensor
    """(B, S, S, 2) position in moving of the centre of every fixed px; outside [-1, 1] where moving does not show it.
    Finite everywhere, but meaningless where the sources say nothing (beyond a flow's image, behind the horizon)."""
    covisible: Tensor
    """(B, S, S) bool: the fixed px is valid, its partner lies inside moving, is valid, and nothing hides either."""
    modalities: tuple[tuple[str, str], ...]
    """Names of the sensors of fixed and moving."""
    origins: tuple[str, ...] = ()
    """What every pair was made from; see `Aligned`."""
    matrices: np.ndarray | None = None
    """(B, 3, 3) float64 homographies fixed -> moving, normalised, NaN where the warp is none."""

    def __len__(self) -> int:
        return len(self.fixed)

    def to(self, device: torch.device | str) -> TrainingPairs:
        """The same pairs on another device."""
        return replace(
            self,
            fixed=self.fixed.to(device),
            fixed_valid=self.fixed_valid.to(device),
            moving=self.moving.to(device),
            moving_valid=self.moving_valid.to(device),
            warp=self.warp.to(device),
            covisible=self.covisible.to(device),
        )


def draw_pairs(
    mixture: Mixture, count: int, size: int, rng: torch.Generator, difficulty: Difficulty, channels: int = 1
) -> TrainingPairs:
    """`count` pairs of `size` x `size` px on the generator's device.

    Args:
        mixture: where the scenes come from.
        difficulty: bounds of what is drawn.
        channels: 1 (luma) or 3 (grey sensors repeat theirs).
    """
    host = host_rng(rng)
    base_size = base_side(size)
    parts, order = [], []
    for source, places in zip(mixture.sources, mixture.allot(count, host), strict=True):
        if len(places):
            parts.append(source.draw(len(places), base_size, rng, difficulty))
            order.append(places)
    return look_twice(joined(parts, np.concatenate(order)), size, rng, host, difficulty, channels)


def look_twice(
    aligned: Aligned,
    size: int,
    rng: torch.Generator,
    host: np.random.Generator,
    difficulty: Difficulty,
    channels: int = 1,
) -> TrainingPairs:
    """Aligned images as pairs with a random warp between them."""
    count, base_size = len(aligned.first), aligned.first.shape[-1]
    warps = draw_warps(count, size, base_size, host, difficulty)
    fixed_at, moving_at = warps.fixed_places(size, rng.device), warps.moving_places(size, rng.device)
    fixed_step = steps_px(warps.fixed_to_base, size, base_size)
    moving_step = steps_px(warps.moving_to_base, size, base_size)
    fixed = resampled(with_channels(aligned.first, channels), fixed_at, fixed_step)
    moving = resampled(with_channels(aligned.second, channels), moving_at, moving_step)
    fixed_valid = believed(aligned.first_valid, fixed_at, fixed_step)
    moving_valid = believed(aligned.second_valid, moving_at, moving_step)
    both, hidden = degraded(torch.cat([fixed, moving]), rng, host, difficulty.noise)
    both = _filled(both, torch.cat([fixed_valid, moving_valid]), rng, host)
    partners, seen = _truth(aligned, warps, fixed_at)
    shown = moving_valid
    if hidden is not None:
        seen, shown = seen & ~hidden[:count], shown & ~hidden[count:]
    seen = seen & fixed_valid & within(partners) & all_valid_at(shown, partners)
    warp = partners.permute(0, 2, 3, 1).contiguous()
    matrices = warps.matrices
    matrices[warps.is_bent | aligned.has_flow] = np.nan
    pairs = TrainingPairs(
        both[:count],
        fixed_valid,
        both[count:],
        moving_valid,
        warp,
        seen[:, 0],
        aligned.names,
        aligned.origins,
        matrices,
    )
    return with_things_moved(pairs, host, difficulty.moved) if difficulty.moved else pairs


def with_things_moved(pairs: TrainingPairs, host: np.random.Generator, share: float) -> TrainingPairs:
    """The same pairs, in a share of which something has moved."""
    chosen = host.random(len(pairs)) < share
    found = moved(Moved(pairs.moving, pairs.moving_valid, pairs.warp, pairs.covisible), chosen, host)
    matrices = pairs.matrices
    if matrices is not None:
        matrices = np.where(chosen[:, None, None], np.nan, matrices)
    return replace(pairs, **vars(found), matrices=matrices)


def _truth(aligned: Aligned, warps: Warps, fixed_at: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2, S, S) place in moving of every fixed px, and (B, 1, S, S) bool: the source vouches for it."""
    seen = within(fixed_at)
    if aligned.covisible is not None:
        seen = seen & all_valid_at(aligned.covisible[:, None], fixed_at)
    if aligned.flow is None:
        return warps.to_moving(fixed_at), seen
    # Interpolated as an offset, so that beyond the border, where its last value repeats, positions go on.
    offset = aligned.flow.permute(0, 3, 1, 2) - centres(aligned.flow.shape[1], fixed_at.device)
    return warps.to_moving(fixed_at + bilinear(offset, fixed_at)), seen


def _filled(image: Tensor, valid: Tensor, rng: torch.Generator, host: np.random.Generator) -> Tensor:
    """Px that are not valid, replaced by zeros, by the image's mean or by noise."""
    kinds = host.choice(list(FILL_SHARES), len(image), p=list(FILL_SHARES.values()))
    if image.device.type == "cpu" and bool(valid.all()):  # a GPU would have to be waited for
        return image
    wants_mean, wants_noise = (uploaded(kinds == name, image.device)[:, None, None, None] for name in ("mean", "noise"))
    share = valid.float().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
    mean = (image * valid).mean((1, 2, 3), keepdim=True) / share
    noise = torch.rand((len(image), 1, *image.shape[-2:]), generator=rng, device=image.device)
    return torch.where(valid, image, wants_mean * mean + wants_noise * noise)
