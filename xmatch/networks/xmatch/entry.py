"""What `xmatch.networks.registry` says of the dense matcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture
from xmatch.networks.xmatch.config import SIZES, XMatchConfig

if TYPE_CHECKING:
    from torch import nn

    from xmatch.networks.exported import ExportedPart
    from xmatch.networks.xmatch.network import XMatch
    from xmatch.networks.xmatch.objective import Dense


def _network(config: XMatchConfig) -> XMatch:
    from xmatch.networks.xmatch.network import XMatch

    return XMatch(config)


def _objective(entry: Architecture[XMatchConfig]) -> Dense:
    from xmatch.networks.xmatch.objective import Dense

    return Dense(entry)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.xmatch.export import parts

    return parts(network)


XMATCH = Architecture(
    name="xmatch",
    title="xmatch",
    family="dense",
    marks=("encoder.stages.0.0.0.weight", "coarse.", "descriptors.", "refiners."),
    sizes=SIZES,
    network=_network,
    exported=_exported,
    matcher="xmatch-small",
    objective_name="dense",
    objective=_objective,
    # PL-F, with what registrations are trusted for as further labels (docs/adaptation.md).
    adaptation={"steps": 400, "trust_verdicts": True, "optimiser": {"final_lr": 0.05}},
)
