"""What an adaptation was begun with, as a part of its checkpoints."""

from __future__ import annotations

from xmatch.adaptation.base import Base
from xmatch.adaptation.collect import Collected
from xmatch.errors import UsageError


class Origin:
    """What a run was begun with; going on with something else is refused."""

    def __init__(self, base: Base, collected: Collected) -> None:
        self._begun_with = {"weights": base.sha256, "pairs": collected.digest()}

    def state_dict(self) -> dict[str, str]:
        return dict(self._begun_with)

    def load_state_dict(self, state: dict[str, str]) -> None:
        for name, value in self._begun_with.items():
            if state[name] != value:
                raise UsageError(
                    f"this folder holds a run with other {name}", hint="name another --output, or --no-resume"
                )
