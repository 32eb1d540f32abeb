"""`--recipe FILE`: what the file says becomes the default of each option; the command line still wins.

The keys are the command's own option names (`max_angle: 20`), read from its signature, so that they cannot drift
apart. A report's JSON is a recipe too: the options that it records are run again.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import fields, make_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

from xmatch.errors import InputError, UsageError

_NOT_IN_RECIPES = {"recipe", "dry_run", "json", "quiet", "verbose", "debug"}


def use_recipe(command: Callable[[], Callable[..., Any]]) -> Callable[[typer.Context, str | None], str | None]:
    """Callback for the eager `--recipe` option of the command that `command()` returns."""

    def callback(ctx: typer.Context, value: str | None) -> str | None:
        if value is not None and not ctx.resilient_parsing:
            ctx.default_map = {**(ctx.default_map or {}), **read_recipe(value, recipe_class(command()))}
        return value

    return callback


def recipe_class(command: Callable[..., Any]) -> type:
    """A frozen dataclass with one optional field per option of `command`."""
    signature, hints = inspect.signature(command), get_type_hints(command)
    keys = [name for name in signature.parameters if name not in _NOT_IN_RECIPES and name in hints]
    return make_dataclass("Recipe", [(key, _recipe_type(hints[key]), None) for key in keys], frozen=True)


def read_recipe(path: str, cls: type) -> dict[str, Any]:
    """Option name -> value, for the options that the file sets.

    Raises:
        UsageError: the file cannot be read, is not a recipe, or names an option that `cls` lacks.
    """
    if Path(path).suffix.lower() == ".json":
        return _options_of_report(path, [field.name for field in fields(cls)])
    from xmatch.recipe import load_recipe

    recipe: Any = load_recipe(path, cls)
    values = {field.name: getattr(recipe, field.name) for field in fields(cls)}
    return {key: _as_typed(value) for key, value in values.items() if value is not None}


def _options_of_report(path: str, known: list[str]) -> dict[str, Any]:
    from xmatch.io.text_files import read_json

    try:
        options = read_json(path)["provenance"]["options"].items()
    except InputError as error:
        raise UsageError(error.message, path=path) from None
    except (TypeError, KeyError, AttributeError):
        raise UsageError("this JSON is not a report of xmatch with provenance and options", path=path) from None
    for key, _ in options:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            raise UsageError(f"unknown option {key!r}", path=path, hint=f"did you mean {close[0]}?" if close else None)
    return {key: value for key, value in options if value is not None}


def _recipe_type(hint: Any) -> Any:
    """What a YAML file holds for an option: paths as text, a list as a tuple."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if type(None) in get_args(hint) else [hint]
    kind = kinds[0]
    if get_origin(kind) is list:
        kind = tuple[int | str, ...]
    return kind | None


def _as_typed(value: Any) -> Any:
    """As the words of a command line would have come."""
    return [str(item) for item in value] if isinstance(value, tuple) else value
