"""What `xmatch.networks.registry` says of LightGlue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xmatch.networks.architecture import Architecture
from xmatch.networks.lightglue.config import SIZES, LightGlueConfig
from xmatch.networks.lightglue.published import MARKS, PUBLISHED

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import CorrespondenceNetwork, Detector
    from xmatch.networks.exported import ExportedPart
    from xmatch.networks.lightglue.objective import Matching


def _network(config: LightGlueConfig) -> nn.Module:
    from xmatch.networks.lightglue.network import Glue

    return Glue(config)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> CorrespondenceNetwork:
    from xmatch.networks.lightglue.runner import LightGlueRunner

    assert detector is not None  # its companion
    return LightGlueRunner(network, device, detector)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.lightglue.export import parts

    return parts(network)


def _objective(entry: Architecture[LightGlueConfig]) -> Matching:
    from xmatch.networks.lightglue.objective import Matching

    return Matching(entry)


def config_of(tensors: Mapping[str, Tensor]) -> LightGlueConfig:
    """The size of tensors under the names of `network`."""
    width = tensors["log_assignment.0.final_proj.weight"].shape[0]
    projection = tensors.get("input_proj.weight")
    layers = sum(1 for name in tensors if re.fullmatch(r"log_assignment\.\d+\.final_proj\.weight", name))
    # The encoding of positions has half a channel of a head for each of its frequencies.
    heads = width // (2 * tensors["posenc.Wr.weight"].shape[0])
    return LightGlueConfig(width if projection is None else projection.shape[1], width, layers, heads)


def adaptation(lr: float) -> dict[str, Any]:
    """How matchers of keypoints are adapted: by labelled pairs and accepted registrations. Not tuned."""
    return {
        "steps": 300,
        "batch": 4,
        "size": 192,
        "pseudo": "none",
        "trust_verdicts": True,
        "augment": {"max_angle_deg": 20.0, "max_scale": 1.3, "max_shift": 0.25, "perspective": 0.1},
        "optimiser": {"lr": lr, "encoder_lr": lr, "warmup_steps": 20, "final_lr": 0.05},
        "guard": {"every": 50},
    }


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released files have the names of the first version, and leftovers that nothing reads."""
    return {
        re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", name): tensor
        for name, tensor in tensors.items()
        if name != "confidence_thresholds" and not re.fullmatch(r"log_assignment\.\d+\.r", name)
    }


LIGHTGLUE = Architecture(
    name="lightglue",
    title="LightGlue",
    family="sparse",
    marks=MARKS,
    published=PUBLISHED,
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    renamed=renamed,
    runner=_runner,
    companion="keypoints",
    matcher="lightglue",
    exported=_exported,
    objective_name="lightglue",
    objective=_objective,
    adaptation=adaptation(lr=5e-5),
)
