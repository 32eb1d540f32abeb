"""Networks as the Hugging Face hub keeps them: optional packages, folders or names, clear words when one is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from xmatch.errors import ModelError

T = TypeVar("T")


def extra_package(name: str) -> ModuleType:
    """The package, which comes with `xmatch[generators]`.

    Raises:
        ModelError: it is not installed, or cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ModelError(
            f"networks of the hub need the package {name}, which cannot be imported ({error})",
            hint="pip install 'xmatch[generators]'",
        ) from error


def loaded(load: Callable[[], T], weights: str, *, may_download: bool) -> T:
    """What `load` returns.

    Args:
        weights: a folder or a name on the hub, for what is said.
        may_download: whether `load` may ask the hub.

    Raises:
        ModelError: whatever went wrong in it; these libraries raise a dozen kinds of error for a missing file.
    """
    _no_bars_in_logs()
    try:
        return load()
    except ModelError:
        raise
    except Exception as error:
        where = "here or on the hub" if may_download else "on this machine"
        hint = f"name a folder with the weights, {'check the name' if may_download else 'or --allow-download'}"
        raise ModelError(f"cannot load {weights!r} {where}: {error}", hint=hint) from error


def _no_bars_in_logs() -> None:
    """The libraries draw progress bars wherever stderr leads; ours come on a terminal only."""
    if sys.stderr is None or not sys.stderr.isatty():
        with suppress(ImportError):
            import_module("transformers.utils.logging").disable_progress_bar()
