"""What `xmatch.networks.registry` says of LoFTR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.loftr.config import SIZES, LoftrConfig
from xmatch.networks.loftr.published import MARKS, PUBLISHED, TENSORS

if TYPE_CHECKING:
    from xmatch.networks.loftr.network import TrainedLoftr
    from xmatch.networks.loftr.objective import SemiDense


def _network(config: LoftrConfig) -> TrainedLoftr:
    from xmatch.networks.loftr.network import TrainedLoftr

    return TrainedLoftr(config)


def _objective(entry: Architecture[LoftrConfig]) -> SemiDense:
    from xmatch.networks.loftr.objective import SemiDense

    return SemiDense(entry)


LOFTR = Architecture(
    name="loftr",
    title="LoFTR",
    family="semi-dense",
    marks=MARKS,
    tensors=TENSORS,
    published=PUBLISHED,
    sizes=SIZES,
    network=_network,
    objective_name="semidense",
    objective=_objective,
)
