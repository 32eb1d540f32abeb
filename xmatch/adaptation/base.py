"""The weights that an adaptation starts from, and the recipe of their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.errors import ModelError, UsageError
from xmatch.io.checksum import sha256
from xmatch.io.weights.files import WeightsMetadata, load_state, load_weights
from xmatch.matchers.base import Matcher
from xmatch.matchers.weights import matcher_around
from xmatch.networks.architecture import Architecture
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.weights import find_weights


@dataclass(frozen=True, eq=False)
class Base:
    tensors: dict[str, Tensor]
    """float32 where they are floating."""
    metadata: WeightsMetadata
    path: Path
    sha256: str
    entry: Architecture[Any]
    """Of the network."""

    @property
    def config(self) -> dict[str, Any]:
        return self.metadata.config

    @property
    def recipe(self) -> AdaptRecipe:
        """Of an adaptation for which none is given."""
        return AdaptRecipe.from_defaults(self.entry.adaptation or {})

    def network(self, tensors: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The network, on the CPU, with these weights or with its own."""
        network = self.entry.build(self.config)
        network.load_state_dict(dict(self.tensors if tensors is None else tensors))
        return network

    def matcher(self, tensors: Mapping[str, Tensor] | None, device: str) -> Matcher:
        """The matcher around that network."""
        return matcher_around(self.entry, self.network(tensors), device)


def open_base(matcher: str, weights: str | None) -> Base:
    """Weights from a path, or those that a name stands for.

    Raises:
        ModelError: there are none, they are damaged, or of an architecture that cannot be adapted.
    """
    path = find_weights(weights or matcher)
    tensors, metadata = load_weights(path)
    entry = ARCHITECTURES.get(metadata.architecture)
    if entry is None or entry.adaptation is None:
        found = metadata.architecture or "an unknown architecture"
        adaptable = ", ".join(known.name for known in ARCHITECTURES.values() if known.adaptation is not None)
        raise ModelError(f"holds weights of {found}; adapted can be {adaptable}", hint="xmatch models info", path=path)
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    try:
        network = entry.build(metadata.config)
    except UsageError as error:
        raise ModelError(f"its configuration cannot be used: {error.message}", path=path) from error
    load_state(network, tensors, path)  # what does not fit is said at once
    return Base(tensors, metadata, path, sha256(path), entry)
