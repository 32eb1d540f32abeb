"""`xmatch match FIXED MOVING`: correspondences for a pipeline."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmatch.cli.by_points import ByPoints
from xmatch.cli.console import progress_bar, say
from xmatch.cli.extra_outputs import PointsFormat, points_format
from xmatch.cli.given import Given
from xmatch.cli.groups import grouped
from xmatch.cli.match_points import PointRequest, match_points
from xmatch.cli.options import Matching, Output, Overwrite, Running, Verbosity
from xmatch.cli.reading import Reading
from xmatch.cli.runtime import emit, emit_bytes
from xmatch.cli.summary import measured_in_words, probability_in_words
from xmatch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from xmatch.result import Registration

SCHEMA = "xmatch.match/1"


@grouped
def match_command(
    fixed: Annotated[str, typer.Argument(metavar="FIXED", help="The image that stays.")],
    moving: Annotated[str, typer.Argument(metavar="MOVING", help="The image whose points are sought in it.")],
    matching: Matching,
    given: Given,
    by_points: ByPoints,
    reading: Reading,
    running: Running,
    talk: Verbosity,
    output: Output = None,
    format: Annotated[
        PointsFormat | None,
        typer.Option("--format", help="Default: what --output's suffix says, else csv.", show_default=False),
    ] = None,
    spacing: Annotated[
        float | None,
        typer.Option(
            "--spacing",
            help="Points on a lattice so many FIXED px apart instead of tie points, where these hold the map.",
            metavar="PX",
            show_default=False,
        ),
    ] = None,
    geometry: Annotated[
        Literal["fundamental", "essential"] | None,
        typer.Option(
            "--geometry",
            help="For scenes with depth: inliers lie on each other's epipolar lines, and no map is fitted.",
            show_default=False,
        ),
    ] = None,
    focal: Annotated[
        str | None,
        typer.Option(
            "--focal",
            help="Focal lengths of FIXED and MOVING for --geometry essential; one for both.",
            metavar="PX[,PX]",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Print corresponding points of FIXED and MOVING, with certainty, inlier flag and residual.

    xmatch match a.tif b.tif > points.csv

    --spacing PX gives a dense set: a lattice over what both images show, through the map that was found, without places
    that no tie points hold.

    --geometry fundamental is for what no map of the plane explains: two views of a room or a street.

    --task seeks each point for itself, by the features of --matcher (default matcha-small), without a map or a
    verdict: in another view, in another thing of the same kind, or in the frames of a video (MOVING, or a folder of
    them).

    xmatch match a.jpg b.jpg --task semantic --keypoints points.csv

    Positions are px, x right, y down, the corner of the first pixel at (0, 0). Exit code 4 when the alignment is
    not to be trusted; the points are given all the same.
    """
    kind = choose_format(format, output, talk)
    if talk.json and output is None and kind != "json":
        raise UsageError(f"--json makes stdout JSON, and --format {kind} another thing", hint="leave one of them out")
    if by_points.task is not None:
        unused = {"--geometry": geometry, "--focal": focal}
        request = PointRequest(fixed, moving, by_points, spacing, output, kind, overwrite)
        match_points(request, matching, given, unused, reading, running, talk)
        return
    by_points.refuse_without_task()
    options = matching.options(reading, running, given)
    if geometry is not None and spacing is not None:
        raise UsageError("--spacing wants a map, and --geometry fits none", hint="leave one of them out")
    focal_px = None if focal is None else _focal(focal)
    if output is not None:
        from xmatch.io.writing.atomic import check_target

        check_target(output, overwrite, [fixed, moving, *given.files])
    elif kind == "npz" and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("npz is binary, and stdout is a terminal", hint="-o points.npz, or redirect stdout")

    from xmatch.io import open_source
    from xmatch.io.points.writing import POINTS_ENCODERS, write_points
    from xmatch.registration.dense_points import lattice_over, with_dense_points
    from xmatch.registration.epipolar import match_with_depth
    from xmatch.registration.pipeline import register
    from xmatch.report.correction import correction, in_words
    from xmatch.report.document import check_points_part

    with (
        open_source(fixed, reading.of_fixed()) as fixed_source,
        open_source(moving, reading.of_moving()) as moving_source,
    ):
        if spacing is not None:
            lattice_over(fixed_source.header.width, fixed_source.header.height, spacing)
        if geometry is not None:
            registration = match_with_depth(fixed_source, moving_source, options, geometry, focal_px)
        else:
            with progress_bar(talk) as progress:
                registration = register(fixed_source, moving_source, options, progress)
        if spacing is not None:
            registration = with_dense_points(registration, fixed_source, moving_source, options, spacing)
        if output is not None:
            write_points(output, kind, registration, overwrite=overwrite)
        else:
            emit_bytes(POINTS_ENCODERS[kind](registration))
    verdict = registration.verdict
    word = "trusted" if verdict.accepted else "NOT TRUSTED"
    said = [f"{word}{probability_in_words(verdict.probability)}: {verdict.reason}"]
    said += measured_in_words(check_points_part(registration))
    told = correction(registration)
    said += [f"correction: {in_words(told)}"] if told else []
    said += [f"note: {note}" for note in registration.notes]
    if not verdict.accepted:
        from xmatch.report import registration_document
        from xmatch.report.advice import wider

        said += [f"try: {hint}" for hint in wider(registration_document(registration, output=None))]
    say(talk, said)
    say(talk, [f"wrote {output}"] if output else [])
    if talk.json and output is not None:
        emit(_document(registration, output))
    raise typer.Exit(ExitCode.OK if verdict.accepted else ExitCode.UNTRUSTED)


def _focal(text: str) -> tuple[float, float]:
    """
    Raises:
        UsageError: not one or two numbers above 0.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 < number < float("inf") for number in numbers):
        raise UsageError(f"--focal {text!r} is not one or two numbers of px above 0", hint="--focal 800 or 800,650")
    return numbers[0], numbers[-1]


def _document(registration: Registration, output: str) -> dict[str, Any]:
    """What stdout carries where the points go to a file."""
    from xmatch.report import registration_document

    told = registration_document(registration, output=output)
    return {
        "schema": SCHEMA,
        **{key: told[key] for key in ("ok", "output", "verdict", "transform", "correspondences", "check_points")},
    }


def choose_format(format: PointsFormat | None, output: str | None, talk: Verbosity) -> PointsFormat:
    """--format; else the suffix of --output; else json with --json, csv without.

    Raises:
        UsageError: the suffix names no format.
    """
    if format is not None:
        return format
    if output is None:
        return "json" if talk.json else "csv"
    return points_format(output)
