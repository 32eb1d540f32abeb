"""The averaged weights as the file that is shipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from xmatch.io.checkpoints import WeightsMetadata, save_weights
from xmatch.training.run import Run

WEIGHTS = "weights.safetensors"


def export_weights(folder: Path, run: Run, facts: dict[str, Any]) -> Path:
    """Write the averaged weights of a run as float16.

    Args:
        folder: of the run.
        run: with at least the steps it has now.
        facts: further fields of `WeightsMetadata`.

    Raises:
        ModelError: weights beyond the range of float16.
        OutputError: the file cannot be written.
    """
    recipe = run.recipe
    known = {
        "name": recipe.model.size or f"{run.objective.architecture}-{recipe.model.objective}",
        "architecture": run.objective.architecture,
        "licence": recipe.licence or "",
        "config": run.config,
        "data": [told(spec) for spec in recipe.data],
        "recipe": {**recipe.as_dict(), "sha256": recipe.digest()},
        "step": run.step,
        "minutes": round(run.seconds / 60, 2),
        "hardware": hardware(run.device, run.processes.count),
    }
    path = folder / WEIGHTS
    save_weights(path, run.average.values(), WeightsMetadata(**{**known, **facts}), half=True, overwrite=True)
    return path


def told(spec) -> str:
    """A source of data in one line."""
    where = f" {spec.folder}" if spec.folder else ""
    return f"{spec.kind}{where}{': ' + ', '.join(spec.names) if spec.names else ''}, weight {spec.weight:g}"


def hardware(device: torch.device, processes: int) -> str:
    """Such as "1 x NVIDIA H200" or "2 CPU cores"."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores, {processes * torch.get_num_threads()} threads"
