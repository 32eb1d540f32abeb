"""What `xmatch.networks.registry` says of LightGlue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmatch.networks.architecture import Architecture
from xmatch.networks.lightglue.config import SIZES, SparseConfig
from xmatch.networks.lightglue.published import MARKS, PUBLISHED, TRAINED_MARKS

if TYPE_CHECKING:
    from xmatch.networks.lightglue.network import SparseMatcher
    from xmatch.networks.lightglue.objective import Sparse


def _network(config: SparseConfig) -> SparseMatcher:
    from xmatch.networks.lightglue.network import SparseMatcher

    return SparseMatcher(config)


def _objective(entry: Architecture[SparseConfig]) -> Sparse:
    from xmatch.networks.lightglue.objective import Sparse

    return Sparse(entry)


LIGHTGLUE: Architecture[Any] = Architecture(
    name="lightglue", title="LightGlue", family="sparse", marks=MARKS, published=PUBLISHED
)
"""As published: it works on the keypoints and descriptors of another network."""

XMATCH_SPARSE = Architecture(
    name="xmatch-sparse",
    title="LightGlue with its own keypoints",
    family="sparse",
    marks=TRAINED_MARKS,
    sizes=SIZES,
    network=_network,
    objective_name="sparse",
    objective=_objective,
)
"""As `xmatch pretrain` trains it."""
