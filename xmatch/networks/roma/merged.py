"""A RoMa that computes the same with less work: normalisations are part of the convolutions before them, and refiners
have as many channels as processors like."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from xmatch.networks.roma.network import Roma
from xmatch.networks.roma.refiner import Refiner

MULTIPLE = 16
"""Of channels: a whole number of vector registers, or of the tiles that tensor cores take."""


def merged(network: Roma) -> Roma:
    """A copy, for evaluation only."""
    found = copy.deepcopy(network).eval()
    for part in list(found.modules()):
        if isinstance(part, nn.Sequential | nn.ModuleList):
            _merge(part)
    for refiner in found.decoder.conv_refiner.values():
        assert isinstance(refiner, Refiner)
        _widen(refiner)
    return found


def _merge(layers: nn.Sequential | nn.ModuleList) -> None:
    for number in range(len(layers) - 1):
        layer, after = layers[number], layers[number + 1]
        if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
            layers[number] = fuse_conv_bn_eval(layer, after)
            layers[number + 1] = nn.Identity()


def _widen(refiner: Refiner) -> None:
    """Channels that are always zero."""
    refiner.spare = -refiner.out_conv.in_channels % MULTIPLE
    if refiner.spare:
        for block in (refiner.block1, *refiner.hidden_blocks):
            assert isinstance(block, nn.Sequential)
            block[0], block[3] = _wider(block[0], refiner.spare, True), _wider(block[3], refiner.spare, True)
        refiner.out_conv = _wider(refiner.out_conv, refiner.spare, False)


def _wider(layer: nn.Module, spare: int, outputs_too: bool) -> nn.Conv2d:
    """A convolution with `spare` further inputs, and outputs, that nothing is made of."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    inputs, outputs = layer.in_channels + spare, layer.out_channels + spare * outputs_too
    alone = layer.groups > 1
    found = nn.Conv2d(inputs, outputs, layer.kernel_size, padding=layer.padding, groups=inputs if alone else 1)  # type: ignore[arg-type]
    assert found.bias is not None
    found.weight = nn.Parameter(_padded(layer.weight, found.weight.shape))
    found.bias = nn.Parameter(_padded(layer.bias, found.bias.shape))
    return found


def _padded(values: Tensor, shape: torch.Size) -> Tensor:
    found = values.new_zeros(shape)
    found[tuple(slice(side) for side in values.shape)] = values.detach()
    return found
