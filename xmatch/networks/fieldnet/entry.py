"""What `xmatch.networks.registry` says of the network that draws fields for the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.fieldnet.config import SIZES, FieldNetConfig

if TYPE_CHECKING:
    from torch import nn

    from xmatch.networks.exported import ExportedPart
    from xmatch.networks.fieldnet.network import FieldNet
    from xmatch.networks.fieldnet.objective import Fields


def _network(config: FieldNetConfig) -> FieldNet:
    from xmatch.networks.fieldnet.network import FieldNet

    return FieldNet(config)


def _objective(entry: Architecture[FieldNetConfig]) -> Fields:
    from xmatch.networks.fieldnet.objective import Fields

    return Fields(entry)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.fieldnet.export import parts

    return parts(network)


FIELDNET = Architecture(
    name="xmatch-fields",
    title="xmatch-fields",
    family="fields",
    marks=("log_sharpness", "log_weights", "stages.0.0.0.weight"),
    sizes=SIZES,
    network=_network,
    exported=_exported,
    matcher="xmatch-fields",
    objective_name="fields",
    objective=_objective,
    adaptation={
        "steps": 400,
        "batch": 8,
        "size": 192,
        "pseudo": "none",
        "trust_verdicts": True,
        # The search takes any turn, so all are shown.
        "augment": {"max_angle_deg": 180.0, "max_scale": 1.3, "max_shift": 0.25, "perspective": 0.03},
        "optimiser": {"lr": 5e-4, "encoder_lr": 5e-4, "warmup_steps": 20, "final_lr": 0.05},
        "guard": {"every": 50},
    },
)
