"""What pairs that are held out say of a network: errors where their pose is known, else agreement with itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.adaptation.pseudo import seen_at
from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.base import DenseWarp
from xmatch.networks.dense_objective import predicted
from xmatch.networks.grids import cell_centres
from xmatch.synth.pairs import TrainingPairs
from xmatch.training.validation import ALL, pair_errors, row_of

AGREE_PX = 3.0
"""Two answers within this agree. The middle one of the limits that errors are counted at. Not tuned."""
TURN_DEG, SHIFT = (6.0, 12.0), (0.05, 0.12)
"""How far moving is turned, and shifted in half sides, either way. More than `AGREE_PX` moves, and within what the
matcher tolerates. Not tuned."""

Row = dict[str, float | int | str]


@dataclass(frozen=True)
class Evidence:
    """What held-out views say of a network."""

    row: Row
    """Means over the views; "score" is what counts, higher being better."""
    scores: tuple[float, ...]
    """The score of each view, in their order; NaN for one that shows nothing."""

    @staticmethod
    def of(row: Row, scores: Sequence[float]) -> Evidence:
        finite = [score for score in scores if math.isfinite(score)]
        return Evidence({**row, "score": round(sum(finite) / max(len(finite), 1), 4)}, tuple(scores))


@torch.no_grad()
def labelled_score(
    objective: NetworkObjective, model: nn.Module, held: Sequence[TrainingPairs], device: torch.device
) -> Evidence:
    """Errors on held-out pairs whose pose is known, and what the objective scores each by."""
    row = row_of(ALL, pair_errors(objective, model, held, device))
    scores: list[float] = []
    for number, batch in enumerate(held):
        with torch.random.fork_rng(devices=[]):  # whatever chance has a part in is the same every time
            torch.manual_seed(number)
            scores += objective.scores(model, batch.to(device))
    return Evidence.of(row, scores)


@torch.no_grad()
def unlabelled_score(model: nn.Module, held: Sequence[TrainingPairs], device: torch.device, finest: int) -> Evidence:
    """Agreement of a network with itself on held-out unlabelled pairs; "score" is the share of cells of fixed, percent,
    that come back within `AGREE_PX` when they are matched to moving and back, and that follow within the same when
    moving is turned and shifted. A network that always answers "the same place" comes back, but does not follow.

    "returns" and "follows" are the two shares by themselves.
    """
    found: dict[str, list[float]] = {"returns": [], "follows": []}
    scores: list[float] = []
    for number, batch in enumerate(held):
        batch = batch.to(device)
        there = predicted(model, batch, finest).finest
        back: DenseWarp = model(batch.moving, batch.moving_valid, batch.fixed, batch.fixed_valid, finest=finest).finest
        turn = turns(len(batch), number).to(device)
        moved = predicted(model, turned(batch, turn), finest).finest
        shape = batch.fixed.shape[2], batch.fixed.shape[3]
        returns = return_distance_px(there, back, shape) < AGREE_PX
        follows = follow_distance_px(there, moved, turn, shape) < AGREE_PX
        seen = seen_at(batch.fixed_valid, there.stride)
        for shown, came, went in zip(seen, returns, follows, strict=True):
            if not bool(shown.any()):
                scores.append(math.nan)
                continue
            scores.append(100 * float((came & went)[shown].float().mean()))
            for name, cells in (("returns", came), ("follows", went)):
                found[name].append(100 * float(cells[shown].float().mean()))
    means = {name: round(sum(values) / max(len(values), 1), 4) for name, values in found.items()}
    return Evidence.of({"pairs": len(found["returns"]), **means}, scores)


def turns(count: int, number: int) -> Tensor:
    """(B, 3, 3) similarities of normalised positions in moving, the same for the same batch `number`."""
    host = np.random.default_rng((number, count))
    angle = np.radians(host.choice([-1, 1], count) * host.uniform(*TURN_DEG, count))
    matrices = np.tile(np.eye(3), (count, 1, 1))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angle)
    matrices[:, 1, 0], matrices[:, 0, 1] = np.sin(angle), -np.sin(angle)
    matrices[:, :2, 2] = host.choice([-1, 1], (count, 2)) * host.uniform(*SHIFT, (count, 2))
    return torch.from_numpy(matrices).float()


def turned(batch: TrainingPairs, turn: Tensor) -> TrainingPairs:
    """Square pairs with moving resampled so that what was at y lies at `turn` y."""
    grid = F.affine_grid(torch.linalg.inv(turn)[:, :2], list(batch.moving.shape), align_corners=False)
    moving = F.grid_sample(batch.moving, grid, padding_mode="border", align_corners=False)
    valid = F.grid_sample(batch.moving_valid.float(), grid, padding_mode="zeros", align_corners=False) > 0.999
    return dataclasses.replace(batch, moving=moving, moving_valid=valid)


def follow_distance_px(found: DenseWarp, moved: DenseWarp, turn: Tensor, shape: tuple[int, int]) -> Tensor:
    """(B, h, w) px of moving between a prediction and that on `turned` images, turned back."""
    back = torch.linalg.inv(turn)[:, None, None]
    home = (back[..., :2, :2] @ moved.warp[..., None])[..., 0] + back[..., :2, 2]
    side = found.warp.new_tensor([shape[1], shape[0]])
    return torch.linalg.vector_norm((home - found.warp) * side / 2, dim=-1)


def return_distance_px(there: DenseWarp, back: DenseWarp, fixed_shape: tuple[int, int]) -> Tensor:
    """(B, h, w) px of fixed between each cell and where the way to moving and back leads; infinite where the way there
    leaves moving."""
    home = F.grid_sample(back.warp.permute(0, 3, 1, 2), there.warp, padding_mode="border", align_corners=False)
    start = cell_centres(there.warp.shape[1], there.warp.shape[2], there.warp)
    side = there.warp.new_tensor([fixed_shape[1], fixed_shape[0]])
    distance = torch.linalg.vector_norm((home.permute(0, 2, 3, 1) - start) * side / 2, dim=-1)
    return torch.where((there.warp.abs() <= 1).all(-1), distance, torch.inf)
