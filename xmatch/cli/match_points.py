"""`xmatch match FIXED MOVING --task TASK`: points sought one by one, by features, without a map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.cli.by_points import ByPoints, changed
from xmatch.cli.console import progress_bar, say
from xmatch.cli.extra_outputs import PointsFormat
from xmatch.cli.given import Given
from xmatch.cli.options import Matching, Running, Verbosity
from xmatch.cli.reading import Reading
from xmatch.cli.runtime import emit, emit_bytes
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.coords import Floats
    from xmatch.networks.matcha.features import Feature
    from xmatch.pointwise.images import Seen
    from xmatch.pointwise.points import TrackedFrame

SCHEMA = "xmatch.match-points/1"
SMALL_NOTE = (
    "note: matcha-small was taught by drawn scenes and figures alone; of photographs of things --matcher matcha or "
    "dift-dinov2 knows more (docs/matcha.md)"
)
LATTICE = 16
"""Points along FIXED's longer side that are tracked where none are given."""


@dataclass(frozen=True)
class PointRequest:
    """What is sought where, and where it goes."""

    fixed: str
    moving: str
    by_points: ByPoints
    spacing: float | None
    output: str | None
    kind: PointsFormat
    overwrite: bool


def match_points(
    request: PointRequest,
    matching: Matching,
    given: Given,
    unused: dict[str, Any],
    reading: Reading,
    running: Running,
    talk: Verbosity,
) -> None:
    """Seek points and write them.

    Args:
        unused: option -> value of other options that mean nothing here.
    """
    wanted = request.by_points
    _refuse_options_of_maps(matching, given, unused)
    if request.kind == "points":
        raise UsageError("--task gives csv, json or npz", hint="-o points.csv")
    if wanted.keypoints and request.spacing is not None:
        raise UsageError("--keypoints and --spacing both say which points", hint="leave one of them out")
    _check_outputs(request, given)

    from xmatch.networks.matcha.config import SMALL_NAMES
    from xmatch.networks.matcha.loading import feature_names, feature_of, load_feature, usual_side
    from xmatch.ops.devices import resolved
    from xmatch.ops.threads import torch_threads

    name = feature_of(matching.weights) if matching.matcher == "auto" else matching.matcher
    if name not in feature_names():
        raise UsageError(f"{name} has no features for --task", hint=f"--matcher {', '.join(feature_names())}")
    if name in SMALL_NAMES:
        say(talk, [SMALL_NOTE])
    assert wanted.task is not None
    wanted = replace(wanted, feature_side=wanted.feature_side or usual_side(name, wanted.task))
    request = replace(request, by_points=wanted)
    device = resolved(running.device)
    options = wanted.feature_options(matching.weights, running, device, reading.offline)
    with torch_threads(running.thread_count):
        run = _track if wanted.task == "temporal" else _find
        run(request, lambda: load_feature(name, options), name, device, reading, talk)


def _find(request: PointRequest, load: Any, name: str, device: str, reading: Reading, talk: Verbosity) -> None:
    from xmatch.io import open_source
    from xmatch.pointwise.images import see_file
    from xmatch.pointwise.pictures import drawn_pair
    from xmatch.pointwise.points import find_points
    from xmatch.pointwise.tables import encode_points

    wanted = request.by_points
    assert wanted.task is not None
    looks: list[Seen] = []
    drawn: list[Seen] = []
    for path, options in ((request.fixed, reading.of_fixed()), (request.moving, reading.of_moving())):
        with open_source(path, options) as source:
            looks.append(see_file(source, wanted.task, wanted.feature_side))
            if wanted.picture:  # in its own proportions, and finer than some features see it
                drawn.append(see_file(source, "geometric"))
    fixed, moving = looks
    points_xy = _points(request, fixed)
    feature: Feature = load()
    found = find_points(feature, fixed, moving, wanted.task, points_xy, refinement=wanted.refinement, device=device)
    if wanted.picture:
        _write(wanted.picture, drawn_pair(drawn[0], drawn[1], found), request.overwrite)
    told = encode_points(found, request.kind, wanted.task, name)
    _give(request, told, len(found.certainty), name, talk, visible=int(found.visible.sum()))


