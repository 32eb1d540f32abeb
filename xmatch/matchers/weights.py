"""From a name or a path to a network that is ready to match."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, TypeVar

from xmatch.errors import ModelError
from xmatch.ops.devices import resolved

if TYPE_CHECKING:
    from torch import nn

    from xmatch.matchers.search.learned_descriptors import Drawn
    from xmatch.networks.xmatch.runner import Network

Ready = TypeVar("Ready")

RUNS = {"xmatch": "xmatch-small", "xmatch-fields": "xmatch-fields"}
"""Architecture of weights -> the matcher that runs them."""


def open_network(name: str, weights: str | None, device: str) -> Network:
    """The dense network of `name` with the weights that come with the package, or with those in the file `weights`.

    Args:
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: no such weights, damaged ones, or ones of another architecture.
        UsageError: no such device.
    """
    from xmatch.networks.xmatch.config import XMatchConfig
    from xmatch.networks.xmatch.network import XMatch
    from xmatch.networks.xmatch.runner import Network

    return _opened(name, weights, device, "xmatch", lambda config: XMatch(XMatchConfig(**config)), Network)


def open_fields(name: str, weights: str | None, device: str) -> Drawn:
    """The network of `name` that draws fields; arguments and errors as `open_network`."""
    from xmatch.matchers.search.learned_descriptors import Drawn
    from xmatch.networks.fieldnet.network import FieldNet, FieldNetConfig

    return _opened(name, weights, device, "xmatch-fields", lambda config: FieldNet(FieldNetConfig(**config)), Drawn)


def matcher_of(weights: str | os.PathLike) -> str:
    """Name of the matcher that a file of weights is for.

    Raises:
        ModelError: damaged, or of an architecture that no matcher here runs.
    """
    from xmatch.io.weights.files import read_metadata

    architecture = read_metadata(weights).architecture
    if architecture not in RUNS:
        found = architecture or "an unknown architecture"
        raise ModelError(f"holds weights of {found}, which no matcher runs", hint="xmatch models info", path=weights)
    return RUNS[architecture]


def _opened(
    name: str,
    weights: str | None,
    device: str,
    architecture: str,
    build: Callable[[Mapping[str, Any]], nn.Module],
    ready: Callable[[Any, str], Ready],
) -> Ready:
    if weights is not None:
        return ready(_loaded(weights, architecture, build), resolved(device))
    shipped = files("xmatch") / "weights" / f"{name}.safetensors"
    if not shipped.is_file():
        raise ModelError(f"no weights for {name} come with the package", hint="--weights PATH, or xmatch pretrain")
    with as_file(shipped) as path:
        return ready(_loaded(path, architecture, build), resolved(device))


def _loaded(path: str | os.PathLike, architecture: str, build: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
    import torch

    from xmatch.io.weights.files import load_state, load_weights

    state, metadata = load_weights(path)
    if metadata.architecture != architecture:
        found = metadata.architecture or "an unknown architecture"
        raise ModelError(f"holds weights of {found}, not of {architecture}", hint="xmatch models info", path=path)
    try:
        with torch.device("meta"):
            model = build({k: tuple(v) if isinstance(v, list) else v for k, v in metadata.config.items()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"its configuration cannot be used: {error}", path=path) from error
    model.to_empty(device="cpu")
    load_state(
        model, {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, path
    )
    return model
