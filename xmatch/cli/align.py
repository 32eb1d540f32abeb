"""`xmatch align IMAGES...`: several images onto one of them, each by all the others."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.console import printable, progress_bar, say
from xmatch.cli.given import Given
from xmatch.cli.groups import grouped
from xmatch.cli.one_pair import Settings, write_all
from xmatch.cli.options import Matching, Overwrite, ResamplingOption, Running, Verbosity
from xmatch.cli.outputs import Targets, Writing, default_output, refuse_duplicates
from xmatch.cli.reading import GroupReading, Reading
from xmatch.cli.runtime import emit, emit_text
from xmatch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from xmatch.cli.console import Progress
    from xmatch.io.rasters.source import Source
    from xmatch.report.group import GroupDocument
    from xmatch.result import GroupRegistration

PLAN_SCHEMA = "xmatch.align-plan/1"


@dataclass(frozen=True)
class GroupWriting:
    """What `align` writes, and where."""

    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Folder of the results; default this one.", metavar="DIR")
    ] = None
    resampling: ResamplingOption = "auto"
    overwrite: Overwrite = False
    transform_only: Annotated[
        bool, typer.Option("--transform-only", help="Write the reports with their transforms, no raster.")
    ] = False

    @property
    def folder(self) -> Path:
        return Path(self.output or ".")

    @property
    def json(self) -> Path:
        """Written last: its presence says that the run ended."""
        return self.folder / "align.json"

    @property
    def page(self) -> Path:
        return self.folder / "align.html"


@grouped
def align_command(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Images of one place, in the order in which they were taken."),
    ],
    writing: GroupWriting,
    matching: Matching,
    reading: GroupReading,
    running: Running,
    talk: Verbosity,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The one that stays; default the first.", metavar="IMAGE")
    ] = None,
    pairs_per_image: Annotated[
        int | None,
        typer.Option(
            "--pairs-per-image",
            help="Register each with so many later ones: the 1st, 2nd, 4th, 8th ... after it; default all of up to 8 "
            "images, else 4.",
            min=1,
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check inputs and targets, print the plan, stop.")] = False,
) -> None:
    """Lay images of one place onto one of them, consistently.

    xmatch align dates/*.tif -o aligned/    writes aligned/NAME.registered.tif and a report for each, and align.html.

    Pairs are registered with a verdict each; those that are trusted are made to agree, and loops tell which do not. An
    image that no trusted pair leads to is not written.

    Exit codes: 0 all trusted; 8 some are not; 4 none is.
    """
    number = _reference(images, reference)
    own = Writing(resampling=writing.resampling, overwrite=writing.overwrite, transform_only=writing.transform_only)
    # What single registrations are made of: their writing, and what their reports record.
    read = Reading(ignore_georef=reading.ignore_georef, max_memory=reading.max_memory, offline=reading.offline)
    settings = Settings(read, matching, running, own)
    named = [
        None if k == number else Targets.of(path, own, str(writing.folder / default_output(path)))
        for k, path in enumerate(images)
    ]

    from xmatch.io import open_source
    from xmatch.io.writing.atomic import check_target
    from xmatch.registration.group import GroupOptions, pairs_of, register_group

    options = GroupOptions(matching.options(reading, running, Given()), number, pairs_per_image)
    refuse_duplicates([path for targets in named if targets for path in targets.paths(True)])
    for path in (writing.json, writing.page):
        check_target(path, writing.overwrite, images)
    with ExitStack() as stack:
        for targets in named:
            if targets is not None:
                targets.check(images, own)
        sources = [stack.enter_context(open_source(path, reading.of_each())) for path in images]
        for source, targets in zip(sources, named, strict=True):
            if targets is not None:
                targets.check_files(sources[number], source, own)
        if dry_run:
            pairs = pairs_of(len(images), pairs_per_image, number)
            files = [path for targets in named if targets for path in targets.paths(True)]
            _tell_plan(images, pairs, [*files, writing.page, writing.json], talk)
            return
        progress = stack.enter_context(progress_bar(talk))
        group = register_group(sources, options, progress)
        document = _write(group, sources, named, settings, writing, progress)
    say(talk, _lines(document))
    if talk.json:
        emit(document)
    placed = sum(image["verdict"]["accepted"] for image in document["images"]) - 1
    raise typer.Exit(ExitCode.OK if document["ok"] else ExitCode.BATCH if placed else ExitCode.UNTRUSTED)


def _reference(images: list[str], named: str | None) -> int:
    """Number of the image that stays."""
    if len(images) < 2:
        raise UsageError("one image alone is aligned with nothing", hint="xmatch align IMAGE IMAGE...")
    if named is None:
        return 0
    same = [k for k, path in enumerate(images) if os.path.normpath(path) == os.path.normpath(named)]
    if not same:
        raise UsageError(f"--reference {named} is none of the images", hint="name it among them, too")
    return same[0]


def _write(
    group: GroupRegistration,
    sources: list[Source],
    named: list[Targets | None],
    settings: Settings,
    writing: GroupWriting,
    progress: Progress | None,
) -> GroupDocument:
    """Each image's files, all or none of them, and then those of the group."""
    from xmatch.io.writing.atomic import atomic_writes
    from xmatch.provenance import record
    from xmatch.report.group import group_document, render_group

    provenance = record(options=settings.as_options())
    fixed = sources[group.reference]
    outputs: list[str | None] = []
    written: list[Path] = []
    for registration, source, targets in zip(group.images, sources, named, strict=True):
        if targets is None:
            outputs.append(None)
            continue
        told = replace(registration, provenance={**registration.provenance, **provenance})
        outcome = write_all(told, fixed, source, targets, settings, progress)
        outputs.append(outcome.document["output"])
        written += outcome.written
    reports = [None if targets is None or targets.html is None else str(targets.html) for targets in named]
    files = [writing.page, writing.json]
    group = replace(group, provenance={**group.provenance, **provenance})
    document = group_document(group, outputs, reports, [*written, *files])
    with atomic_writes(files, writing.overwrite) as temporary:
        temporary[writing.page].write_text(render_group(document, writing.folder), encoding="utf-8")
        temporary[writing.json].write_bytes(_as_json(document))
    return document


def _as_json(document: GroupDocument) -> bytes:
    import json

    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode("ascii")


def _lines(document: GroupDocument) -> list[str]:
    """The result for a person."""
    names = [os.path.basename(image["path"]) for image in document["images"]]
    lines = []
    for image in document["images"]:
        verdict = image["verdict"]
        word = "trusted" if verdict["accepted"] else "NOT TRUSTED"
        error = f", within {verdict['ce90_px']:.2f} px" if verdict["accepted"] and verdict["ce90_px"] else ""
        lines.append(f"{names[image['index']]}: {word}{error}: {verdict['reason']}")
    for pair in document["pairs"]:
        if pair["state"] in ("disagrees", "disputed"):
            off = "" if pair["off_px"] is None else f" by {pair['off_px']:.1f} px"
            said = "contradicted by loops" if pair["state"] == "disagrees" else "in a loop that does not close"
            lines.append(f"left out: {names[pair['moving']]} on {names[pair['fixed']]}, {said}{off}")
    loops = [loop["off_px"] for loop in document["loops"]]
    if loops:
        lines.append(f"{len(loops)} loops of three pairs close within {max(loops):.2f} px")
    return lines + [f"wrote {path}" for path in document["files"]]


def _tell_plan(images: list[str], pairs: list[tuple[int, int]], files: list[Path], talk: Verbosity) -> None:
    plan: dict[str, Any] = {
        "schema": PLAN_SCHEMA,
        "ok": True,
        "pairs": [{"fixed": images[fixed], "moving": images[moving]} for fixed, moving in pairs],
        "files": [str(path) for path in files],
    }
    if talk.json:
        emit(plan)
        return
    lines = [f"pair: {moving} on {fixed}" for fixed, moving in ((images[a], images[b]) for a, b in pairs)]
    lines += [f"would write {path}" for path in plan["files"]]
    emit_text("".join(f"{printable(line)}\n" for line in lines))
