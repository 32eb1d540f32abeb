"""`xmatch register FIXED MOVING`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmatch.cli.console import printable, progress_bar, say
from xmatch.cli.given import Given
from xmatch.cli.groups import grouped
from xmatch.cli.one_pair import Settings, register_pair
from xmatch.cli.options import Matching, Reading, Running, Verbosity
from xmatch.cli.outputs import Targets, Writing
from xmatch.cli.recipes import use_recipe
from xmatch.cli.runtime import emit, emit_text
from xmatch.cli.summary import summarise
from xmatch.errors import UsageError


@grouped
def register_command(
    writing: Writing,
    matching: Matching,
    given: Given,
    reading: Reading,
    running: Running,
    talk: Verbosity,
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
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            help="CSV of fixed,moving[,output], or - for stdin; one JSON line a pair on stdout; --output is a folder.",
            metavar="CSV",
            rich_help_panel="Batch",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="FIXED of a series: each image named is laid onto it, as by --pairs.",
            metavar="FIXED",
            rich_help_panel="Batch",
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a pair that failed.", rich_help_panel="Batch")
    ] = False,
) -> None:
    """Lay MOVING onto FIXED's pixel grid, and say whether to trust it.

    xmatch register optical.tif sar.tif    writes sar.registered.tif and a report (HTML, JSON) here.

    xmatch register --reference optical.tif dates/*.tif -o series/    lays each of a series onto one.

    Exit codes: 0 trusted; 4 not to be trusted, report but no raster; 8 some pairs of a batch failed or are not trusted.
    """
    settings = Settings(reading, matching, running, writing, given)
    named = images or []
    if pairs is not None or reference is not None:
        from xmatch.cli.batch import PairRow, register_pairs

        if pairs is not None and (named or reference):
            raise UsageError("--pairs excludes images and --reference", hint="the list names the files")
        if reference is not None and not named:
            raise UsageError("--reference without images to lay onto it", hint="--reference FIXED MOVING...")
        rows = None if reference is None else [PairRow(reference, moving) for moving in named]
        listed = reference if pairs is None else pairs
        assert listed is not None
        code = register_pairs(listed, settings, talk, keep_going=keep_going, dry_run=dry_run, rows=rows)
        raise typer.Exit(code)
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
