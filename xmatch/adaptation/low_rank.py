"""Low-rank additions (LoRA, Hu et al. 2021) to linear layers and 1 x 1 convolutions: W + B A, with A and B thin.

B starts at zero, so that a network with additions begins as what it was. Only A and B are trained; the file that holds
them is small, and names the weights that they belong to by checksum.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.errors import ModelError
from xmatch.io.weights.files import WeightsMetadata, load_weights
from xmatch.io.weights.guard import sha256

DOWN, UP = "low_rank_down", "low_rank_up"
ARCHITECTURE = "xmatch-low-rank"


def add_low_rank(model: nn.Module, rank: int) -> list[str]:
    """Freeze a network and give its linear layers and 1 x 1 convolutions additions of `rank`; their names."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    names = []
    for name, layer in list(model.named_modules()):
        if not _is_thin(layer):
            continue
        inputs, outputs = layer.weight.shape[1], layer.weight.shape[0]
        down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        layer.register_parameter(DOWN, down)
        layer.register_parameter(UP, nn.Parameter(torch.zeros(outputs, rank)))
        layer.register_forward_hook(partial(_added, convolves=isinstance(layer, nn.Conv2d)))
        names.append(name)
    return names


def additions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The additions alone, of a network's state dict."""
    return {name: value for name, value in state.items() if _is_addition(name)}


def base_names(state: Mapping[str, Tensor]) -> list[str]:
    """Names of what is not an addition."""
    return [name for name in state if not _is_addition(name)]


def merged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the network without additions that computes the same."""
    out = {name: state[name] for name in base_names(state)}
    for name, up in state.items():
        if name.endswith(f".{UP}"):
            layer = name[: -len(UP) - 1]
            weight = out[f"{layer}.weight"]
            change = up.float() @ state[f"{layer}.{DOWN}"].float()
            out[f"{layer}.weight"] = (weight.float() + change.view(weight.shape)).to(weight.dtype)
    return out


def added(base: str | os.PathLike, small: str | os.PathLike) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """The weights in the file `base` with the additions in the file `small`, and what they say of themselves.

    Raises:
        ModelError: one of the files is damaged, `small` holds no additions, or they belong to other weights.
    """
    changes, told = load_weights(small)
    if told.architecture != ARCHITECTURE or not changes:
        raise ModelError("holds no low-rank additions", hint="xmatch models info", path=small)
    belongs = told.sources[0] if told.sources else {}
    if sha256(base) != belongs.get("sha256"):
        raise ModelError(f"is not {belongs.get('file', 'the file')} that {small} was trained on", path=base)
    tensors, of_base = load_weights(base)
    whole = merged({**tensors, **changes})
    return whole, replace(told, architecture=of_base.architecture)


def _is_addition(name: str) -> bool:
    return name.rpartition(".")[2] in (DOWN, UP)


def _is_thin(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == (1, 1) and layer.groups == 1
    return isinstance(layer, nn.Linear)


def _added(layer: nn.Module, inputs: tuple[Tensor], output: Tensor, *, convolves: bool) -> Tensor:
    down, up = getattr(layer, DOWN), getattr(layer, UP)
    if convolves:
        thin = F.conv2d(inputs[0], down[:, :, None, None], stride=layer.stride)
        return output + F.conv2d(thin, up[:, :, None, None])
    return output + F.linear(F.linear(inputs[0], down), up)
