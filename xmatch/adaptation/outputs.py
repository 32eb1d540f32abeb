"""The files of an adaptation, and what the weights say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xmatch.adaptation.low_rank import ARCHITECTURE
from xmatch.errors import UsageError
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.io.writing.atomic import check_target
from xmatch.provenance import commit
from xmatch.training.export import fits_half, hardware

if TYPE_CHECKING:
    from xmatch.adaptation.adapt import _Adaptation

LAST = "last.safetensors"
"""In the folder of the run: the weights of the newest checkpoint, judged or not."""
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Targets:
    """adapted.safetensors and what stands beside it."""

    weights: Path

    @staticmethod
    def of(output: Path) -> Targets:
        """
        Raises:
            UsageError: the output is not called *.safetensors.
        """
        if output.suffix != SUFFIX or not output.stem:
            raise UsageError(f"{output} does not end in {SUFFIX}", hint=f"-o NAME{SUFFIX}")
        return Targets(output)

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


def write_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    adaptation: _Adaptation,
    step: int,
    seconds: float,
    numbers: dict[str, Any],
    warn: Callable[[str], object],
    *,
    overwrite: bool = True,
    low_rank: bool = False,
) -> None:
    """Save adapted weights as float16 where they fit, with where they come from.

    Raises:
        ModelError: NaN in them.
        OutputError: the file cannot be written.
    """
    base, recipe, collected = adaptation.base, adaptation.recipe, adaptation.collected
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
        hardware=hardware(adaptation.device, 1),
        numbers=numbers,
        sources=[{"file": base.path.name, "sha256": base.sha256}],
    )
    half = fits_half(tensors)
    if not half:
        warn(f"{path}: numbers beyond the range of float16; written as float32")
    save_weights(path, tensors, metadata, half=half, overwrite=overwrite)
