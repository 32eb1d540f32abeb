"""Configs of networks from a recipe: a named shape, and fields of it that are changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import Field
from typing import Any, ClassVar, Protocol, TypeVar

from xmatch.errors import UsageError


class DataclassConfig(Protocol):
    """A frozen dataclass of plain numbers, so that a file of weights can carry it as JSON."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Config = TypeVar("Config", bound=DataclassConfig)


def chosen(sizes: Mapping[str, Config], size: str | None, changes: Mapping[str, Any]) -> Config:
    """The shape `size` of `sizes`, by default the first, with fields of it changed.

    Raises:
        UsageError: an unknown size or field, or a value that does not fit.
    """
    name = next(iter(sizes)) if size is None else size
    if name not in sizes:
        raise UsageError(f"there is no size {name!r}", hint=f"known: {', '.join(sizes)}")
    known = [f.name for f in dataclasses.fields(sizes[name])]
    for field in changes:
        if field not in known:
            raise UsageError(f"unknown field {field!r} of the model", hint=f"known: {', '.join(known)}")
    return built(type(sizes[name]), {**dataclasses.asdict(sizes[name]), **changes})


def built(kind: type[Config], config: Mapping[str, Any]) -> Config:
    """A frozen config from its JSON, lists as tuples.

    Raises:
        UsageError: the values do not fit.
    """
    try:
        return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in config.items()})
    except (TypeError, ValueError) as error:
        raise UsageError(f"the model's config does not fit: {error}") from None
