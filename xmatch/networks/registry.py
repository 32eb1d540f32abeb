"""Every network that xmatch knows, and what is known of it. Imports no torch: networks are built where they are needed.

From here come the recognition of weights, the matcher that runs them, training objectives, the recipe of an
adaptation, `xmatch models list` and help texts. A new network is a folder with an entry, and a line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xmatch.errors import UsageError
from xmatch.networks.aliked.entry import ALIKED
from xmatch.networks.architecture import Architecture, NetworkObjective
from xmatch.networks.dinov2.entry import DINO_V2, DINO_V2_HF
from xmatch.networks.disk.entry import DISK
from xmatch.networks.eloftr.entry import ELOFTR, ELOFTR_HF
from xmatch.networks.fieldnet.entry import FIELDNET
from xmatch.networks.lightglue.entry import LIGHTGLUE
from xmatch.networks.loftr.entry import LOFTR
from xmatch.networks.matcha.entry import MATCHA, MATCHA_SMALL
from xmatch.networks.not_run_yet import ROMA_V2
from xmatch.networks.roma.entry import ROMA
from xmatch.networks.sift.entry import SIFT
from xmatch.networks.sparse.entry import XMATCH_SPARSE
from xmatch.networks.superpoint.entry import SUPERPOINT
from xmatch.networks.tiny_roma.entry import TINY_ROMA
from xmatch.networks.xfeat.entry import XFEAT
from xmatch.networks.xmatch.entry import XMATCH
from xmatch.networks.xoftr.entry import XOFTR

ARCHITECTURES: dict[str, Architecture[Any]] = {
    entry.name: entry
    for entry in (
        XMATCH,
        FIELDNET,
        XMATCH_SPARSE,
        ROMA,
        ROMA_V2,
        TINY_ROMA,
        ELOFTR,  # before LoFTR, whose names it shares but for the aggregation
        ELOFTR_HF,
        XOFTR,
        LOFTR,
        LIGHTGLUE,
        ALIKED,
        DISK,
        XFEAT,
        SUPERPOINT,
        MATCHA,
        MATCHA_SMALL,
        DINO_V2,
        DINO_V2_HF,
    )
}
"""Name, as files of weights have it -> entry; in the order in which names of tensors are compared with marks."""

WITHOUT_WEIGHTS: dict[str, Architecture[Any]] = {SIFT.name: SIFT}
"""Name -> a detector that learnt nothing: no file is of it, and its name is enough where a companion is asked for."""


def recognise(names: Iterable[str]) -> Architecture[Any] | None:
    """The architecture whose marks are all among the names of tensors, prefixes of wrappers stripped before."""
    known = set(names)
    return next((entry for entry in ARCHITECTURES.values() if entry.holds_marks(known)), None)


def objective_names() -> list[str]:
    """What recipes of training may name."""
    return [entry.objective_name for entry in ARCHITECTURES.values() if entry.objective_name]


def trained_architecture(objective: str) -> Architecture[Any]:
    """The network that an objective trains.

    Raises:
        UsageError: no such objective.
    """
    for entry in ARCHITECTURES.values():
        if entry.objective_name == objective:
            return entry
    raise UsageError(f"there is no objective {objective!r}", hint=f"known: {', '.join(objective_names())}")


def load_objective(name: str) -> NetworkObjective:
    """The objective that recipes call `name`.

    Raises:
        UsageError: no such objective.
    """
    entry = trained_architecture(name)
    assert entry.objective is not None  # it has a name
    return entry.objective(entry)
