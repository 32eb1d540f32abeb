"""The weights that a run began with, as a part of its checkpoints: what it trains is a work derived from them."""

from __future__ import annotations

from pathlib import Path

from xmatch.io.checksum import sha256


class Start:
    """The file of weights that a run began with; none, if it began at random."""

    name = "start"
    """Of the part of the checkpoints."""

    def __init__(self) -> None:
        self.sources: list[dict[str, str]] = []
        """As `xmatch.io.weights.files.WeightsMetadata` has them."""

    def begin(self, path: Path) -> None:
        self.sources = [{"file": path.name, "sha256": sha256(path)}]

    def state_dict(self) -> dict[str, list[dict[str, str]]]:
        return {"sources": self.sources}

    def load_state_dict(self, state: dict[str, list[dict[str, str]]]) -> None:
        self.sources = state["sources"]
