"""Low-rank additions (LoRA, Hu et al. 2021) to linear layers and 1 x 1 convolutions: W + B A, with A and B thin.

In a network they are parametrizations of the weights, torch's own. B starts at zero, so that a network with additions
begins as what it was. Only A and B are trained; the file that holds them is small, names them `<layer>.low_rank_down`
(A) and `<layer>.low_rank_up` (B), and names the weights that they belong to by checksum.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xmatch.errors import ModelError
from xmatch.io.checksum import sha256
from xmatch.io.weights.files import WeightsMetadata, load_weights

DOWN, UP = "low_rank_down", "low_rank_up"
ARCHITECTURE = "xmatch-low-rank"

_IN_A_NETWORK = {
    ".parametrizations.weight.original": ".weight",
    ".parametrizations.weight.0.down": f".{DOWN}",
    ".parametrizations.weight.0.up": f".{UP}",
}
"""Endings of names of a network with additions -> those in files."""


class LowRank(nn.Module):
    """A weight -> the weight with a product of thin matrices added.

    Args:
        weight: (outputs, inputs) or (outputs, inputs, 1, 1).
        rank: of what is added.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view(weight.shape)


def add_low_rank(model: nn.Module, rank: int) -> list[str]:
    """Freeze a network and give its linear layers and 1 x 1 convolutions additions of `rank`; their names."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    thin = {name: layer for name, layer in model.named_modules() if _is_thin(layer)}
    for layer in thin.values():
        weight = layer.weight
        assert isinstance(weight, Tensor)
        parametrize.register_parametrization(layer, "weight", LowRank(weight, rank))
    return list(thin)


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's state dict under the names that files have; one without additions stays as it is."""
    return {_stored_name(name): value for name, value in state.items()}


def with_base(state: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a network, with or without additions, whose other tensors are those of `base`."""
    return {name: base.get(_stored_name(name), value) for name, value in state.items()}


def additions(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The additions alone, of `stored` weights."""
    return {name: value for name, value in weights.items() if _is_addition(name)}


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the network without additions that computes the same, of `stored` weights."""
    out = {name: value for name, value in weights.items() if not _is_addition(name)}
    for name, up in weights.items():
        if name.endswith(f".{UP}"):
            layer = name[: -len(UP) - 1]
            weight = out[f"{layer}.weight"]
            change = up.float() @ weights[f"{layer}.{DOWN}"].float()
            out[f"{layer}.weight"] = (weight.float() + change.view(weight.shape)).to(weight.dtype)
    return out


def added(base: str | os.PathLike[str], small: str | os.PathLike[str]) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """The weights in the file `base` with the additions in the file `small`, and what they say of themselves.

    Raises:
        ModelError: one of the files is damaged, `small` holds no additions, or they belong to other weights.
    """
    changes, metadata = load_weights(small)
    if metadata.architecture != ARCHITECTURE or not changes:
        raise ModelError("holds no low-rank additions", hint="xmatch models info", path=small)
    belongs = metadata.sources[0] if metadata.sources else {}
    if sha256(base) != belongs.get("sha256"):
        raise ModelError(f"is not {belongs.get('file', 'the file')} that {small} was trained on", path=base)
    tensors, of_base = load_weights(base)
    return merged({**tensors, **changes}), replace(metadata, architecture=of_base.architecture)


def _stored_name(name: str) -> str:
    for ending, in_files in _IN_A_NETWORK.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + in_files
    return name


def _is_addition(name: str) -> bool:
    return name.rpartition(".")[2] in (DOWN, UP)


def _is_thin(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == (1, 1) and layer.groups == 1
    return isinstance(layer, nn.Linear)
