"""`--pairs`: a list of pairs, one JSON line on stdout for each, in the order in which they end; an overview at the end.

A pair that fails and a pair that is not trusted both make the batch end with 8; their own codes stand in their
lines. Only a failure stops the batch, unless --keep-going: an untrusted pair is a result. The same line again goes on
where it stopped: pairs whose result is there, of the same files and options, are left alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from xmatch.cli.at_once import HELP, computes_together, pairs_at_once
from xmatch.cli.console import say
from xmatch.cli.extra_outputs import EXTRA_OUTPUTS
from xmatch.cli.one_pair import Settings, register_pair
from xmatch.cli.options import Verbosity
from xmatch.cli.outputs import Targets, default_output
from xmatch.cli.overview import MOST_PICTURES, Overview, Shown
from xmatch.cli.pairs_list import GIVEN, PairRow, read_pairs
from xmatch.cli.runtime import as_failure, emit, failure_document, quiet_libraries
from xmatch.cli.workers import Workers, shared
from xmatch.errors import ExitCode, ResourceError, UsageError, XmatchError
from xmatch.ops.batching import run_together


@dataclass(frozen=True)
class Batch:
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            help="CSV of fixed,moving[,output], or - for stdin; one JSON line a pair on stdout; --output is a folder.",
            metavar="CSV",
            rich_help_panel="Batch",
        ),
    ] = None
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="FIXED of a series: each image named is laid onto it, as by --pairs.",
            metavar="FIXED",
            rich_help_panel="Batch",
        ),
    ] = None
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a pair that failed.", rich_help_panel="Batch")
    ] = False
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            help="Give up a pair after so many seconds: a failed one, as of a file that is too slow to come.",
            metavar="SECONDS",
            min=1.0,
            show_default=False,
            rich_help_panel="Batch",
        ),
    ] = None

    at_once: Annotated[
        int | None, typer.Option("--at-once", help=HELP, min=1, show_default=False, rich_help_panel="Batch")
    ] = None

    @property
    def is_asked_for(self) -> bool:
        return self.pairs is not None or self.reference is not None

    def pairs_at_once(self, workers: Workers, settings: Settings) -> int:
        """
        Raises:
            UsageError: several are asked for where they would share nothing.
        """
        matching = settings.matching
        alone = {
            "--jobs wants a process for each": workers.jobs not in (None, 1),
            "--cluster wants a process for each": workers.cluster is not None,
            "--time-limit wants a process for each": self.time_limit is not None,
            "this --matcher, or these --weights, work on one at a time": not computes_together(
                matching.matcher, matching.weights
            ),
        }
        return pairs_at_once(self.at_once, settings.running.device, alone)

    def check_absent(self, workers: Workers) -> None:
        """
        Raises:
            UsageError: something is said of a batch, of which there is none.
        """
        said = {
            "--jobs": workers.jobs is not None,
            "--cluster": workers.cluster is not None,
            "--time-limit": self.time_limit is not None,
            "--keep-going": self.keep_going,
            "--at-once": self.at_once is not None,
        }
        if named := ", ".join(name for name, given in said.items() if given):
            raise UsageError(f"{named}: of many pairs, and there is one", hint="with --pairs or --reference only")


@dataclass(frozen=True)
class Item:
    """One pair, as a worker is given it."""

    index: int
    row: PairRow
    targets: Targets | None
    """None where the list or an option says something wrong of it."""
    settings: Settings
    dry_run: bool = False


@dataclass(frozen=True)
class Ended:
    """How one pair ended."""

    line: dict[str, Any]
    """For stdout, its exit code inside."""
    shown: Shown = Shown()


def register_pairs(
    batch: Batch, workers: Workers, settings: Settings, talk: Verbosity, dry_run: bool, series: Sequence[str] = ()
) -> ExitCode:
    """Register every pair of the list, or every image of a series onto its reference.

    Args:
        series: names of its images.

    Raises:
        XmatchError: what is wrong for every pair; another run is at work on this list; the cluster went away.
    """
    workers.check()
    settings.register_options()  # what is wrong for every pair is said once
    at_once = batch.pairs_at_once(workers, settings)
    writing, path = settings.writing, batch.pairs or batch.reference or "-"
    if any(getattr(writing, name) is not None for name in ("report", *EXTRA_OUTPUTS)):
        raise UsageError("--report and further outputs name one file each", hint="leave them out of a batch")
    overview = Overview(path, writing)
    settings = replace(
        settings,
        running=shared(settings.running, at_once) if at_once > 1 else workers.shared(settings.running),
        writing=replace(writing, skip_existing=writing.skip_existing or not writing.overwrite),
    )
    rows = read_pairs(path) if batch.reference is None else [PairRow(batch.reference, moving) for moving in series]
    items = list(_items(path, rows, settings, dry_run))
    if workers.is_remote:
        items = [_from_anywhere(item) for item in items]
    problem = next((item.row.problem for item in items if item.row.problem), None)
    if problem is not None and not batch.keep_going:
        raise problem
    overview.check()
    with contextlib.nullcontext() if dry_run else overview.held():
        try:
            _work(items, workers, overview, talk, batch, dry_run, at_once)
        except ResourceError:  # a cluster went away
            say(talk, overview.finish(dry_run, items))
            raise
        say(talk, overview.finish(dry_run, items))
    return ExitCode.OK if overview.is_good else ExitCode.BATCH


def _work(
    items: list[Item],
    workers: Workers,
    overview: Overview,
    talk: Verbosity,
    batch: Batch,
    dry_run: bool,
    at_once: int,
) -> None:
    """Until all are done, or one has failed that was not to."""
    threads = items[0].settings.running.thread_count if items else 1
    if dry_run:
        run = Workers().run(register_listed, items)
    elif at_once > 1:
        run = run_together(register_listed, items, at_once)
    else:
        run = workers.run(register_listed, items, threads, batch.time_limit)
    with contextlib.closing(run) as ended:
        for count, (item, answer) in enumerate(ended, 1):
            if isinstance(answer, Ended):
                found = answer
            else:
                remedy = "fewer --jobs, or a lower --max-memory"
                found = _failed(item, answer.as_error("registered it", remedy, batch.time_limit))
            line = {"index": item.index, **found.line}
            emit(line)
            overview.add(item.index, item.row, line, item.targets.html if item.targets else None, found.shown)
            say(talk, [f"[{count}/{len(items)}] {item.row.moving or '(no name)'}: {_word(line, dry_run)}"])
            if not (line["ok"] or line["exit_code"] == ExitCode.UNTRUSTED or batch.keep_going) and count < len(items):
                say(talk, [f"stopped: {len(items) - count} pairs were not tried; --keep-going tries them"])
                return


def register_listed(item: Item) -> Ended:
    """One pair of the list. Signals alone leave it by another way than an answer."""
    if multiprocessing.parent_process() is not None:
        quiet_libraries()  # as the command line did in the process that asked for it
    settings, row = item.settings, item.row
    try:
        if row.problem is not None or item.targets is None:
            raise row.problem or UsageError("no such pair")
        if item.dry_run:
            from xmatch.cli.plan import plan

            return Ended({"exit_code": 0, **plan(row.fixed, row.moving, item.targets, settings)})
        outcome = register_pair(row.fixed, row.moving, item.targets, settings)
        line = {"exit_code": int(outcome.exit_code), "skipped": outcome.skipped, **outcome.document}
        return Ended(line, Shown.of(outcome.document, outcome.previews if item.index < MOST_PICTURES else None))
    except Exception as error:
        return _failed(item, as_failure(error))


def _items(path: str, rows: list[PairRow], settings: Settings, dry_run: bool) -> Iterator[Item]:
    """The pairs of the list. Two that write one file are a problem of the second: it would fail, or worse, replace the
    first."""
    seen: dict[Path, int] = {}
    for index, row in enumerate(rows):
        said = replace(settings, given=replace(settings.given, **row.given))
        targets = None
        if row.problem is None:
            try:
                targets = _targets(row, said)
                first = seen.setdefault(targets.raster.absolute(), index)
                if first != index:
                    message = f"pairs {first} and {index} would both write {targets.raster}"
                    raise UsageError(message, path=path, hint="name outputs in a third column of --pairs")
            except UsageError as problem:
                row, targets = replace(row, problem=problem), None
        yield Item(index, row, targets, said, dry_run)


def _targets(row: PairRow, settings: Settings) -> Targets:
    output = row.output or str(Path(settings.writing.output or ".") / default_output(row.moving))
    return Targets.of(row.moving, settings.writing, output)


def _from_anywhere(item: Item) -> Item:
    """With whole paths, for workers whose current directory is another one."""
    row, targets, settings = item.row, item.targets, item.settings
    given: dict[str, Any] = {name: _whole(getattr(settings.given, name)) for name in GIVEN}
    matching = replace(
        settings.matching,
        weights=_whole(settings.matching.weights),
        companion_weights=_whole(settings.matching.companion_weights),
    )
    if targets is not None:
        html, json = (path and path.absolute() for path in (targets.html, targets.json))
        targets = replace(targets, raster=targets.raster.absolute(), html=html, json=json)
    return replace(
        item,
        row=replace(row, fixed=_whole(row.fixed) or "", moving=_whole(row.moving) or ""),
        targets=targets,
        settings=replace(settings, given=replace(settings.given, **given), matching=matching),
    )


def _whole(name: str | None) -> str | None:
    """The whole path of a file that is here; what else an option says, or an address, as it is."""
    return os.path.abspath(name) if name and os.path.exists(name) else name


def _failed(item: Item, error: XmatchError) -> Ended:
    files = {"fixed": {"path": item.row.fixed}, "moving": {"path": item.row.moving}}
    return Ended({**failure_document(error), **files})


def _word(line: dict[str, Any], dry_run: bool) -> str:
    if "error" in line:
        return f"failed ({line['exit_code']}): {line['error']['message']}"
    if dry_run:
        return f"would write {', '.join(line['files'])}"
    again = ", as an earlier run left it" if line["skipped"] else ""
    return f"ok{again}" if line["ok"] else f"not trusted{again}: {line['verdict']['reason']}"
