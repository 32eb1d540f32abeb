"""How all pages are made from templates: every text escaped, a missing value is an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates(*packages: str, **filters: Callable[..., Any]) -> Environment:
    """The templates of those packages, the first that has one of a name counts.

    Kept, since it keeps what it has compiled: that takes longer than all else about a page, and a batch writes many.

    Args:
        packages: import names, each with a folder `templates`.
        filters: of values, by the name that templates call them by.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment
