"""One pair from files to files: check targets, open, register, write all or nothing, tell."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.cli.console import Progress
from xmatch.cli.earlier import changed_since, earlier_document, further_files
from xmatch.cli.extra_outputs import write_extra
from xmatch.cli.given import Given
from xmatch.cli.options import Matching, Running
from xmatch.cli.outputs import Targets, Writing, unreliable
from xmatch.cli.reading import Reading
from xmatch.errors import ExitCode, OutputError, UsageError

if TYPE_CHECKING:
    from xmatch.geometry import Transform
    from xmatch.io.rasters.source import Source
    from xmatch.registration.options import RegisterOptions
    from xmatch.report import Previews
    from xmatch.report.document_types import RegistrationDocument
    from xmatch.result import Registration


@dataclass(frozen=True)
class Settings:
    """Everything that shapes a registration, as the command line or a recipe gave it."""

    reading: Reading
    matching: Matching
    running: Running
    writing: Writing
    given: Given = Given()

    def register_options(self) -> RegisterOptions:
        """
        Raises:
            UsageError: options that contradict each other.
        """
        if self.writing.crop_to_roi and (self.given.roi is None or self.writing.grid == "moving"):
            raise UsageError("--crop-to-roi cuts FIXED's grid to --roi", hint="give --roi, and leave out --grid moving")
        if self.writing.error_map is not None and self.given.tie_points_only:
            message = "--error-map comes from matching, which --tie-points-only leaves out"
            raise UsageError(message, hint="leave out one of them")
        return self.matching.options(self.reading, self.running, self.given)

    def as_options(self) -> dict[str, Any]:
        """The options that replay it: those that name this run's own files or habits are left out."""
        writing = {name: getattr(self.writing, name) for name in ("grid", "resampling", "crop_to_roi")}
        groups = (self.reading, self.matching, self.given)
        options = {name: value for group in groups for name, value in dataclasses.asdict(group).items()}
        options |= {**writing, "seed": self.running.seed}
        return {name: value for name, value in options.items() if name != "offline"}


@dataclass(frozen=True)
class Outcome:
    document: RegistrationDocument
    """The registration's JSON."""
    written: tuple[Path, ...] = ()
    skipped: bool = False
    previews: Previews | None = None
    """The pictures of the report that was written."""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.OK if self.document["verdict"]["accepted"] else ExitCode.UNTRUSTED


def register_pair(
    fixed: str, moving: str, targets: Targets, settings: Settings, progress: Progress | None = None
) -> Outcome:
    """Register two files and write what `targets` names.

    Raises:
        XmatchError: of the kind that tells the exit code; nothing was written then.
    """
    options = settings.register_options()
    if earlier := _earlier_outcome(fixed, moving, targets, settings):
        return earlier
    settings = _going_on(targets, settings)
    targets.check([fixed, moving, *settings.given.files], settings.writing)

    from xmatch.io import open_source
    from xmatch.provenance import record
    from xmatch.registration.pipeline import register

    with (
        open_source(fixed, settings.reading.of_fixed()) as fixed_source,
        open_source(moving, settings.reading.of_moving()) as moving_source,
    ):
        targets.check_files(fixed_source, moving_source, settings.writing)
        registration = register(fixed_source, moving_source, options, progress)
        told = settings.as_options()
        provenance = {**registration.provenance, **record(options=told), "option_files": further_files(told)}
        registration = dataclasses.replace(registration, provenance=provenance)
        return write_all(registration, fixed_source, moving_source, targets, settings, progress)


def write_all(
    registration: Registration,
    fixed: Source,
    moving: Source,
    targets: Targets,
    settings: Settings,
    progress: Progress | None = None,
) -> Outcome:
    """The raster and further outputs, if the verdict allows, and the report: all of them or none."""
    from xmatch.io.writing.atomic import atomic_writes
    from xmatch.report import make_previews, registration_document, write_reports

    trusted, transform = registration.verdict.accepted, registration.transform
    keep = transform is not None and (trusted or settings.writing.keep_unreliable)
    final = {path: path if trusted else unreliable(path) for path in (targets.raster, *targets.extra.values())}
    raster = final[targets.raster] if keep and targets.write_raster else None
    paths = targets.paths(trusted and keep, keep)
    with atomic_writes(paths, settings.writing.overwrite) as temporary:
        if raster and transform is not None:
            registration = _write_raster(temporary[raster], registration, transform, fixed, moving, settings, progress)
        for kind, path in targets.extra.items() if keep else ():
            place, resampling = temporary[final[path]], settings.writing.resampling
            notes = write_extra(kind, place, final[path], registration, fixed, moving, resampling)
            registration = dataclasses.replace(registration, notes=registration.notes + notes)
        previews = make_previews(fixed, moving, registration) if targets.html else None
        document = registration_document(registration, output=raster, previews=previews, files=paths)
        if targets.html and targets.json:
            write_reports(document, previews, temporary[targets.json], temporary[targets.html], overwrite=True)
    return Outcome(document, tuple(paths), previews=previews)


def _earlier_outcome(fixed: str, moving: str, targets: Targets, settings: Settings) -> Outcome | None:
    """With --skip-existing, the result that an earlier run left of the same files, options and version. Outputs appear
    all together, the report last: it speaks for all.

    Raises:
        OutputError: what is there was made otherwise, and may not be replaced.
    """
    writing = settings.writing
    if not writing.skip_existing or (document := earlier_document(targets)) is None:
        return None
    changed = changed_since(document, fixed, moving, targets, writing, settings.as_options())
    if changed is None:
        return Outcome(document, skipped=True)
    if not writing.overwrite:
        raise OutputError(f"exists already, and {changed}", hint="--overwrite replaces it", path=targets.json)
    return None


def _going_on(targets: Targets, settings: Settings) -> Settings:
    """With --skip-existing, leave to replace what a run that was killed among its last renames has left."""
    from xmatch.io.writing.atomic import was_cut_off

    writing = settings.writing
    if not writing.skip_existing or targets.json is None or not was_cut_off(targets.json):
        return settings
    return dataclasses.replace(settings, writing=dataclasses.replace(writing, overwrite=True))


def _write_raster(
    path: Path,
    registration: Registration,
    transform: Transform,
    fixed: Source,
    moving: Source,
    settings: Settings,
    progress: Progress | None,
) -> Registration:
    from xmatch.raster import Grid
    from xmatch.resampling.registered_file import write_registered
    from xmatch.resampling.resample import moving_grid

    grid = Grid.of(fixed.header)
    if settings.writing.crop_to_roi and settings.given.roi is not None:
        from xmatch.geometry import compose
        from xmatch.geometry.linear import translation
        from xmatch.registration.looked_at import roi_window

        x0, y0, width, height = window = roi_window(settings.given.roi, fixed.header)
        grid, transform = grid.part(window), compose(transform, translation(-x0, -y0))
        note = f"the raster is cut to {width} x {height} px of FIXED from ({x0}, {y0}); the map leads to all of FIXED"
        registration = dataclasses.replace(registration, notes=(*registration.notes, note))
    if settings.writing.grid == "moving":
        grid, transform = moving_grid(moving.header, transform, grid)
    facts = write_registered(
        path,
        moving,
        transform,
        grid,
        resampling=settings.writing.resampling,
        overwrite=True,
        threads=settings.running.thread_count,
        max_memory_bytes=settings.reading.max_memory_bytes,
        progress=progress,
    )
    return dataclasses.replace(registration, notes=registration.notes + facts["notes"])
