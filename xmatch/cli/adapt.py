"""`xmatch adapt`: few-shot adaptation of a matcher to one's own two sensors."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmatch.cli.groups import grouped
from xmatch.cli.options import Overwrite, Verbosity
from xmatch.cli.reading import OfflineOption
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.adaptation.recipe import AdaptRecipe


@grouped
def adapt_command(
    talk: Verbosity,
    pairs: Annotated[
        Path | None, typer.Argument(help="Folder or list of pairs, some with a known transform.", show_default=False)
    ] = None,
    labelled: Annotated[
        str,
        typer.Option(
            "--labelled", help="How many labelled pairs to draw, or a list, folder, CSV or .points.", metavar="N|PATH"
        ),
    ] = "2",
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option("--unlabelled", help="Folder or list of further pairs; may be repeated.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the weights go.")] = Path("adapted.safetensors"),
    overwrite: Overwrite = False,
    matcher: Annotated[str, typer.Option("--matcher", help="Model to start from.")] = "xmatch-fields",
    weights: Annotated[
        str | None, typer.Option("--weights", help="Weights to start from: a path or a name.", show_default=False)
    ] = None,
    companion_weights: Annotated[
        str | None,
        typer.Option(
            "--companion-weights",
            help="Weights of what the network works on (RoMa: DINOv2; LightGlue: a detector): a file or a name.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="YAML file of the adaptation.", show_default=False)
    ] = None,
    trust_georef: Annotated[
        bool, typer.Option("--trust-georef", help="Georeferenced pairs count as labelled.")
    ] = False,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", help="Names of the two files, such as '{}_optical {}_sar'.", show_default=False),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", help="End training after this long and judge.", min=0.0, show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the newest checkpoint, or begin anew.")
    ] = True,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto",
    offline: OfflineOption = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="In place of the recipe's.", min=0, show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads; default all cores.", min=1, show_default=False)
    ] = None,
) -> int:
    """Adapt a matcher to two sensors, from a few labelled and many unlabelled pairs.

    If pairs that were held out match better than before, the weights are written. Otherwise the exit code is 4, and the
    new weights are kept as *.not-better.safetensors. A report says why. Checkpoints are in *.run; Ctrl-C saves.

    Example: xmatch adapt pairs/ --labelled 2 -o adapted.safetensors
    """
    begun = time.monotonic()
    from xmatch.adaptation.adapt import adapt
    from xmatch.adaptation.collect import PairRequest
    from xmatch.adaptation.document import document, reason, write_reports
    from xmatch.adaptation.options import AdaptOptions
    from xmatch.cli.console import progress_bar, say
    from xmatch.cli.runtime import emit
    from xmatch.ops.devices import checked
    from xmatch.training.loop import Reporter

    chosen = AdaptOptions(
        request=PairRequest(
            labelled=parse_labelled(labelled),
            pairs=pairs,
            unlabelled=tuple(unlabelled or ()),
            trust_georef=trust_georef,
            pattern=pattern,
        ),
        output=output,
        recipe=_recipe(recipe),
        matcher=matcher,
        weights=weights,
        companion_weights=companion_weights,
        max_minutes=max_minutes,
        resume=resume,
        device=checked(device),
        threads=threads,
        overwrite=overwrite,
        seed=seed,
        begun=begun,
    )

    def line(text: str) -> None:
        say(talk, [text])

    with progress_bar(talk) as bar:
        if bar is None:
            adapted = adapt(chosen, Reporter(say=line, warn=line))
        else:
            adapted = adapt(chosen, Reporter(line if talk.verbose else lambda text: None, line, bar))
    result = document(adapted, chosen, ["xmatch", *sys.argv[1:]])
    if adapted.better is not None:
        report, _ = write_reports(adapted, chosen, result)
        line(f"report: {report}")
    if talk.json:
        emit(result)
    line(f"{_stamp(adapted.better)}: {reason(adapted)}")
    if adapted.weights is not None:
        line(str(adapted.weights))
    return adapted.exit_code


def parse_labelled(text: str) -> int | Path:
    """ "2" -> 2; anything that is no number is a path.

    Raises:
        UsageError: a number below 0, or a path where nothing is.
    """
    if text.lstrip("+-").isdigit():
        if int(text) < 0:
            raise UsageError(f"--labelled {text}: a number of pairs is 0 or more")
        return int(text)
    path = Path(text)
    if not path.exists():
        raise UsageError(f"--labelled {text}: neither a number nor a path that exists")
    return path


def _recipe(path: Path | None) -> AdaptRecipe | None:
    from xmatch.adaptation.recipe import AdaptRecipe
    from xmatch.recipe import load_recipe

    return None if path is None else load_recipe(path, AdaptRecipe)


def _stamp(better: bool | None) -> str:
    return {True: "better", False: "not better", None: "stopped"}[better]
