"""The `xmatch` command. One file per command; what they share stands in options, runtime and console.

Importing this package imports no numeric library: `xmatch --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from xmatch.cli.adapt import adapt_command
from xmatch.cli.align import align_command
from xmatch.cli.apply import apply_command
from xmatch.cli.eval import eval_command
from xmatch.cli.match import match_command
from xmatch.cli.models import models_app
from xmatch.cli.pretrain import pretrain_command
from xmatch.cli.register import register_command
from xmatch.cli.runtime import emit_text, keep_stdout, run
from xmatch.cli.synth import synth_command
from xmatch.ops.threads import sleep_while_waiting, sum_on_one_thread

app = typer.Typer(
    name="xmatch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    keep_stdout()
    sleep_while_waiting()
    sum_on_one_thread()
    sys.exit(run(app, args))


def _print_version(value: bool) -> None:
    if value:
        from xmatch.provenance import xmatch_version

        emit_text(f"xmatch {xmatch_version()}\n")
        raise typer.Exit()


def _print_versions(value: bool) -> None:
    if value:
        from xmatch.provenance import linked_versions, versions

        found = {**versions(), **linked_versions()}
        emit_text("".join(f"{name}: {version or 'not installed'}\n" for name, version in found.items()))
        raise typer.Exit()


@app.callback()
def _xmatch(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    show_versions: Annotated[
        bool,
        typer.Option(
            "--show-versions", help="Print versions of all that matters.", is_eager=True, callback=_print_versions
        ),
    ] = False,
) -> None:
    """Find corresponding pixels between images from different sensors, and register one onto the other."""


app.command("register")(register_command)
app.command("align")(align_command)
app.command("match")(match_command)
app.command("apply")(apply_command)
app.command("eval")(eval_command)
app.command("pretrain")(pretrain_command)
app.command("adapt")(adapt_command)
app.command("synth")(synth_command)
app.add_typer(models_app, name="models")
