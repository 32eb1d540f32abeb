"""What `xmatch.networks.registry` says of LoFTR."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.loftr.config import SIZES, LoftrConfig
from xmatch.networks.loftr.published import MARKS, PUBLISHED, TENSORS, TRAININGS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector
    from xmatch.networks.loftr.network import TrainedLoftr
    from xmatch.networks.loftr.objective import SemiDense
    from xmatch.networks.loftr.runner import LoftrRunner

HEAD_CHANNELS = 32
"""Of each head at stride 8, in published weights and in `SIZES`; shapes do not tell how many heads there are."""


def _network(config: LoftrConfig) -> TrainedLoftr:
    from xmatch.networks.loftr.network import TrainedLoftr

    return TrainedLoftr(config)


def _objective(entry: Architecture[LoftrConfig]) -> SemiDense:
    from xmatch.networks.loftr.objective import SemiDense

    return SemiDense(entry)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> LoftrRunner:
    from xmatch.networks.loftr.network import TrainedLoftr
    from xmatch.networks.loftr.runner import LoftrRunner

    assert isinstance(network, TrainedLoftr) and detector is None
    return LoftrRunner(network, device)


def config_of(tensors: Mapping[str, Tensor]) -> LoftrConfig:
    """The size of a LoFTR; `temp_bug_fix` is not told."""
    fine, middle, coarse = (tensors[f"backbone.layer{n}.0.conv1.weight"].shape[0] for n in (1, 2, 3))
    layers = sum(1 for name in tensors if re.fullmatch(r"loftr_coarse\.layers\.\d+\.q_proj\.weight", name))
    return LoftrConfig(
        initial_dim=tensors["backbone.conv1.weight"].shape[0],
        block_dims=(fine, middle, coarse),
        heads=max(1, coarse // HEAD_CHANNELS),
        layers=layers // 2,
    )


LOFTR = Architecture(
    name="loftr",
    title="LoFTR",
    family="semi-dense",
    marks=MARKS,
    tensors=TENSORS,
    published=PUBLISHED,
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    trainings=TRAININGS,
    runner=_runner,
    matcher="loftr",
    objective_name="semidense",
    objective=_objective,
)
