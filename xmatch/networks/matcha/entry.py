"""What `xmatch.networks.registry` says of MATCHA's fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.matcha.config import SIZES, MatchaConfig

if TYPE_CHECKING:
    from xmatch.networks.matcha.fusion import Fusion


def _network(config: MatchaConfig) -> Fusion:
    from xmatch.networks.matcha.fusion import Fusion

    return Fusion(config)


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
