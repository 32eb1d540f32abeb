"""`xmatch pretrain`: train a matcher as a recipe says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from xmatch.cli.groups import grouped
from xmatch.cli.options import Verbosity
from xmatch.cli.reading import OfflineOption


@grouped
def pretrain_command(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the run.", show_default=False)],
    talk: Verbosity,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the run; default runs/<recipe's name>.", show_default=False),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", help="Save and leave after this long.", min=0.0, show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the newest checkpoint, or replace what is there.")
    ] = True,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto",
    offline: OfflineOption = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="In place of the recipe's.", min=0, show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads; default all cores.", min=1, show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Where relative folders start; default the recipe's folder.", show_default=False),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Weights to start from: a file, or the name of a model.", show_default=False),
    ] = None,
    companion_weights: Annotated[
        str | None,
        typer.Option(
            "--companion-weights",
            help="Weights of what the network works on (RoMa: DINOv2; LightGlue: a detector): a file or a name.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, train nothing.")] = False,
) -> int:
    """Train a matcher as RECIPE says, or go on with it where it was left.

    Checkpoints, history.csv, validation.csv and weights.safetensors go into the folder of the run. Ctrl-C and SIGTERM
    save before they end it. On several GPUs: torchrun --nproc_per_node=N -m xmatch.training RECIPE ...

    Example: xmatch pretrain recipes/pretrain-small.yaml --data ~/images -o runs/small
    """
    begun = time.monotonic()
    from xmatch.cli.console import progress_bar, say
    from xmatch.cli.runtime import emit, emit_text
    from xmatch.errors import ExitCode
    from xmatch.ops.devices import checked
    from xmatch.training.arguments import document, plan_lines
    from xmatch.training.loop import Reporter
    from xmatch.training.pretrain import Options, plan, pretrain

    chosen = Options(
        recipe=recipe,
        output=output,
        max_minutes=max_minutes,
        resume=resume,
        device=checked(device),
        seed=seed,
        threads=threads,
        data=data,
        init=init,
        companion_weights=companion_weights,
        begun=begun,
    )
    if dry_run:
        planned = plan(chosen)
        if talk.json:
            emit(planned)
        else:
            emit_text("".join(line + "\n" for line in plan_lines(planned)))
        return ExitCode.OK

    def line(text: str) -> None:
        say(talk, [text])

    with progress_bar(talk) as bar:
        if bar is None:
            outcome = pretrain(chosen, Reporter(say=line, warn=line))
        else:  # it tells enough, unless more is asked for
            outcome = pretrain(chosen, Reporter(line if talk.verbose else lambda text: None, line, bar))
    if talk.json:
        emit(document(outcome))
    say(talk, [f"{outcome.stopped}: step {outcome.step} of {outcome.steps}, {outcome.weights}"])
    return outcome.exit_code
