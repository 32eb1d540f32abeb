"""How far off the averaged weights are, on pairs that stay the same throughout a run."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xmatch.networks.base import WITHIN_PX, Objective
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.recipe import build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.worlds import SceneMaker
from xmatch.training.recipe import PretrainRecipe

ALL = "all"

_STREAM = 2**20
"""In place of a rank: no process draws this stream for its training."""


def validation_pairs(
    recipe: PretrainRecipe, folder: str | os.PathLike, maker: SceneMaker | None = None
) -> tuple[TrainingPairs, ...]:
    """The fixed set of a recipe: full difficulty, the size of the last stage; on the CPU, whatever trains.

    Args:
        maker: of the scenes of worlds; None: they are made here.

    Raises:
        InputError, UsageError: the data cannot be used.
    """
    spec, stage = recipe.validation, recipe.stages[-1]
    mixture = build_mixture(recipe.validation_data, folder)
    if maker is not None:
        mixture.make_with(maker)
    _, full = recipe.curriculum.bounds()
    counts = [min(stage.batch, spec.pairs - start) for start in range(0, spec.pairs, stage.batch)]
    return tuple(
        draw_pairs(mixture, count, stage.size, device_rng("cpu", spec.seed, _STREAM, number), full)
        for number, count in enumerate(counts)
    )


def measure(
    objective: Objective, model: nn.Module, batches: Sequence[TrainingPairs], device: torch.device
) -> list[dict[str, float | int | str]]:
    """Errors by kind of pair, those of all pairs first.

    Each row has "modalities", "pairs", "epe_px" (mean end-point error), "median_px" and "within_<n>px" (shares). Each
    is computed for every pair and then averaged over the pairs; a pair without any correspondence counts with
    shares of 0 and is left out of the two errors.
    """
    every = pair_errors(objective, model, batches, device)
    names = ["-".join(sorted(names)) for batch in batches for names in batch.modalities]
    found: dict[str, list[Tensor]] = {}
    for name, errors in zip(names, every, strict=True):
        found.setdefault(name, []).append(errors)
    return [row_of(ALL, every), *(row_of(name, found[name]) for name in sorted(found))]


@torch.no_grad()
def pair_errors(
    objective: Objective, model: nn.Module, batches: Sequence[TrainingPairs], device: torch.device
) -> list[Tensor]:
    """Of every pair the errors of its positions, px of moving, (N,), on the CPU."""
    was_training = model.training
    model.eval()
    try:
        found = [errors for batch in batches for errors in objective.errors(model, batch.to(device))]
    finally:
        model.train(was_training)
    return [errors.detach().float().cpu() for errors in found]


def row_of(name: str, pairs: list[Tensor]) -> dict[str, float | int | str]:
    """The row of `measure` over these pairs."""
    some = [errors for errors in pairs if len(errors)]
    row: dict[str, float | int | str] = {
        "modalities": name,
        "pairs": len(pairs),
        "epe_px": _mean([float(errors.mean()) for errors in some]),
        "median_px": _mean([float(errors.median()) for errors in some]),
    }
    for limit in WITHIN_PX:
        row[f"within_{limit}px"] = _mean(
            [float((errors < limit).float().mean()) if len(errors) else 0 for errors in pairs]
        )
    return row


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4) if values else float("nan")
