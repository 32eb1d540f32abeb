"""The files of an adaptation, and what the weights say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmatch.adaptation.base import Base
from xmatch.adaptation.collect import Collected
from xmatch.adaptation.low_rank import ARCHITECTURE
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.errors import UsageError
from xmatch.io.json_values import json_ready
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.io.writing.atomic import check_target
from xmatch.provenance import commit
from xmatch.training.export import fits_half, hardware

LAST = "last.safetensors"
"""In the folder of the run: the weights of the newest checkpoint, judged or not."""
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class AdaptationFiles:
    """adapted.safetensors and what stands beside it."""

    weights: Path

    @staticmethod
    def of(output: Path) -> AdaptationFiles:
        """
        Raises:
            UsageError: the output is not called *.safetensors.
        """
        if output.suffix != SUFFIX or not output.stem:
            raise UsageError(f"{output} does not end in {SUFFIX}", hint=f"-o NAME{SUFFIX}")
        return AdaptationFiles(output)

    def _beside(self, ending: str) -> Path:
        return self.weights.with_name(self.weights.stem + ending)

    @property
    def run_folder(self) -> Path:
        """Checkpoints and curves; the same command goes on there."""
        return self._beside(".run")

    @property
    def report(self) -> Path:
        return self._beside(".report.html")

    @property
    def document(self) -> Path:
        return self._beside(".report.json")

    def of_weights(self, better: bool, low_rank: bool) -> list[Path]:
        """The whole weights, and the additions alone; under other names when they are not better."""
        middle = "" if better else ".not-better"
        names = [f"{middle}{SUFFIX}", *([f"{middle}.low-rank{SUFFIX}"] if low_rank else [])]
        return [self._beside(name) for name in names]

    def check(self, overwrite: bool, inputs: Sequence[Path]) -> None:
        """Raise OutputError, before any work, when one of the files cannot be written."""
        for path in (self.weights, self.report, self.document):
            check_target(path, overwrite, inputs)


@dataclass(frozen=True, eq=False)
class WeightsWriter:
    """Saves weights of one adaptation, with where they come from."""

    base: Base
    recipe: AdaptRecipe
    collected: Collected
    device: torch.device
    warn: Callable[[str], object]
    """Called when float16 cannot hold them."""

    def write(
        self,
        path: Path,
        tensors: Mapping[str, Tensor],
        *,
        step: int,
        seconds: float,
        numbers: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        low_rank: bool = False,
    ) -> None:
        """Save adapted weights as float16 where they fit.

        Args:
            tensors: as files name them.
            step: optimiser steps taken.
            seconds: of training.
            numbers: measured results.
            low_rank: they are the additions alone.

        Raises:
            ModelError: NaN in them.
            OutputError: the file cannot be written.
        """
        base, recipe, collected = self.base, self.recipe, self.collected
        metadata = WeightsMetadata(
            name=f"{base.metadata.name}-adapted",
            architecture=ARCHITECTURE if low_rank else base.metadata.architecture,
            licence=recipe.licence if recipe.licence is not None else base.metadata.licence,
            config=base.config,
            data=[
                *base.metadata.data,
                f"its user's pairs: {len(collected.labelled)} labelled, {len(collected.unlabelled)} unlabelled",
            ],
            recipe={**recipe.as_dict(), "sha256": recipe.digest()},
            commit=commit() or "",
            step=step,
            minutes=round(seconds / 60, 2),
            hardware=hardware(self.device, 1),
            numbers=json_ready(dict(numbers or {})),
            sources=[{"file": base.path.name, "sha256": base.sha256}],
        )
        half = fits_half(tensors)
        if not half:
            self.warn(f"{path}: numbers beyond the range of float16; written as float32")
        save_weights(path, tensors, metadata, half=half, overwrite=overwrite)
