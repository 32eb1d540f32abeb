"""The weights that an adaptation starts from, and the recipe of their network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.errors import ModelError
from xmatch.io.weights.files import WeightsMetadata
from xmatch.matchers.base import Matcher
from xmatch.matchers.weights import matcher_around
from xmatch.networks.architecture import Architecture, Companion, NetworkObjective
from xmatch.networks.loading import load_companion, load_network
from xmatch.networks.registry import ARCHITECTURES


@dataclass(frozen=True, eq=False)
class Base:
    tensors: dict[str, Tensor]
    """float32 where they are floating."""
    metadata: WeightsMetadata
    path: Path
    sha256: str
    entry: Architecture[Any]
    """Of the network."""
    companion: Companion | None = None
    """What it works on, where that is a network of its own, which stays as it is."""

    @property
    def config(self) -> dict[str, Any]:
        return self.metadata.config

    @property
    def recipe(self) -> AdaptRecipe:
        """Of an adaptation for which none is given."""
        return AdaptRecipe.from_defaults(self.entry.adaptation or {})

    @property
    def objective(self) -> NetworkObjective:
        """That the network was pretrained by."""
        assert self.entry.objective is not None  # whatever can be adapted can be trained
        objective = self.entry.objective(self.entry)
        objective.companion = self.companion
        return objective

    def network(self, tensors: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The network, on the CPU, with these weights or with its own."""
        network = self.objective.build(self.config)
        network.load_state_dict(dict(self.tensors if tensors is None else tensors))
        return network

    def matcher(self, tensors: Mapping[str, Tensor] | None, device: str) -> Matcher:
        """The matcher around that network."""
        finds = self.entry.companion == "keypoints" and self.companion is not None
        detector = self.companion.detector(device) if finds and self.companion else None
        return matcher_around(self.entry, self.network(tensors), device, detector)


def open_base(matcher: str, weights: str | None, companion_weights: str | None = None) -> Base:
    """Weights from a path, ours or as published, or those that a name stands for.

    Args:
        companion_weights: of the network that the matcher's works on, where there is one.

    Raises:
        ModelError: there are none, they are damaged, or of an architecture that cannot be adapted.
        UsageError: a companion where none is wanted.
    """
    loaded = load_network(weights or matcher)
    entry = loaded.entry
    if entry.adaptation is None:
        adaptable = ", ".join(known.name for known in ARCHITECTURES.values() if known.adaptation is not None)
        message = f"holds weights of {entry.name}; adapted can be {adaptable}"
        raise ModelError(message, hint="xmatch models info", path=loaded.path)
    companion = load_companion(entry, companion_weights, loaded.known, loaded.config)
    known = loaded.known
    metadata = loaded.metadata or WeightsMetadata(
        name=known.name if known else loaded.path.stem,
        architecture=entry.name,
        licence=known.licence if known else "",
    )
    works_on = companion.as_companion() if companion else None
    told = {"keypoints": works_on.name} if works_on and works_on.name and "keypoints" in loaded.config else {}
    metadata = dataclasses.replace(metadata, config=loaded.config | told)
    base = Base(loaded.network.state_dict(), metadata, loaded.path, loaded.sha256, entry, works_on)
    base.objective.build(base.config)  # a companion that does not fit is said at once
    return base
