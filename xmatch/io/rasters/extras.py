"""Packages that single formats need, and nothing else does."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from xmatch.errors import UsageError


def extra(package: str, of: str, reads: str, path: str) -> ModuleType:
    """A package of an extra, imported.

    Args:
        of: name of the extra.
        reads: what it is needed for, in words.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(
            f"{reads} is read by the package {package}, which cannot be imported ({error})",
            hint=f"pip install 'xmatch[{of}]'",
            path=path,
        ) from None
