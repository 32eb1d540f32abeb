"""The weights that a name may stand for: those inside the package, and published ones that have to be fetched."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from xmatch.errors import ModelError

FOLDER = Path(__file__).parents[2] / "weights"
"""<name>.safetensors: models that come with the package. published.json: the list of the others."""


@dataclass(frozen=True)
class Published:
    """One published file of weights that `xmatch models convert` takes. A row of xmatch/weights/published.json."""

    name: str
    file: str
    """As its authors call it."""
    family: str
    """Of `xmatch.io.weights.kinds.FAMILIES`."""
    licence: str
    """SPDX name, as its authors say or as the repository does."""
    commercial: bool
    """Whether the licence allows commercial use of the whole, helpers that it needs included."""
    parameters_m: float | None
    """Millions of parameters."""
    source: str
    """Where its authors offer it."""
    sha256: str | None = None
    """Of the file, where someone has pinned it."""
    matcher: str | None = None
    """Name of the matcher here that runs it; None: it can be converted, and nothing here runs it yet."""
    note: str = ""

    @property
    def mib(self) -> float | None:
        """Size in single precision, MiB."""
        return None if self.parameters_m is None else self.parameters_m * 4e6 / 2**20


def shipped(folder: Path = FOLDER) -> dict[str, Path]:
    """Name -> file of every model inside the package."""
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def published(folder: Path = FOLDER) -> dict[str, Published]:
    """Name -> what is known of every published file that can be converted."""
    rows = json.loads((folder / "published.json").read_text(encoding="utf-8"))
    return {row["name"]: Published(**row) for row in rows}


def find_weights(name: str | os.PathLike) -> Path:
    """The file that a path or the name of a shipped model stands for.

    Raises:
        ModelError: neither; says how to get the file if the name is that of published weights.
    """
    if Path(name).is_file():
        return Path(name)
    inside, known = shipped(), published()
    if str(name) in inside:
        return inside[str(name)]
    if str(name) in known:
        row = known[str(name)]
        hint = f"get {row.file} from {row.source}, then: xmatch models convert {row.file} {row.name}.safetensors"
        raise ModelError(f"{name} is not part of the package", hint=hint)
    if Path(name).exists():
        return Path(name)  # no regular file; whoever opens it says what it is
    hint = "models in the package: " + (", ".join(inside) or "none") + "; see xmatch models list"
    raise ModelError("there is no such file, and no model of that name", hint=hint, path=name)
