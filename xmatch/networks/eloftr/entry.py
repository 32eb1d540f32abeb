"""What `xmatch.networks.registry` says of Efficient LoFTR."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.eloftr.config import SIZES, EloftrConfig
from xmatch.networks.eloftr.published import (
    MARKS,
    PUBLISHED,
    TENSORS,
    TRAININGS,
    TRANSFORMERS_MARKS,
    from_transformers,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector
    from xmatch.networks.eloftr.network import EfficientLoftr
    from xmatch.networks.eloftr.runner import EloftrRunner

HEAD_CHANNELS = 32
"""Of each head in published weights; shapes do not tell how many heads there are."""


def _network(config: EloftrConfig) -> EfficientLoftr:
    from xmatch.networks.eloftr.network import EfficientLoftr

    return EfficientLoftr(config)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> EloftrRunner:
    from xmatch.networks.eloftr.network import EfficientLoftr
    from xmatch.networks.eloftr.runner import EloftrRunner

    assert isinstance(network, EfficientLoftr) and detector is None
    return EloftrRunner(network, device)


def config_of(tensors: Mapping[str, Tensor]) -> EloftrConfig:
    """The size of an Efficient LoFTR."""
    half, quarter, eighth = (tensors[f"backbone.layer{n}.0.rbr_dense.conv.weight"].shape[0] for n in (1, 2, 3))

    def count(pattern: str) -> int:
        return sum(1 for name in tensors if re.fullmatch(pattern, name))

    a, b, c = (count(rf"backbone\.layer{n}\.\d+\.rbr_dense\.conv\.weight") for n in (1, 2, 3))
    return EloftrConfig(
        block_dims=(half, quarter, eighth),
        blocks=(a, b, c),
        heads=max(1, eighth // HEAD_CHANNELS),
        layers=count(r"loftr_coarse\.layers\.\d+\.aggregate\.weight") // 2,
    )


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors named as in transformers, under their published names."""
    return {from_transformers(name): tensor for name, tensor in tensors.items()}


ELOFTR = Architecture(
    name="eloftr",
    title="Efficient LoFTR",
    family="semi-dense",
    marks=MARKS,
    tensors=TENSORS,
    published=PUBLISHED,
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    trainings=TRAININGS,
    usual_training="photographs",
    runner=_runner,
    matcher="eloftr",
)

ELOFTR_HF = dataclasses.replace(
    ELOFTR,
    name="eloftr-hf",
    title="Efficient LoFTR, names of transformers",
    marks=TRANSFORMERS_MARKS,
    published=(),
    renamed=renamed,
)
"""The same network: weights that the Hugging Face hub has as safetensors."""
