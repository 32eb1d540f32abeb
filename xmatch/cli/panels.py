"""Options as the library of the command line describes them, under the panels of the help."""

from __future__ import annotations

from typing import Any

import typer

READING, RUNNING = "Reading", "Running"
"""Panels that several groups of options share."""


def option(panel: str, *names: str, help: str, **more: Any) -> Any:
    """What `typer.Option` returns: for typer an object that describes an option, for a type checker anything."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)
