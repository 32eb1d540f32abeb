"""From a file of weights, ours or as published, to the network that they are of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.errors import ModelError, UsageError
from xmatch.networks.architecture import Architecture, Companion, PublishedWeights
from xmatch.networks.registry import ARCHITECTURES, WITHOUT_WEIGHTS, recognise
from xmatch.networks.weights import find_weights, published_as, training_by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.io.weights.files import WeightsMetadata
    from xmatch.io.weights.published_pickles import Imported


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network with weights, on the CPU, and where these are from."""

    entry: Architecture[Any]
    network: nn.Module
    config: dict[str, Any]
    known: PublishedWeights | None
    """What is published under the hash of the file, or of the one it was converted from."""
    path: Path
    sha256: str
    """Of the file."""
    metadata: WeightsMetadata | None
    """What the file says of itself, if it is one of ours."""

    def as_companion(self) -> Companion:
        named = self.entry if self.entry.name in WITHOUT_WEIGHTS else self.known
        return Companion(self.entry, self.network, self.config, named.name if named else None)


def load_network(weights: str | os.PathLike[str], training: str | None = None) -> LoadedNetwork:
    """The network of a file of weights (.safetensors, .ckpt, .pth, .pt), which is recognised by what it says of itself
    or by the names of its tensors; or of the name of weights (`xmatch.networks.weights.find_weights`).

    Args:
        training: of `Architecture.trainings`, for files that do not say it and are known neither by their hash nor by
            their name.

    Raises:
        ModelError: no such weights, damaged ones, of a network that is not known or cannot be built, or which do not
            fit theirs.
    """
    from xmatch.io.weights.published_pickles import import_weights

    path = find_weights(weights)
    read = import_weights(path)
    entry = architecture_of(read)
    if entry is None or entry.network is None:
        found = entry.title if entry else (read.metadata.architecture if read.metadata else "")
        what = f"holds weights of {found}" if found else "holds weights of no architecture that is known here"
        raise ModelError(f"{what}; nothing here can build it", hint="xmatch models info", path=path)
    return _built(entry, read, path, training)


def load_companion(
    entry: Architecture[Any],
    weights: str | os.PathLike[str] | None,
    known: PublishedWeights | None = None,
    config: Mapping[str, Any] = {},
) -> LoadedNetwork | None:
    """The network that another one works on, whose weights files of that one do not hold; None where it needs none.

    Args:
        entry: of the other one.
        weights: as for `load_network`, or a name of `WITHOUT_WEIGHTS`; None: those that are known to belong to it.
        known: of the weights of the other one.
        config: of the other one.

    Raises:
        ModelError: as `load_network`, or weights of a network of another kind.
        UsageError: it is not known which, or none is needed.
    """
    if entry.companion is None:
        if weights is not None:
            raise UsageError(f"{entry.title} works on no other network", hint="leave out --companion-weights")
        return None
    what, which = _COMPANIONS[entry.companion]
    usual = (known and known.works_on) or config.get("keypoints") or entry.usual_companion
    if weights is None and usual is None:
        raise UsageError(
            f"{entry.title} works on {what} of another network, and the weights do not say of which",
            hint=f"--companion-weights FILE: of {which}",
        )
    try:
        found = _without_weights(weights or usual) or load_network(weights or usual or "")
    except ModelError as error:
        if weights is not None:
            raise
        raise ModelError(
            f"{entry.title} works on {what} of {usual}, whose weights are a file of their own: {error.message}",
            hint=f"--companion-weights FILE; {error.hint}",
        ) from error
    if found.entry.family != entry.companion:
        raise ModelError(f"holds weights of {found.entry.title}; wanted are those of {which}", path=weights)
    return found


_COMPANIONS = {
    "keypoints": ("keypoints", "DISK, ALIKED, XFeat, SuperPoint or sift"),
    "backbone": ("features", "DINOv2"),
}
"""Family of a companion -> what it is needed for, and who there is."""


def _without_weights(name: str | os.PathLike[str] | None) -> LoadedNetwork | None:
    entry = WITHOUT_WEIGHTS.get(str(name))
    if entry is None:
        return None
    return LoadedNetwork(entry, entry.build({}), {}, None, Path(entry.name), "", None)


def architecture_of(read: Imported) -> Architecture[Any] | None:
    """What a file's tensors are of, as it says itself, else by their names."""
    stated = ARCHITECTURES.get(read.metadata.architecture) if read.metadata else None
    return stated or recognise(read.state_dict)


def fitted(entry: Architecture[Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as stored or published, under the names of the network and in single precision."""
    named = entry.renamed(tensors) if entry.renamed else dict(tensors)
    return {name: value.float() if value.is_floating_point() else value for name, value in named.items()}


def _built(entry: Architecture[Any], read: Imported, path: Path, training: str | None) -> LoadedNetwork:
    from xmatch.io.weights.files import load_state

    tensors = fitted(entry, read.state_dict)
    config = dict(read.metadata.config) if read.metadata else {}
    hashes = [read.sha256, *(source.get("sha256", "") for source in (read.metadata.sources if read.metadata else ()))]
    known = next((row for row in map(published_as, hashes) if row), None)
    training = training or (known.training if known else training_by_name(path, entry))
    try:
        if not config and entry.config_of:
            config = entry.config_told(tensors, training)
        network = entry.build(config)
    except UsageError as error:
        raise ModelError(f"its configuration cannot be used: {error.message}", hint=error.hint, path=path) from error
    except (KeyError, StopIteration, ValueError, IndexError) as error:
        raise ModelError(f"tensors of {entry.title} are missing or of another shape: {error}", path=path) from error
    load_state(network, tensors, path)
    return LoadedNetwork(entry, network.eval(), config, known, path, read.sha256, read.metadata)
