"""`xmatch register FIXED MOVING`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmatch.cli.batch import Batch, register_pairs
from xmatch.cli.console import printable, progress_bar, say
from xmatch.cli.given import Given
from xmatch.cli.groups import grouped
from xmatch.cli.one_pair import Settings, register_pair
from xmatch.cli.options import Matching, Running, Verbosity
from xmatch.cli.outputs import Targets, Writing
from xmatch.cli.reading import Reading
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
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIXED MOVING",
            help="The image that stays, and the one laid onto it; or all that go onto --reference.",
        ),
    ] = None,
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

    xmatch register --reference optical.tif dates/*.tif -o series/    lays each of a series onto one.

    Exit codes: 0 trusted; 4 not to be trusted, report but no raster; 8 some pairs of a batch failed or are not trusted.
    """
    settings = Settings(reading, matching, running, writing, given)
    named = images or []
    if batch.is_asked_for:
        if batch.pairs is not None and (named or batch.reference):
            raise UsageError("--pairs excludes images and --reference", hint="the list names the files")
        if batch.reference is not None and not named:
            raise UsageError("--reference without images to lay onto it", hint="--reference FIXED MOVING...")
        raise typer.Exit(register_pairs(batch, workers, settings, talk, dry_run, named))
    batch.check_absent(workers)
    if len(named) != 2:
        hint = "xmatch register FIXED MOVING, or --pairs CSV, or --reference FIXED MOVING..."
        raise UsageError(f"FIXED and MOVING are needed, {len(named)} images are named", hint=hint)
    fixed, moving = named
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
