"""`xmatch register FIXED MOVING`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmatch.cli.batch import Batch, register_pairs
from xmatch.cli.console import printable, progress_bar, say
from xmatch.cli.given import Given
from xmatch.cli.groups import grouped
from xmatch.cli.one_pair import Settings, register_pair
from xmatch.cli.options import Matching, Reading, Running, Verbosity
from xmatch.cli.outputs import Targets, Writing
from xmatch.cli.recipes import use_recipe
from xmatch.cli.runtime import emit, emit_text
from xmatch.cli.summary import summarise
from xmatch.cli.workers import Workers
from xmatch.errors import UsageError


@grouped
def register_command(
    writing: Writing,
    matching: Matching,
    given: Given,
    reading: Reading,
    running: Running,
    talk: Verbosity,
    batch: Batch,
    workers: Workers,
    fixed: Annotated[str | None, typer.Argument(metavar="FIXED", help="The image that stays.")] = None,
    moving: Annotated[str | None, typer.Argument(metavar="MOVING", help="The image laid onto it.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="YAML file of options, or the JSON of an earlier report; the command line wins.",
            metavar="FILE",
            is_eager=True,
            callback=use_recipe(lambda: register_command),
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check inputs and targets, print the plan, stop.")] = False,
) -> None:
    """Lay MOVING onto FIXED's pixel grid, and say whether to trust it.

    xmatch register optical.tif sar.tif    writes sar.registered.tif and a report (HTML, JSON) here.

    Exit codes: 0 trusted; 4 not to be trusted, report but no raster; 8 some pairs of a batch failed or are not trusted.
    """
    settings = Settings(reading, matching, running, writing, given)
    if batch.pairs is not None:
        if fixed or moving:
            raise UsageError("--pairs and FIXED MOVING exclude each other", hint="the list names the files")
        raise typer.Exit(register_pairs(batch, workers, settings, talk, dry_run))
    if fixed is None or moving is None:
        raise UsageError("FIXED and MOVING are both needed", hint="xmatch register FIXED MOVING, or --pairs CSV")
    targets = Targets.of(moving, writing)
    if dry_run:
        from xmatch.cli.plan import plan, plan_lines

        planned = plan(fixed, moving, targets, settings)
        emit(planned) if talk.json else emit_text("".join(f"{printable(line)}\n" for line in plan_lines(planned)))
        return
    with progress_bar(talk) as progress:
        outcome = register_pair(fixed, moving, targets, settings, progress)
    if outcome.skipped:
        say(talk, [f"{targets.done} is there already; nothing done"])
    say(talk, summarise(outcome.document, outcome.written, talk.verbose))
    if talk.json:
        emit(outcome.document)
    raise typer.Exit(outcome.exit_code)
