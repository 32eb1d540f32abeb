"""What `xmatch.networks.registry` says of MATCHA's fusion, and of the small one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.matcha.config import SIZES, SMALL_SIZES, MatchaConfig, MatchaSmallConfig

if TYPE_CHECKING:
    from xmatch.networks.matcha.fusion import Fusion
    from xmatch.networks.matcha.objective import Matcha
    from xmatch.networks.matcha.small import MatchaSmall


def _network(config: MatchaConfig) -> Fusion:
    from xmatch.networks.matcha.fusion import Fusion

    return Fusion(config)


def _small(config: MatchaSmallConfig) -> MatchaSmall:
    from xmatch.networks.matcha.small import MatchaSmall

    return MatchaSmall(config)


def _objective(entry: Architecture[MatchaSmallConfig]) -> Matcha:
    from xmatch.networks.matcha.objective import Matcha

    return Matcha(entry)


MATCHA = Architecture(
    name="matcha",
    title="MATCHA's fusion",
    family="backbone",
    marks=("project_high.weight", "blocks.0.cross_high.query.weight", "head_low.2.weight"),
    published=(
        PublishedWeights(
            name="matcha",
            file="matcha_pretrained.pth",
            licence="MIT",
            commercial=True,
            parameters_m=None,
            source="github.com/feixue94/matcha",
            note="the names of its tensors were not known here: xmatch models convert --names; needs Stable Diffusion "
            "2.1 and DINOv2 beside it",
        ),
    ),
    sizes=SIZES,
    network=_network,
    feature="matcha",
)
MATCHA_SMALL = Architecture(
    name="matcha-small",
    title="matcha-small",
    family="backbone",
    marks=("to_low.0.0.weight", "to_high.0.0.weight", "fusion.project_high.weight"),
    sizes=SMALL_SIZES,
    network=_small,
    feature="matcha-small",
    objective_name="matcha",
    objective=_objective,
)
