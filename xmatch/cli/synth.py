"""`xmatch synth`: training pairs of two sensors with known truth, from images, pairs, worlds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.console import progress_bar, say
from xmatch.cli.groups import grouped
from xmatch.cli.options import Output, Overwrite, Verbosity
from xmatch.cli.reading import OfflineOption
from xmatch.cli.runtime import emit
from xmatch.cli.synth_settings import plan_of, settings_of
from xmatch.cli.synth_summary import SCHEMA, summary, summary_lines
from xmatch.cli.synth_work import SceneItem, ShardItem, each_made, make_scene, shards_made
from xmatch.cli.workers import Workers
from xmatch.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from xmatch.synth.manifest import Manifest
    from xmatch.synth.recipe import SourceSpec, SynthRecipe
    from xmatch.synth.sources.files import ImagePart, Images

CHECKED_FILES = 2000
"""So many files are tried before the work starts; of larger collections each file is, when it is first drawn."""
PREVIEW_PAIRS = 8


@grouped
def synth_command(
    talk: Verbosity,
    workers: Workers,
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER...", help="Images, aligned pairs or shards; told by their layout."),
    ] = None,
    output: Output = None,
    modalities: Annotated[
        str | None,
        typer.Option(
            "--modalities",
            help="Sensors to make from images, by commas; learned:NAME=WEIGHTS for published networks.",
            metavar="NAMES",
        ),
    ] = None,
    worlds: Annotated[
        str | None, typer.Option("--worlds", help="Procedural worlds to draw from too, by commas.", metavar="NAMES")
    ] = None,
    across: Annotated[bool, typer.Option("--across", help="Pair all sensors, not only each with visible.")] = False,
    count: Annotated[int | None, typer.Option("--count", help="Pairs to make; default 1000.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Side of the pairs in px; default 512.")] = None,
    views: Annotated[
        int | None,
        typer.Option("--views", help="Posed views with depth of COUNT worlds, so many of each, in place of pairs."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="YAML file; the command line wins.", metavar="FILE")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same machine: same bytes.", min=0)] = None,
    preview: Annotated[
        Path | None, typer.Option("--preview", help="Also a picture of the first pairs, PNG.", metavar="PATH")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto",
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Fetch weights of learned modalities from the hub.")
    ] = False,
    offline: OfflineOption = False,
    overwrite: Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check inputs and targets, print the plan, stop.")] = False,
) -> None:
    """Make training pairs: two sensors, two views, and the exact warp between them.

    xmatch synth photos/ -o shards/ --modalities sar,infrared --count 1000

    Writes tar shards in the layout of WebDataset, manifest.jsonl, and quarantine.jsonl for images that could not be
    used. A run that was stopped makes what it lacks when it is started again. With --jobs or --cluster, several shards
    are made at once: the same bytes. With --views, folders of posed views with depth instead, which are in turn a
    FOLDER to make pairs from.
    """
    from xmatch.cli.image_files import image_files
    from xmatch.io.writing.atomic import check_target, held
    from xmatch.ops.devices import resolved
    from xmatch.synth.learned.base import LoadOptions
    from xmatch.synth.learned.registry import LearnedModalities
    from xmatch.synth.recipe import Loaders, build_mixture
    from xmatch.synth.shards import missing, resume, write_shard, write_shards

    if allow_download and offline:
        raise UsageError("--allow-download and --offline contradict each other", hint="leave out one of them")

    started = monotonic()
    workers.check()
    device = resolved(device)
    given = {"count": count, "size": size, "seed": seed, "views": views}
    settings = settings_of(recipe, given, folders or [], modalities, worlds, across)
    if settings.views:
        if preview is not None:
            raise UsageError("--preview shows pairs, and --views makes none", hint="leave out one of them")
        document = _views(settings, Path(output or "views"), workers, overwrite, dry_run, talk)
        if talk.json:
            emit(document)
        return
    target = Path(output or "shards")
    load = LoadOptions(device, may_download=allow_download)
    learned = LearnedModalities(load)
    for spec in settings.learned:
        learned[spec]  # licences go into the manifest, and what cannot be loaded is said before any file is read
    plan = plan_of(settings, device, learned.licences)
    done = resume(target, plan, overwrite=overwrite, dry_run=dry_run)
    before = done.count
    _check_space(target, int(plan.bytes * (1 - before / plan.count)))
    if preview is not None:
        check_target(preview, overwrite)
    loaders = Loaders(image_files(plan.size), learned)
    unusable: dict[str, str] = {}
    with progress_bar(talk) as progress:
        usable = _tried(settings.data, loaders.images, progress)
        build = partial(build_mixture, settings.data, loaders=loaders)
        build()  # what is wrong with a source is said before anything is written
        if not dry_run:
            pairs = _counted(before, plan.count, progress)
            lacking = missing(plan, done)
            with held(target / "pairs", "another run is making pairs in this folder"):
                if workers.are_several:
                    items = [ShardItem(target.absolute(), plan, number, settings.data, load) for number in lacking]
                    shards = shards_made(workers, items, unusable, pairs)
                else:
                    shards = (write_shard(target, plan, number, build(), device, pairs) for number in lacking)
                with contextlib.closing(shards):  # or processes would go on after a full disk
                    done = write_shards(target, done, shards)
    unusable |= loaders.rejected
    document = summary(settings, plan, target, done, usable, len(unusable), device, dry_run) | {"made_before": before}
    if not dry_run:
        _finish(target, unusable, done, preview, overwrite, document)
        document["seconds"] = round(monotonic() - started, 1)
    if talk.json:
        emit(document)
    say(talk, summary_lines(document))


def _views(
    settings: SynthRecipe, target: Path, workers: Workers, overwrite: bool, dry_run: bool, talk: Verbosity
) -> dict[str, Any]:
    from xmatch.synth.posed import kinds_of, missing_scenes

    kinds = kinds_of(settings.data)
    started = monotonic()
    lacking = missing_scenes(target, kinds, settings, overwrite)
    before = settings.count - len(lacking)
    items = [SceneItem(target.absolute(), kinds, settings, number) for number in lacking]
    with progress_bar(talk) as progress:
        for done, _ in enumerate(each_made(workers, make_scene, [] if dry_run else items), before + 1):
            if progress is not None:
                progress(f"scenes {done} of {settings.count}", done / settings.count)
    there = f"{before} scenes are there already; with them: " if before else ""
    said = f"{there}{'would write' if dry_run else 'wrote'}"
    say(talk, [f"{said} {settings.count} scenes of {settings.views} views of {settings.size} px to {target}"])
    return {
        "schema": SCHEMA,
        "ok": True,
        "dry_run": dry_run,
        "output": str(target),
        "scenes": settings.count,
        "made_before": before,
        "views": settings.views,
        "size": settings.size,
        "seed": settings.seed,
        "worlds": list(kinds),
        "data": [spec.as_dict() for spec in settings.data],
    } | ({} if dry_run else {"seconds": round(monotonic() - started, 1)})


def _tried(data: Sequence[SourceSpec], images: Images, progress: Callable | None) -> dict[str, int]:
    """Number of usable files by kind of source; every file of a small collection is read.

    Raises:
        InputError: a folder is missing or empty, or none of its files is usable.
    """
    from xmatch.synth.sources.aligned_pairs import find_pairs

    usable: dict[str, int] = {}
    for spec in data:
        groups: list[tuple[ImagePart, ...]]
        if spec.kind == "singles" and spec.folder is not None:
            groups = [(part,) for part in images.listed(spec.folder)]
        elif spec.kind == "pairs" and spec.folder is not None:
            groups = [files for kind in find_pairs(spec.folder).values() for files in kind]
        else:
            continue
        good, reason = 0, None
        for number, group in enumerate(groups[:CHECKED_FILES]):
            try:
                for part in group:
                    images[part]
                good += 1
            except InputError as error:
                reason = reason or error
            if progress is not None:
                progress("reading", number / len(groups))
        if not good:
            first = f"; the first: {reason.message}" if reason else ""
            hint = reason.hint if reason else "check one of them"
            raise InputError(f"none of {len(groups)} images is usable{first}", hint=hint, path=spec.folder)
        usable[spec.kind] = usable.get(spec.kind, 0) + good + max(0, len(groups) - CHECKED_FILES)
    return usable


def _counted(before: int, total: int, progress: Callable | None) -> Callable[[int], None]:
    made = before

    def count(pairs: int) -> None:
        nonlocal made
        made += pairs
        if progress is not None:
            progress(f"pairs {made} of {total}", made / total)

    return count


def _finish(
    target: Path,
    unusable: dict[str, str],
    done: Manifest,
    preview: Path | None,
    overwrite: bool,
    document: dict[str, Any],
) -> None:
    from xmatch.synth.manifest import write_quarantine

    document["quarantined"] = write_quarantine(target, unusable)
    if preview is None:
        return
    import cv2

    from xmatch.io.writing.atomic import atomic_write
    from xmatch.synth.preview import contact_sheet
    from xmatch.synth.shard_reader import ShardReader

    reader = ShardReader(target / done.shards[0].name)
    sheet = contact_sheet([reader[i] for i in range(min(PREVIEW_PAIRS, len(reader)))])
    with atomic_write(preview, overwrite) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    document["preview"] = str(preview)


def _check_space(target: Path, need_bytes: int) -> None:
    from xmatch.io.writing.atomic import check_target

    existing = target
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError("cannot be made: a file is in the way", hint="choose another --output", path=existing)
    # The folder itself may not be there yet: asked is whether a file beside it could be written.
    check_target(existing / ".pairs.tar", need_bytes=need_bytes)