def _track(request: PointRequest, load: Any, name: str, device: str, reading: Reading, talk: Verbosity) -> None:
    from xmatch.pointwise.images import see_frames
    from xmatch.pointwise.points import track_points
    from xmatch.pointwise.tables import encode_tracks

    wanted = request.by_points
    first = next(see_frames(request.fixed, reading.of_fixed(), wanted.feature_side))
    points_xy = _points(request, first)
    assert points_xy is not None
    frames = see_frames(request.moving, reading.of_moving(), wanted.feature_side, like=first.size_px)
    found: list[TrackedFrame] = []
    with progress_bar(talk) as progress:
        for tracked in track_points(load(), first, frames, points_xy, refinement=wanted.refinement, device=device):
            if wanted.picture:
                _draw(Path(wanted.picture), found, tracked, request.overwrite)
            # Pixels of frames that were drawn are not needed any more: a video may be long.
            found.append(_without_pixels(tracked))
            if progress:
                progress(f"frame {tracked.number}", 0.0)
    content = encode_tracks(points_xy, found, request.kind, name)
    _give(request, content, len(points_xy), name, talk, frames=len(found))


def _points(request: PointRequest, fixed: Seen) -> Floats | None:
    """(N, 2) px of FIXED; None: those that both images choose."""
    from xmatch.io.points.reading import read_positions
    from xmatch.registration.dense_points import lattice_over

    if request.by_points.keypoints:
        return read_positions(request.by_points.keypoints, fixed.size_px)
    if request.spacing is not None:
        return lattice_over(*fixed.size_px, request.spacing)
    return lattice_over(*fixed.size_px, max(fixed.size_px) / LATTICE) if request.by_points.task == "temporal" else None


def _draw(folder: Path, before: list[TrackedFrame], now: TrackedFrame, overwrite: bool) -> None:
    import numpy as np

    from xmatch.pointwise.pictures import TAIL, drawn_frame

    shown = [*before[-TAIL:], now]
    picture = drawn_frame(
        now.frame, np.stack([frame.xy for frame in shown]), np.stack([frame.visible for frame in shown])
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{now.number:06d}.png", picture, overwrite)


def _without_pixels(tracked: TrackedFrame) -> TrackedFrame:
    from dataclasses import replace

    frame = tracked.frame
    return replace(tracked, frame=replace(frame, image=frame.image[:1, :1].copy(), valid=frame.valid[:1, :1].copy()))


def _give(
    request: PointRequest,
    content: bytes,
    points: int,
    name: str,
    talk: Verbosity,
    frames: int | None = None,
    visible: int | None = None,
) -> None:
    """The points on stdout or in their file, and what is said of them."""
    if request.output is None:
        emit_bytes(content)
    else:
        _write(request.output, content, request.overwrite)
    through = f" through {frames} frames" if frames is not None else ""
    back = f", {visible} of which come back to where they began" if visible is not None else ""
    say(talk, [f"{points} points{through}{back}, by the features of {name}; no map, and no verdict"])
    written = [path for path in (request.output, request.by_points.picture) if path]
    say(talk, [f"wrote {path}" for path in written])
    if talk.json and request.output is not None:
        told = {"task": request.by_points.task, "matcher": name, "points": points, "frames": frames}
        emit({"schema": SCHEMA, "ok": True, "output": request.output, "picture": request.by_points.picture, **told})


def _write(path: str | Path, content: bytes, overwrite: bool) -> None:
    from xmatch.io.writing.atomic import atomic_write

    with atomic_write(path, overwrite) as temporary:
        temporary.write_bytes(content)


def _check_outputs(request: PointRequest, given: Given) -> None:
    from xmatch.io.writing.atomic import check_target

    inputs = [path for path in (request.fixed, request.moving, request.by_points.keypoints) if path]
    files = [path for path in inputs if Path(path).is_file()]
    if request.output is not None:
        check_target(request.output, request.overwrite, files)
    picture = request.by_points.picture
    if picture is None:
        return
    if request.by_points.task == "temporal":
        if Path(picture).is_file():
            raise UsageError(f"--picture {picture} is a file; the frames of --task temporal go into a folder")
        check_target(Path(picture) / "000000.png", request.overwrite, files)
    else:
        if Path(picture).suffix.lower() != ".png":
            raise UsageError(f"--picture {picture} does not end in .png", hint="--picture matches.png")
        check_target(picture, request.overwrite, files)


def _refuse_options_of_maps(matching: Matching, given: Given, unused: dict[str, Any]) -> None:
    """
    Raises:
        UsageError: something is said of a map, which --task does not look for.
    """
    said = [name for name, value in unused.items() if value is not None]
    said += [name for name in changed(matching) if name not in ("--matcher", "--weights")]
    for name in said + changed(given):
        raise UsageError(f"{name} is for maps, and --task fits none", hint="leave one of them out")
