"""Weights whose names of tensors differ from those of the network here: a file that says which is which."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xmatch.errors import ModelError, UsageError
from xmatch.recipe import load_recipe

if TYPE_CHECKING:
    from torch import Tensor

    from xmatch.networks.architecture import Architecture


@dataclass(frozen=True)
class Renamed:
    """Names that `published` matches as a whole, and what they are here."""

    published: str
    """A regular expression."""
    ours: str
    """Its replacement: `\\1` is what stands in the first brackets."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.published)
        except re.error as error:
            raise ValueError(f"{self.published!r} is not a regular expression: {error}") from error


@dataclass(frozen=True)
class Renaming:
    """What `xmatch models convert --names` takes."""

    architecture: str
    """A name in `xmatch.networks.registry.ARCHITECTURES`."""
    names: tuple[Renamed, ...]
    """The first that matches counts."""
    ignored: tuple[str, ...] = ()
    """Regular expressions of names that are left out, such as of networks that are not part of this one."""
    config: dict[str, Any] = field(default_factory=dict)
    """Fields of the network's config that differ from the default, such as the number of heads."""


def read_renaming(path: str | os.PathLike[str]) -> tuple[Renaming, Architecture[Any]]:
    """
    Raises:
        UsageError: no such file, or it is not as it should be; no network of that name that can be built.
    """
    from xmatch.networks.registry import ARCHITECTURES

    renaming = load_recipe(path, Renaming)
    entry = ARCHITECTURES.get(renaming.architecture)
    if entry is None or entry.network is None:
        known = ", ".join(name for name, other in ARCHITECTURES.items() if other.network)
        message = f"{os.fspath(path)}: no network {renaming.architecture!r} can be built"
        raise UsageError(message, hint=f"known: {known}")
    return renaming, entry


def renamed(
    tensors: Mapping[str, Tensor], renaming: Renaming, entry: Architecture[Any], path: str | os.PathLike[str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors under the names of the network, all of them and no others, and its config.

    Raises:
        UsageError: the config does not fit.
        ModelError: a name is not told of, two become one, or what results does not fit the network.
    """
    from xmatch.io.weights.files import load_state

    found: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        if any(re.fullmatch(pattern, name) for pattern in renaming.ignored):
            continue
        rule = next((rule for rule in renaming.names if re.fullmatch(rule.published, name)), None)
        if rule is None:
            unknown.append(name)
            continue
        ours = re.sub(rule.published, rule.ours, name)
        if ours in found:
            raise ModelError(f"two tensors become {ours}, one of them {name}", path=path)
        found[ours] = tensor
    if unknown:
        said = f"{len(unknown)} of {len(tensors)} tensors have names that --names does not tell of"
        hint = "add them under names:, or under ignored:"
        raise ModelError(f"{said}: {', '.join(unknown[:5])}", hint=hint, path=path)
    config = entry.config(None, renaming.config)
    load_state(entry.build(config), found, path)
    return found, config
