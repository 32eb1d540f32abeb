"""The weights that a name may stand for: those inside the package, and published ones that have to be fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from xmatch.errors import ModelError
from xmatch.networks.architecture import Architecture, PublishedWeights
from xmatch.networks.registry import ARCHITECTURES

FOLDER = Path(__file__).parents[1] / "weights"
"""<name>.safetensors: models that come with the package."""

IN_FOLDERS = "model.safetensors"
"""The weights in a folder of the Hugging Face hub."""


def shipped(folder: Path = FOLDER) -> dict[str, Path]:
    """Name -> file of every model inside the package."""
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def published() -> dict[str, tuple[PublishedWeights, Architecture[Any]]]:
    """Name -> what is known of every published file that can be converted, and its network."""
    return {row.name: (row, entry) for entry in ARCHITECTURES.values() for row in entry.published}


def matcher_of(row: PublishedWeights, entry: Architecture[Any]) -> str | None:
    """Name of the matcher that runs published weights; None where nothing here does, or has their keypoints."""
    works_on = published().get(row.works_on or "")
    runs = works_on is None or works_on[1].network is not None
    return entry.matcher if runs else None


def published_as(sha256: str) -> PublishedWeights | None:
    """The published weights whose file has this hash."""
    return next((row for row, _ in published().values() if row.sha256 == sha256), None)


def training_by_name(path: Path, entry: Architecture[Any]) -> str | None:
    """The training that the name of a file tells, which is as its authors call it, or that of its folder on the hub; of
    weights whose hash nobody has pinned."""
    name = path.parent.name if path.name == IN_FOLDERS else path.stem
    alike = (row for row, other in published().values() if other.matcher == entry.matcher and row.sha256 is None)
    return next((row.training for row in alike if Path(row.file).stem == name), None)


def fetched(row: PublishedWeights) -> Path:
    """The file that published weights are in once `xmatch models fetch` got them."""
    from xmatch.io.weights.fetching import cached

    return cached(row.name, Path(row.file).suffix)


def find_weights(name: str | os.PathLike[str]) -> Path:
    """The file that a path stands for (or a folder of the Hugging Face hub), or the name of a shipped model or of
    published weights that were fetched.

    Raises:
        ModelError: neither; says how to get the file if the name is that of published weights.
    """
    if Path(name).is_file():
        return Path(name)
    if (Path(name) / IN_FOLDERS).is_file():
        return Path(name) / IN_FOLDERS
    inside, known = shipped(), published()
    if str(name) in inside:
        return inside[str(name)]
    if str(name) in known:
        row, _ = known[str(name)]
        if fetched(row).is_file():
            return fetched(row)
        by_hand = f"get {row.file} from {row.source} and give the file"
        hint = f"xmatch models fetch {name}" if row.package else by_hand
        raise ModelError(f"{name} is not part of the package, and was not fetched", hint=hint)
    if Path(name).exists():
        return Path(name)  # no regular file; whoever opens it says what it is
    hint = "models in the package: " + (", ".join(inside) or "none") + "; see xmatch models list"
    raise ModelError("there is no such file, and no model of that name", hint=hint, path=name)
