"""What `xmatch.networks.registry` says of XoFTR."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.xoftr.config import SIZES, XoftrConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector
    from xmatch.networks.xoftr.network import Xoftr
    from xmatch.networks.xoftr.runner import XoftrRunner

HEAD_CHANNELS = (16, 28, 32)
"""Of each head at strides 2, 4 and 8 in published weights; shapes do not tell how many heads there are."""


def _network(config: XoftrConfig) -> Xoftr:
    from xmatch.networks.xoftr.network import Xoftr

    return Xoftr(config)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> XoftrRunner:
    from xmatch.networks.xoftr.network import Xoftr
    from xmatch.networks.xoftr.runner import XoftrRunner

    assert isinstance(network, Xoftr) and detector is None
    return XoftrRunner(network, device)


def config_of(tensors: Mapping[str, Tensor]) -> XoftrConfig:
    """The size of an XoFTR."""
    half, quarter, eighth = (tensors[f"backbone.layer{n}.0.conv1.weight"].shape[0] for n in (1, 2, 3))
    a, b, c = (max(1, dim // head) for dim, head in zip((half, quarter, eighth), HEAD_CHANNELS, strict=True))
    layers = sum(1 for name in tensors if re.fullmatch(r"loftr_coarse\.layers\.\d+\.q_proj\.weight", name))
    return XoftrConfig(block_dims=(half, quarter, eighth), heads=(a, b, c), layers=layers // 2)


XOFTR = Architecture(
    name="xoftr",
    title="XoFTR",
    family="semi-dense",
    marks=("loftr_coarse.layers.0.q_proj.weight", "fine_process.", "coarse_matching."),
    tensors=247,
    published=(
        PublishedWeights(
            name="minima-xoftr",
            file="minima_xoftr.ckpt",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=11.1,
            source="github.com/LSXI7/storage, release MINIMA",
            sha256="551eaa814713b3c60ca380eda022be9b7609e51737302e12370f8943a1e864d7",
        ),
    ),
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    runner=_runner,
    matcher="xoftr",
)
