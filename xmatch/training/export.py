"""The averaged weights as the file that is shipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.provenance import commit
from xmatch.synth.recipe import SourceSpec
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.run import Run

WEIGHTS = "weights.safetensors"

_LARGEST_HALF = torch.finfo(torch.float16).max


def export_weights(
    folder: Path,
    recipe: PretrainRecipe,
    run: Run,
    warn: Callable[[str], object],
    sources: Sequence[dict[str, str]] = (),
) -> Path:
    """Write the averaged weights of a run as float16; as they are where float16 cannot hold them.

    Args:
        folder: of the run.
        recipe: of the run.
        run: with at least the steps it has now.
        warn: called when float16 cannot hold them.
        sources: files of weights that the run began with, each with its SHA-256.

    Raises:
        ModelError: there is NaN in them.
        OutputError: the file cannot be written.
    """
    metadata = WeightsMetadata(
        name=recipe.model.size or f"{run.objective.architecture}-{recipe.model.objective}",
        architecture=run.objective.architecture,
        licence=recipe.licence or "",
        config=run.config,
        data=[source_line(spec) for spec in recipe.all_data],
        recipe={**recipe.as_dict(), "sha256": recipe.digest()},
        commit=commit() or "",
        step=run.step,
        minutes=round(run.seconds / 60, 2),
        hardware=hardware(run.device, run.processes.count),
        sources=list(sources),
    )
    path, values = folder / WEIGHTS, run.averaged_model().state_dict()
    small = fits_half(values)
    if not small:
        warn(f"{path}: numbers beyond the range of float16; written as float32")
    save_weights(path, values, metadata, half=small, overwrite=True)
    return path


def fits_half(tensors: Mapping[str, Tensor]) -> bool:
    """Whether float16 can hold all that is floating."""
    return all(bool((v.abs() <= _LARGEST_HALF).all()) for v in tensors.values() if v.is_floating_point())


def source_line(spec: SourceSpec) -> str:
    """A source of data in one line."""
    where = f" {spec.folder}" if spec.folder else ""
    names = ", ".join(name if isinstance(name, str) else name.sensor for name in spec.names)
    return f"{spec.kind}{where}{': ' + names if names else ''}, weight {spec.weight:g}"


def hardware(device: torch.device, processes: int) -> str:
    """Such as "1 x NVIDIA H200" or "2 CPU cores"."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores, {processes * torch.get_num_threads()} threads"
