"""What `xmatch.networks.registry` says of tiny RoMa."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.tiny_roma.config import SIZES, TinyRomaConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector
    from xmatch.networks.exported import ExportedPart
    from xmatch.networks.tiny_roma.network import TinyRoma
    from xmatch.networks.tiny_roma.objective import TinyRomaObjective
    from xmatch.networks.tiny_roma.runner import TinyRomaRunner


def _network(config: TinyRomaConfig) -> TinyRoma:
    from xmatch.networks.tiny_roma.network import TinyRoma

    return TinyRoma(config)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> TinyRomaRunner:
    from xmatch.networks.tiny_roma.network import TinyRoma
    from xmatch.networks.tiny_roma.runner import TinyRomaRunner

    assert isinstance(network, TinyRoma) and detector is None
    return TinyRomaRunner(network, device)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.tiny_roma.export import parts

    return parts(network)


def _objective(entry: Architecture[TinyRomaConfig]) -> TinyRomaObjective:
    from xmatch.networks.tiny_roma.objective import TinyRomaObjective

    return TinyRomaObjective(entry)


def config_of(tensors: Mapping[str, Tensor]) -> TinyRomaConfig:
    """The size of a tiny RoMa."""
    coarse, fine = (tensors[f"{name}_matcher.0.layer.0.weight"].shape[0] for name in ("coarse", "fine"))
    return TinyRomaConfig(coarse, fine)


TINY_ROMA = Architecture(
    name="tiny-roma",
    title="Tiny RoMa",
    family="dense",
    marks=("xfeat.0.skip1.1.weight", "coarse_matcher.0.", "fine_matcher.0."),
    tensors=112,
    published=(
        PublishedWeights(
            name="tiny-roma-outdoor",
            file="tiny_roma_v1_outdoor.pth",
            licence="MIT",
            commercial=True,
            parameters_m=2.85,
            source="github.com/Parskatt/storage, release roma",
        ),
    ),
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    runner=_runner,
    matcher="tiny-roma",
    exported=_exported,
    side_multiple=32,
    objective_name="tiny-roma",
    objective=_objective,
)
