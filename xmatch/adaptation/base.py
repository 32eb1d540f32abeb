"""The weights that an adaptation starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xmatch.adaptation.pseudo import NONE
from xmatch.adaptation.recipe import AdaptOptimiser, AdaptRecipe, GuardSpec
from xmatch.errors import ModelError, UsageError
from xmatch.io.weights.files import WeightsMetadata, load_state, load_weights
from xmatch.io.weights.guard import sha256
from xmatch.io.weights.shelf import find_weights
from xmatch.matchers.base import Matcher
from xmatch.networks.registry import load_objective


def _learned(model: nn.Module, device: str) -> Matcher:
    from xmatch.matchers.dense import Learned
    from xmatch.networks.xmatch.runner import Network

    return Learned("xmatch", Network(model, device))


def _searching(model: nn.Module, device: str) -> Matcher:
    from xmatch.matchers.search.learned_descriptors import Drawn
    from xmatch.matchers.structural import Structural

    return Structural("xmatch-fields", fields=Drawn(model, device))


@dataclass(frozen=True)
class Family:
    """An architecture that can be adapted."""

    objective: str
    """Of its pretraining: a name in `xmatch.networks.registry.OBJECTIVES`."""
    matcher: Callable[[nn.Module, str], Matcher]
    """(network, device) -> the matcher around it."""
    recipe: AdaptRecipe
    """Of an adaptation for which none is given."""
    scales: bool
    """Whether it predicts warp and certainty at several scales, as pseudo-labels need. Others learn from labelled pairs
    and from accepted registrations."""


DENSE = AdaptRecipe(
    steps=400,
    trust_verdicts=True,
    optimiser=AdaptOptimiser(final_lr=0.05),
)
"""PL-F, with what registrations are trusted for as further labels."""

FIELDS = AdaptRecipe(
    steps=400,
    batch=8,
    size=192,
    pseudo=NONE,
    trust_verdicts=True,
    augment={"max_angle_deg": 180.0, "max_scale": 1.3, "max_shift": 0.25, "perspective": 0.03},
    optimiser=AdaptOptimiser(lr=5e-4, encoder_lr=5e-4, warmup_steps=20, final_lr=0.05),
    guard=GuardSpec(every=50),
)
"""The search takes any turn, so all are shown."""

FAMILIES: dict[str, Family] = {
    "xmatch": Family("dense", _learned, DENSE, scales=True),
    "xmatch-fields": Family("fields", _searching, FIELDS, scales=False),
}
"""Architecture, as files of weights name it -> how it is adapted."""


@dataclass(frozen=True, eq=False)
class Base:
    tensors: dict[str, Tensor]
    """float32 where they are floating."""
    metadata: WeightsMetadata
    path: Path
    sha256: str
    family: Family

    @property
    def config(self) -> dict[str, Any]:
        return self.metadata.config


def open_base(matcher: str, weights: str | None) -> Base:
    """Weights from a path, or those that a name stands for.

    Raises:
        ModelError: there are none, they are damaged, or of an architecture that cannot be adapted.
    """
    path = find_weights(weights or matcher)
    tensors, metadata = load_weights(path)
    if metadata.architecture not in FAMILIES:
        found = metadata.architecture or "an unknown architecture"
        raise ModelError(
            f"holds weights of {found}; adapted can be {', '.join(FAMILIES)}", hint="xmatch models info", path=path
        )
    family = FAMILIES[metadata.architecture]
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    try:
        network = load_objective(family.objective).build(metadata.config)
    except UsageError as error:
        raise ModelError(f"its configuration cannot be used: {error.message}", path=path) from error
    load_state(network, tensors, path)  # what does not fit is told at once
    return Base(tensors, metadata, path, sha256(path), family)
