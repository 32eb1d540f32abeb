"""What `xmatch.networks.registry` says of SIFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.sift.config import SiftConfig

if TYPE_CHECKING:
    from torch import nn

    from xmatch.networks.base import Detector


def _network(config: SiftConfig) -> nn.Module:
    from torch import nn

    return nn.Module()


def _detector(network: nn.Module, device: str) -> Detector:
    from xmatch.networks.sift.detector import SiftDetector

    return SiftDetector(device)


SIFT = Architecture(
    name="sift",
    title="SIFT",
    family="keypoints",
    marks=(),
    sizes={"sift": SiftConfig()},
    network=_network,
    detector=_detector,
    descriptor_length=lambda config: 128,
)
