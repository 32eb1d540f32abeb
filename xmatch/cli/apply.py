"""`xmatch apply REGISTRATION OTHER...`: the same transform for further bands and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmatch.cli.console import progress_bar, say
from xmatch.cli.groups import grouped
from xmatch.cli.options import Output, Overwrite, ResamplingOption, Running, Verbosity
from xmatch.cli.outputs import check_raster_name, placed, refuse_duplicates, unreliable
from xmatch.cli.reading import MovingReading
from xmatch.cli.runtime import emit
from xmatch.errors import ExitCode, InputError, UsageError
from xmatch.ops.devices import checked

if TYPE_CHECKING:
    from xmatch.io.rasters.source import Header
    from xmatch.raster import Grid
    from xmatch.report.document_types import RegistrationDocument

SCHEMA = "xmatch.apply/1"


@grouped
def apply_command(
    registration: Annotated[
        str, typer.Argument(metavar="REGISTRATION", help="JSON report of `xmatch register`, or an ITK .tfm.")
    ],
    others: Annotated[
        list[str], typer.Argument(metavar="OTHER...", help="Files with MOVING's footprint, or annotations.")
    ],
    reading: MovingReading,
    running: Running,
    talk: Verbosity,
    output: Output = None,
    fixed: Annotated[
        str | None, typer.Option("--fixed", help="Image whose grid the result takes; default that of the report.")
    ] = None,
    assume_same_footprint: Annotated[
        bool,
        typer.Option(
            "--assume-same-footprint", help="OTHER shows what MOVING showed, whatever its georeferencing says."
        ),
    ] = False,
    resampling: ResamplingOption = "auto",
    keep_unreliable: Annotated[
        bool, typer.Option("--keep-unreliable", help="Apply an untrusted registration too, to *.unreliable.tif.")
    ] = False,
    inverse: Annotated[
        bool, typer.Option("--inverse", help="OTHER are annotations drawn on FIXED, wanted on MOVING.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Move further bands, files or annotations with a transform that `xmatch register` found.

    xmatch apply sar.registered.report.json sar_vh.tif       writes sar_vh.registered.tif

    xmatch apply he.registered.report.json nuclei.geojson    writes nuclei.registered.geojson

    Where MOVING had a CRS, the one of OTHER says where it lies, on whatever grid. Where neither has one, OTHER shows
    the same footprint, and may have another pixel size. GeoJSON, CSV, GeoPackage and shapefiles are annotations
    drawn on MOVING itself: each vertex is moved exactly.
    """
    from xmatch.io.annotations import is_annotations, written_suffix

    checked(running.device)
    named = [placed(output, other) for other in others]
    if output is not None and len(others) > 1 and named[0] == Path(output):
        raise UsageError("--output names one file, and several are given", hint="-o NAME/ is a folder for all of them")
    for other, path in zip(others, named, strict=True):
        if not is_annotations(other):
            check_raster_name(path)
            if inverse:
                raise UsageError(f"--inverse moves annotations, and {other} is none", hint="register the other way")
        elif path.suffix.lower() != written_suffix(other):
            raise UsageError(f"{path} does not end in {written_suffix(other)}")
    # Other kinds of files are for `read_transform` to judge.
    document = None
    if Path(registration).suffix.lower() == ".json":
        from xmatch.report import read_report

        document = read_report(registration)
    found = None if document is None else document["transform"]
    if document is not None and found is None:
        raise InputError("this registration found no transform", hint=document["verdict"]["reason"], path=registration)
    trusted = document is None or document["verdict"]["accepted"]
    if document is not None and not trusted and not keep_unreliable:
        say(talk, [f"NOT TRUSTED: {document['verdict']['reason']}", "nothing written; --keep-unreliable applies it"])
        if talk.json:
            emit({"schema": SCHEMA, "ok": False, "outputs": [], "verdict": document["verdict"]})
        raise typer.Exit(ExitCode.UNTRUSTED)
    targets = named if trusted else [unreliable(path) for path in named]
    refuse_duplicates(targets)

    from xmatch.cli.apply_annotations import moved_annotations
    from xmatch.geometry import transform_from_dict
    from xmatch.io import open_source
    from xmatch.io.transforms.files import read_transform
    from xmatch.io.writing.atomic import atomic_writes, check_target
    from xmatch.registration.footprint import described, moving_onto_fixed, onto_grid_of, placing_notes
    from xmatch.resampling.registered_file import write_registered

    for path in targets:
        check_target(path, overwrite, [registration, *others, *([fixed] if fixed else [])])
    drawn = [is_annotations(other) for other in others]
    if any(drawn) and (document is None or fixed is not None):
        raise UsageError("annotations are moved between the two images of a JSON report", hint="no --fixed, no .tfm")
    grid, other_fixed = (None, None) if all(drawn) else _grid_of(fixed, document, registration)
    if document is not None and found is not None:
        transform = transform_from_dict(dict(found))
        # What was said of MOVING's place holds for images like it.
        options = document["provenance"].get("options", {})
        reading = replace(
            reading,
            ignore_georef=reading.ignore_georef or bool(options.get("ignore_georef")),
            moving_assume_crs=reading.moving_assume_crs or options.get("moving_assume_crs"),
        )
        if other_fixed is not None:
            transform = onto_grid_of(transform, described(document["fixed"]), other_fixed)
    notes = []
    with atomic_writes(targets, overwrite) as temporary, progress_bar(talk) as progress:
        for other, path in zip(others, targets, strict=True):
            if is_annotations(other):
                assert document is not None  # checked above
                notes += moved_annotations(document, transform, other, temporary[path], inverse)
                continue
            assert grid is not None
            with open_source(other, reading.of_moving()) as source:
                if document is None:
                    to_fixed = read_transform(registration, other_fixed, source.header)
                else:
                    moving = described(document["moving"])
                    to_fixed = moving_onto_fixed(transform, moving, source.header, assume_same_footprint)
                    told = () if assume_same_footprint else placing_notes(moving, source.header)
                    notes += [f"{other}: {note}" for note in told]
                facts = write_registered(
                    temporary[path],
                    source,
                    to_fixed,
                    grid,
                    resampling=resampling,
                    overwrite=True,
                    threads=running.thread_count,
                    max_memory_bytes=reading.max_memory_bytes,
                    progress=progress,
                )
                if not facts["valid_fraction"]:
                    raise InputError("nothing of it that holds data falls on the fixed image's grid", path=other)
                notes += [f"{other}: {note}" for note in (*source.header.notes, *facts["notes"])]
    say(talk, [*(f"note: {note}" for note in notes), *(f"wrote {path}" for path in targets)])
    if talk.json:
        emit({"schema": SCHEMA, "ok": trusted, "outputs": [str(path) for path in targets], "notes": notes})
    raise typer.Exit(ExitCode.OK if trusted else ExitCode.UNTRUSTED)


def _grid_of(fixed: str | None, document: RegistrationDocument | None, registration: str) -> tuple[Grid, Header | None]:
    """The grid of the result and, where it is not the one of the registration, whose it is."""
    from xmatch.io import open_source
    from xmatch.raster import Grid
    from xmatch.registration.footprint import described

    if fixed is not None:
        with open_source(fixed) as source:
            return Grid.of(source.header), source.header
    if document is None:
        raise UsageError(f"{registration} does not say on which grid the result lies", hint="--fixed IMAGE")
    return Grid.of(described(document["fixed"])), None
