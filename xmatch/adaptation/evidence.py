"""What pairs that are held out say of a network: errors where they are labelled, agreement with itself where not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.adaptation.objective import predicted
from xmatch.adaptation.pseudo import seen_at
from xmatch.models import DenseWarp
from xmatch.models.geometry import cell_centres
from xmatch.synth.pairs import TrainingPairs
from xmatch.training.objectives import Objective
from xmatch.training.validation import WITHIN_PX, measure

RETURN_PX = 3.0
"""A cell that comes back within this has been matched there and back."""

Row = dict[str, float | int | str]


def labelled_score(objective: Objective, model: nn.Module, held: Sequence[TrainingPairs], device) -> Row:
    """Errors on held-out labelled pairs; "score" is the mean of the shares of cells within 1, 3 and 5 px, percent."""
    row = measure(objective, model, held, device)[0]
    score = 100 * sum(float(row[f"within_{limit}px"]) for limit in WITHIN_PX) / len(WITHIN_PX)
    return {**row, "score": round(score, 4)}


@torch.no_grad()
def unlabelled_score(model: nn.Module, held: Sequence[TrainingPairs], device, finest: int) -> Row:
    """Forward-backward agreement on held-out unlabelled pairs; "score" is the share of cells of fixed that come back
    within `RETURN_PX`, percent, and "median_px" how far off the others are with them."""
    shares, medians = [], []
    for batch in held:
        batch = batch.to(device)
        there = predicted(model, batch, finest).finest
        back = model(batch.moving, batch.moving_valid, batch.fixed, batch.fixed_valid, finest=finest).finest
        distance = return_distance_px(there, back, tuple(batch.fixed.shape[2:]))
        seen = seen_at(batch.fixed_valid, there.stride)
        for off, shown in zip(distance, seen, strict=True):
            if bool(shown.any()):
                shares.append(float((off[shown] < RETURN_PX).float().mean()))
                medians.append(float(off[shown].median()))
    score, median = (round(sum(v) / max(len(v), 1), 4) for v in ([100 * s for s in shares], medians))
    return {"pairs": len(shares), "median_px": median, "score": score}


def return_distance_px(there: DenseWarp, back: DenseWarp, fixed_shape: tuple[int, int]) -> Tensor:
    """(B, h, w) px of fixed between each cell and where the way to moving and back leads; infinite where the way there
    leaves moving."""
    home = F.grid_sample(back.warp.permute(0, 3, 1, 2), there.warp, padding_mode="border", align_corners=False)
    start = cell_centres(*there.warp.shape[1:3], there.warp)
    side = there.warp.new_tensor([fixed_shape[1], fixed_shape[0]])
    distance = torch.linalg.vector_norm((home.permute(0, 2, 3, 1) - start) * side / 2, dim=-1)
    return torch.where((there.warp.abs() <= 1).all(-1), distance, torch.inf)
