"""From weights to the matcher that runs them, as the registry of networks has it."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from xmatch.errors import ModelError, UsageError
from xmatch.matchers.base import Matcher
from xmatch.networks.architecture import NOT_RUN, Architecture
from xmatch.networks.fieldnet.entry import FIELDNET
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.xmatch.entry import XMATCH
from xmatch.ops.devices import resolved

if TYPE_CHECKING:
    from torch import nn

    from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
    from xmatch.networks.xmatch.runner import Network


def open_network(name: str, weights: str | None, device: str) -> Network:
    """The dense network of `name` with the weights that come with the package, or with those in the file `weights`.

    Args:
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: no such weights, damaged ones, or ones of another architecture.
        UsageError: no such device.
    """
    return _dense_runner(_opened(name, weights, XMATCH), resolved(device))


def open_fields(name: str, weights: str | None, device: str) -> LearnedDescriptor:
    """The network of `name` that draws fields; arguments and errors as `open_network`."""
    return _fields_runner(_opened(name, weights, FIELDNET), resolved(device))


def open_matcher(name: str, weights: str | None, device: str) -> Matcher:
    """The matcher of that name that runs a network; arguments and errors as `open_network`."""
    entry = next(entry for entry in ARCHITECTURES.values() if entry.matcher == name)
    return matcher_around(entry, _opened(name, weights, entry), resolved(device))


def matcher_of(weights: str | os.PathLike[str]) -> str:
    """Name of the matcher that a file of weights is for.

    Raises:
        ModelError: damaged, or of an architecture that no matcher here runs.
    """
    from xmatch.io.weights.files import read_metadata

    name = read_metadata(weights).architecture
    entry = ARCHITECTURES.get(name)
    if entry is None or entry.matcher is None:
        found = name or "an unknown architecture"
        raise ModelError(f"holds weights of {found}; {NOT_RUN}", hint="xmatch models info", path=weights)
    return entry.matcher


def matcher_around(entry: Architecture[Any], network: nn.Module, device: str) -> Matcher:
    """The matcher that runs a network which is built already.

    Raises:
        UsageError: nothing here runs such a network yet.
    """
    if entry.matcher is None:
        raise UsageError(f"{entry.title}: {NOT_RUN}")
    if entry.predicts_warp:
        from xmatch.matchers.dense import DenseMatcher

        return DenseMatcher(entry.matcher, _dense_runner(network, device))
    from xmatch.matchers.structural import Structural

    return Structural(entry.matcher, _fields_runner(network, device))


def _dense_runner(network: nn.Module, device: str) -> Network:
    from xmatch.networks.xmatch.network import XMatch
    from xmatch.networks.xmatch.runner import Network

    assert isinstance(network, XMatch)
    return Network(network, device)


def _fields_runner(network: nn.Module, device: str) -> LearnedDescriptor:
    from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
    from xmatch.networks.fieldnet.network import FieldNet

    assert isinstance(network, FieldNet)
    return LearnedDescriptor(network, device)


def _opened(name: str, weights: str | None, entry: Architecture[Any]) -> nn.Module:
    if weights is not None:
        return _loaded(weights, entry)
    shipped = files("xmatch") / "weights" / f"{name}.safetensors"
    if not shipped.is_file():
        raise ModelError(f"no weights for {name} come with the package", hint="--weights PATH, or xmatch pretrain")
    with as_file(shipped) as path:
        return _loaded(path, entry)


def _loaded(path: str | os.PathLike[str], entry: Architecture[Any]) -> nn.Module:
    import torch

    from xmatch.io.weights.files import load_state, load_weights

    state, metadata = load_weights(path)
    if metadata.architecture != entry.name:
        found = metadata.architecture or "an unknown architecture"
        raise ModelError(f"holds weights of {found}, not of {entry.name}", hint="xmatch models info", path=path)
    try:
        with torch.device("meta"):
            model = entry.build(metadata.config)
    except UsageError as error:
        raise ModelError(f"its configuration cannot be used: {error.message}", path=path) from error
    model.to_empty(device="cpu")
    load_state(
        model, {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, path
    )
    return model
