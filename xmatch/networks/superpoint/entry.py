"""What `xmatch.networks.registry` says of SuperPoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.superpoint.config import SuperPointConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector


def _network(config: SuperPointConfig) -> nn.Module:
    from xmatch.networks.superpoint.network import SuperPoint

    return SuperPoint(config)


def _detector(network: nn.Module, device: str) -> Detector:
    from xmatch.networks.superpoint.detector import SuperPointDetector

    return SuperPointDetector(network, device)


def _config_of(tensors: Mapping[str, Tensor]) -> SuperPointConfig:
    one, two, three, four = (tensors[f"conv{level}a.weight"].shape[0] for level in (1, 2, 3, 4))
    hidden, descriptor = (tensors[f"convD{part}.weight"].shape[0] for part in "ab")
    return SuperPointConfig((one, two, three, four), hidden, descriptor)


SUPERPOINT = Architecture(
    name="superpoint",
    title="SuperPoint",
    family="keypoints",
    marks=("conv1a.weight", "convPa.weight", "convDb.weight"),
    tensors=24,
    published=(
        PublishedWeights(
            name="superpoint",
            file="superpoint_v1.pth",
            licence="LicenseRef-MagicLeap-noncommercial",
            commercial=False,
            parameters_m=1.3,
            source="github.com/magicleap/SuperPointPretrainedNetwork",
            note="research only, no redistribution",
        ),
    ),
    sizes={"superpoint": SuperPointConfig()},
    network=_network,
    config_of=_config_of,
    detector=_detector,
    descriptor_length=lambda config: config["descriptor"],
    matcher="superpoint",
)
