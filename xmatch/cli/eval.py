"""`xmatch eval`: benchmark tables from pairs with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmatch.cli.at_once import HELP
from xmatch.cli.eval_settings import Changes
from xmatch.cli.groups import grouped
from xmatch.cli.options import Output, Overwrite, Verbosity
from xmatch.cli.reading import OfflineOption
from xmatch.errors import ExitCode, UsageError


@grouped
def eval_command(
    changes: Changes,
    talk: Verbosity,
    recipe: Annotated[
        Path | None, typer.Argument(help="YAML file that names pairs and options.", show_default=False)
    ] = None,
    output: Output = None,
    overwrite: Overwrite = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder where relative manifests start; default the recipe's own.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Pairs registered at once, a process each.", min=1)] = 1,
    at_once: Annotated[int | None, typer.Option("--at-once", help=HELP, min=1, show_default=False)] = None,
    offline: OfflineOption = False,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show the median and the worst pairs on the HTML page.")
    ] = True,
    list_datasets: Annotated[
        bool, typer.Option("--list-datasets", help="Say which published data sets can be read, and stop.")
    ] = False,
) -> int:
    """Let matchers, peers and controls register every pair that RECIPE names, and compare with the truth.

    The results are JSON, with tables in Markdown and CSV and one HTML page with curves beside it. Predictions are
    saved too, one file a matcher, so that an interrupted run goes on where it stopped. Exit code 8 when some pairs
    failed; they count as infinitely wrong.

    Example: xmatch eval recipes/eval-srif-crop.yaml --data ~/data --matchers structural,mi,peer:sift --limit 5
    """
    from xmatch.cli.eval_run import print_datasets, run_eval

    if list_datasets:
        print_datasets(as_json=talk.json)
        return ExitCode.OK
    if recipe is None:
        raise UsageError("a recipe is needed", hint="xmatch eval RECIPE, or --list-datasets")
    return run_eval(
        recipe,
        changes,
        talk,
        output=output,
        overwrite=overwrite,
        data=data,
        jobs=jobs,
        at_once=at_once,
        with_pictures=pictures,
    )
