"""`xmatch apply REGISTRATION OTHER...`: the same transform for further bands and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.console import progress_bar, say
from xmatch.cli.groups import grouped
from xmatch.cli.options import MovingReading, Output, Overwrite, ResamplingOption, Running, Talk
from xmatch.cli.outputs import default_output, refuse_duplicates, unreliable
from xmatch.cli.runtime import emit
from xmatch.errors import ExitCode, InputError, UsageError

if TYPE_CHECKING:
    from xmatch.io.source import Header
    from xmatch.raster import Grid
    from xmatch.transforms import Transform

SCHEMA = "xmatch.apply/1"

_ASPECT_TOLERANCE = 0.01
"""Largest relative difference of the side ratios of two images taken to show the same footprint."""


@grouped
def apply_command(
    registration: Annotated[
        str, typer.Argument(metavar="REGISTRATION", help="JSON report of `xmatch register`, or an ITK .tfm.")
    ],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Files with MOVING's footprint.")],
    reading: MovingReading,
    running: Running,
    talk: Talk,
    output: Output = None,
    fixed: Annotated[
        str | None, typer.Option("--fixed", help="Image whose grid the result takes; default that of the report.")
    ] = None,
    resampling: ResamplingOption = "auto",
    keep_unreliable: Annotated[
        bool, typer.Option("--keep-unreliable", help="Apply an untrusted registration too, to *.unreliable.tif.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Move further bands or files with a transform that `xmatch register` found.

    xmatch apply sar.registered.report.json sar_vh.tif    writes sar_vh.registered.tif

    OTHER may have another pixel size than MOVING had, as long as it shows the same footprint.
    """
    if output is not None and len(others) > 1:
        raise UsageError("--output names one file, and several are given", hint="leave it out, or run once for each")
    # Other kinds of files are for `read_transform` to judge.
    document = None
    if Path(registration).suffix.lower() == ".json":
        from xmatch.report import read_report

        document = read_report(registration)
    if document is not None and document["transform"] is None:
        raise InputError("this registration found no transform", hint=document["verdict"]["reason"], path=registration)
    trusted = document is None or document["verdict"]["accepted"]
    if not trusted and not keep_unreliable:
        say(talk, [f"NOT TRUSTED: {document['verdict']['reason']}", "nothing written; --keep-unreliable applies it"])
        if talk.json:
            emit({"schema": SCHEMA, "ok": False, "outputs": [], "verdict": document["verdict"]})
        raise typer.Exit(ExitCode.UNTRUSTED)
    named = [Path(output or default_output(other)) for other in others]
    targets = named if trusted else [unreliable(path) for path in named]
    refuse_duplicates(targets)

    from xmatch.io import open_source
    from xmatch.io.atomic import atomic_writes, check_target
    from xmatch.writing import write_registered

    for path in targets:
        check_target(path, overwrite, [registration, *others, *([fixed] if fixed else [])])
    transform = _transform_of(document, registration)
    grid = _grid_of(fixed, document, registration)
    with atomic_writes(targets, overwrite) as temporary, progress_bar(talk) as progress:
        for other, path in zip(others, targets, strict=True):
            with open_source(other, reading.of_moving()) as source:
                write_registered(
                    temporary[path],
                    source,
                    onto_footprint(transform, document and document["moving"], source.header),
                    grid,
                    resampling=resampling,
                    overwrite=True,
                    threads=running.thread_count,
                    max_memory_bytes=reading.max_memory_bytes,
                    progress=progress,
                )
    say(talk, [f"wrote {path}" for path in targets])
    if talk.json:
        emit({"schema": SCHEMA, "ok": trusted, "outputs": [str(path) for path in targets]})
    raise typer.Exit(ExitCode.OK if trusted else ExitCode.UNTRUSTED)


def onto_footprint(transform: Transform, moving: dict[str, Any] | None, other: Header) -> Transform:
    """`transform`, found for the image that `moving` describes, for another image of the same place.

    Two affine georeferences in one CRS say exactly how their pixels relate; otherwise the whole images do.

    Raises:
        InputError: the images cannot show the same footprint.
    """
    import numpy as np

    from xmatch.report import georef_of
    from xmatch.transforms import Linear, compose, rescaled

    if moving is None:
        return transform
    was = georef_of(moving)
    if was and other.georef and was.crs_wkt == other.georef.crs_wkt and not was.gcps and not other.georef.gcps:
        other_to_moving = np.linalg.solve(was.matrix, other.georef.matrix)
        if np.allclose(other_to_moving, np.eye(3), atol=1e-6):
            return transform
        try:
            return compose(Linear(other_to_moving, "affine"), transform)
        except ValueError:
            message = "its pixels and those of the image that was registered differ beyond all measure in size"
            raise InputError(message, path=other.path) from None
    ratios = moving["width"] / other.width, moving["height"] / other.height
    if abs(ratios[0] / ratios[1] - 1) > _ASPECT_TOLERANCE:
        sizes = f"{other.width} x {other.height} px against {moving['width']} x {moving['height']} px"
        raise InputError(f"not the footprint of the image that was registered: {sizes}", path=other.path)
    return rescaled(transform, (moving["width"], moving["height"]), (other.width, other.height))


def _transform_of(document: dict[str, Any] | None, path: str) -> Transform:
    from xmatch.transforms import transform_from_dict

    if document is None:
        from xmatch.io.transform_files import read_transform

        return read_transform(path)
    return transform_from_dict(document["transform"])


def _grid_of(fixed: str | None, document: dict[str, Any] | None, registration: str) -> Grid:
    from xmatch.io import open_source
    from xmatch.raster import Grid
    from xmatch.report import georef_of

    if fixed is not None:
        with open_source(fixed) as source:
            return Grid.of(source.header)
    if document is None:
        raise UsageError(f"{registration} does not say on which grid the result lies", hint="--fixed IMAGE")
    facts = document["fixed"]
    spacing = facts.get("spacing_um")
    return Grid(
        facts["width"], facts["height"], georef_of(facts), spacing and tuple(spacing), bool(facts.get("medical"))
    )
