"""Which networks there are, and what each is trained by."""

from __future__ import annotations

from collections.abc import Callable

from xmatch.errors import UsageError
from xmatch.networks.base import Objective


def _dense() -> Objective:
    from xmatch.networks.xmatch.objective import Dense

    return Dense()


def _semidense() -> Objective:
    from xmatch.networks.loftr.objective import SemiDense

    return SemiDense()


def _sparse() -> Objective:
    from xmatch.networks.lightglue.objective import Sparse

    return Sparse()


def _fields() -> Objective:
    from xmatch.networks.fieldnet.objective import Fields

    return Fields()


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "dense": _dense,
    "fields": _fields,
    "semidense": _semidense,
    "sparse": _sparse,
}
"""name -> builder."""


def load_objective(name: str) -> Objective:
    """
    Raises:
        UsageError: no such objective.
    """
    if name not in OBJECTIVES:
        raise UsageError(f"there is no objective {name!r}", hint=f"known: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]()
