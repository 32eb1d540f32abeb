"""Pseudo-labels: what the network itself says of an unlabelled pair, made into a target for every scale.

| scheme   | whose prediction             | which scale supervises scale i        |
| -------- | ---------------------------- | ------------------------------------- |
| pl-f     | the network's own            | the finest one, resized               |
| pl       | the network's own            | scale i itself                        |
| pl-t     | the network's own            | one transform fitted to the finest    |
| pl-ema   | its moving average's         | scale i                               |
| pl-ema-f | its moving average's         | the finest one, resized               |

Nothing here carries a gradient.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.adaptation.thresholds import Bounds
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.geometry import Transform
from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import cell_centres
from xmatch.networks.pseudo_labels import Labels
from xmatch.synth.resampling import all_valid_at

SCHEMES = ("pl-f", "pl", "pl-t", "pl-ema", "pl-ema-f")
OF_A_TEACHER = ("pl-ema", "pl-ema-f")
NONE = "none"
"""In place of a scheme: supervised fine-tuning (SFT), without unlabelled pairs."""

FIT_TOLERANCE_PX = 3.0
"""Of cells about the fitted transform, px of moving: as the estimator of registrations has it by default."""
MOST_FITTED = 1000
"""Cells that a transform is fitted to: more only cost time. Not tuned."""


def own_labels(found: DenseWarp, bounds: Bounds, seen: Tensor) -> Labels:
    """The labels that a scale gives to itself.

    Args:
        seen: (B, h, w) bool: cells that show something.
    """
    return _labels(found.warp.detach(), found.certainty.detach().sigmoid(), bounds, seen)


def finest_labels(finest: DenseWarp, shape: tuple[int, int], bounds: Bounds, seen: Tensor) -> Labels:
    """The labels that the finest scale gives to a grid of `shape` = (h, w): warp and probability, bilinear."""
    warp = F.interpolate(finest.warp.detach().permute(0, 3, 1, 2), shape, mode="bilinear", align_corners=False)
    probability = finest.certainty.detach().sigmoid()[:, None]
    probability = F.interpolate(probability, shape, mode="bilinear", align_corners=False)[:, 0]
    return _labels(warp.permute(0, 2, 3, 1), probability, bounds, seen)


def fitted_labels(transforms: list[Transform | None], moving_valid: Tensor, stride: int, seen: Tensor) -> Labels:
    """Labels as if one transform of each pair were the truth; none at all where there is no transform.

    Args:
        transforms: B maps, fixed px -> moving px.
        moving_valid: (B, 1, H, W) bool.
        stride: px of a cell of fixed.
        seen: (B, h, w) bool.
    """
    (height, width), side = seen.shape[1:], torch.tensor(moving_valid.shape[:1:-1])
    centres = cell_centres(height, width, side)
    px = ((centres + 1) / 2 * torch.tensor([width, height]) * stride).reshape(-1, 2).double().numpy()
    warps = [np.full_like(px, np.nan) if t is None else np.asarray(t(px)) for t in transforms]
    places = torch.from_numpy(np.stack(warps)).reshape(len(seen), height, width, 2)
    warp = torch.nan_to_num(places * 2 / side - 1, nan=9.0).clamp(-9, 9).float().to(moving_valid.device)
    inside = (warp.abs() < 1).all(-1) & all_valid_at(moving_valid, warp.permute(0, 3, 1, 2))[:, 0]
    fitted = torch.tensor([t is not None for t in transforms], device=seen.device)[:, None, None]
    return Labels(warp, inside & seen & fitted, seen & fitted)


def fitted_transforms(
    finest: DenseWarp, bounds: Bounds, seen: Tensor, moving_shape: tuple[int, int], kind: str
) -> list[Transform | None]:
    """One map of `kind` for each pair, fixed px -> moving px, through the sure cells; None where they agree on none."""
    height, width = seen.shape[1:]
    side = np.array([moving_shape[1], moving_shape[0]])
    centres = cell_centres(height, width, finest.warp).cpu().numpy().reshape(-1, 2)
    fixed_xy = (centres + 1) / 2 * np.array([width, height]) * finest.stride
    found = []
    for warp, certainty, shown in zip(finest.warp.detach(), finest.certainty.detach().sigmoid(), seen, strict=True):
        moving_xy = (warp.float().cpu().numpy().reshape(-1, 2) + 1) / 2 * side
        sure = ((certainty > bounds.high) & shown).cpu().numpy().ravel()
        sure &= ((moving_xy > 0) & (moving_xy < side)).all(axis=1)
        chosen = np.flatnonzero(sure)
        chosen = chosen[:: max(1, len(chosen) // MOST_FITTED)]
        # The estimator maps the second set of positions onto the first: here fixed onto moving.
        matched = Correspondences(
            moving_xy[chosen].astype(float), fixed_xy[chosen], certainty.cpu().numpy().ravel()[chosen].astype(float)
        )
        found.append(estimate(matched, kind, tolerance_px=FIT_TOLERANCE_PX).transform)
    return found


def pseudo_labels(
    scheme: str,
    own: Prediction,
    teacher: Prediction | None,
    bounds: Bounds,
    fixed_valid: Tensor,
    moving_valid: Tensor,
    kind: str = "homography",
) -> tuple[Labels, ...]:
    """Labels of every scale of `own`, in its order.

    Args:
        scheme: of `SCHEMES`.
        own: of the network that is taught.
        teacher: of its moving average; only the schemes of `OF_A_TEACHER` need it.
        bounds: of the certainties.
        fixed_valid: (B, 1, H, W) bool.
        moving_valid: (B, 1, H, W) bool.
        kind: of the transforms that pl-t fits.
    """
    teaching = own
    if scheme in OF_A_TEACHER:
        assert teacher is not None
        teaching = teacher
    seen = [seen_at(fixed_valid, scale.stride) for scale in own.scales]
    if scheme in ("pl-f", "pl-ema-f"):
        return tuple(finest_labels(teaching.finest, (s.shape[1], s.shape[2]), bounds, s) for s in seen)
    if scheme == "pl-t":
        moving_shape = moving_valid.shape[2], moving_valid.shape[3]
        maps = fitted_transforms(teaching.finest, bounds, seen[-1], moving_shape, kind)
        return tuple(fitted_labels(maps, moving_valid, w.stride, s) for w, s in zip(own.scales, seen, strict=True))
    return tuple(own_labels(scale, bounds, s) for scale, s in zip(teaching.scales, seen, strict=True))


def seen_at(valid: Tensor, stride: int) -> Tensor:
    """(B, h, w) bool: the whole cell shows something, of (B, 1, H, W) bool."""
    return F.avg_pool2d(valid.float(), stride)[:, 0] > 0.99


def _labels(warp: Tensor, probability: Tensor, bounds: Bounds, seen: Tensor) -> Labels:
    positive = (probability > bounds.high) & seen
    return Labels(warp, positive, positive | ((probability < bounds.low) & seen))
