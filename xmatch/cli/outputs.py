"""Where the outputs of `register` go: their names, and the checks before the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmatch.cli.extra_outputs import EXTRA_OUTPUTS, SUFFIXES, check_suffix
from xmatch.cli.options import GridOption, Output, Overwrite, ResamplingOption
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.io.rasters.source import Source

_RASTER_SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
_MEDICAL = (".nii.gz", ".nii", ".dcm", ".ome.zarr", ".zarr")
_WRITING, _EXTRA = "Writing", "Further outputs"


def _path_option(name: str, help: str):
    return typer.Option(name, help=help, rich_help_panel=_EXTRA, metavar="PATH")


@dataclass(frozen=True)
class Writing:
    """What `register` writes, and where."""

    output: Output = None
    grid: GridOption = "fixed"
    resampling: ResamplingOption = "auto"
    crop_to_roi: Annotated[
        bool, typer.Option("--crop-to-roi", help="Cut the raster to --roi, instead of all of FIXED's grid.")
    ] = False
    overwrite: Overwrite = False
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave a pair alone whose result, made the same, is already there.")
    ] = False
    keep_unreliable: Annotated[
        bool, typer.Option("--keep-unreliable", help="Write an untrusted result too, named *.unreliable.tif.")
    ] = False
    transform_only: Annotated[
        bool, typer.Option("--transform-only", help="Write the report and further outputs, no raster.")
    ] = False
    report: Annotated[
        str | None,
        typer.Option("--report", help="The report, .html or .csv; a JSON of the same name beside it.", metavar="PATH"),
    ] = None
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False
    gcps: Annotated[str | None, _path_option("--gcps", "MOVING with ground control points, for gdalwarp -tps.")] = None
    points: Annotated[str | None, _path_option("--points", "Points: .csv, .json, .npz or QGIS .points.")] = None
    vrt: Annotated[str | None, _path_option("--vrt", "VRT that warps MOVING onto FIXED's grid on the fly.")] = None
    tfm: Annotated[str | None, _path_option("--tfm", "ITK transform, in the mm or px of SimpleITK's reading.")] = None
    displacement: Annotated[str | None, _path_option("--displacement", "Displacement grid, GeoTIFF.")] = None
    error_map: Annotated[
        str | None, _path_option("--error-map", "Expected error place by place, GeoTIFF or .ome.tif.")
    ] = None


@dataclass(frozen=True)
class Targets:
    """Every file that one registration may write."""

    raster: Path
    """Where the raster stands, or would stand; reports are named after it."""
    write_raster: bool = True
    html: Path | None = None
    """The page for people, or what another writer of reports makes."""
    json: Path | None = None
    extra: dict[str, Path] = field(default_factory=dict)
    """"gcps", "points", "vrt", "tfm", "displacement", "error_map" -> path."""

    @staticmethod
    def of(moving: str, writing: Writing, output: str | None = None) -> Targets:
        """Names for one pair.

        Raises:
            UsageError: an output has a name of another kind of file, or two outputs share one; or a package is missing
                that one of them needs.
        """
        raster = placed(output or writing.output, moving)
        stem, suffix = split_suffix(raster)
        if not writing.transform_only:
            check_raster_name(raster)
        html = json = None
        if not writing.no_report:
            html = Path(writing.report) if writing.report else raster.with_name(f"{stem}.report.html")
            _check_report(html)
            json = html.with_suffix(".json")
        extra = {name: Path(path) for name in EXTRA_OUTPUTS if (path := getattr(writing, name)) is not None}
        for name, path in extra.items():
            check_suffix(name, path, SUFFIXES[name])
        if "tfm" in extra:
            from xmatch.io.transforms.itk_space import simpleitk

            simpleitk()
        targets = Targets(raster, not writing.transform_only, html, json, extra)
        refuse_duplicates(targets.paths(trusted=True))
        return targets

    def paths(self, trusted: bool, keep: bool | None = None) -> list[Path]:
        """The files of a run that ends so, the one whose presence says that it ended last; `keep` adds the raster and
        further outputs of an untrusted one."""
        results = [*self.extra.values(), *([self.raster] if self.write_raster else [])]
        if not trusted:
            results = [unreliable(path) for path in results] if keep else []
        return [*results, *(path for path in (self.html, self.json) if path)]

    def check(self, inputs: Iterable[str], writing: Writing) -> None:
        """Raise OutputError, before any work, when one of the files could not be written."""
        from xmatch.io.writing.atomic import check_target

        for path in {*self.paths(True), *self.paths(False, writing.keep_unreliable)}:
            check_target(path, writing.overwrite, list(inputs))

    def check_files(self, fixed: Source, moving: Source, writing: Writing) -> None:
        """Raise, before any work, when one of the outputs cannot be made of these two files.

        Raises:
            OutputError: a further output that their georeferencing or format does not allow.
            UsageError: a resampling that does not suit the values.
        """
        if self.write_raster and writing.resampling != "auto":
            from xmatch.resampling.resample import resolve_resampling

            resolve_resampling(writing.resampling, moving)
        if self.extra:
            from xmatch.io.transforms.files import TRANSFORM_CHECKS

            for kind, path in self.extra.items():
                if kind in TRANSFORM_CHECKS:
                    TRANSFORM_CHECKS[kind](path, fixed, moving)

    @property
    def done(self) -> Path:
        """The file whose presence says that this pair was finished by an earlier run."""
        return self.json or self.raster


def _check_report(path: Path) -> None:
    """
    Raises:
        UsageError: no writer of reports writes files of such a name.
    """
    if path.suffix.lower() in (".html", ".htm"):
        return
    from xmatch.report.writers import EXTENSION_POINT

    check_suffix("report", path, tuple(f".{name}" for name in EXTENSION_POINT.names() if name != "json"))


def refuse_duplicates(paths: Iterable[Path]) -> None:
    """Raise UsageError when two outputs of one run share a name."""
    seen: set[Path] = set()
    for path in paths:
        if path.absolute() in seen:
            raise UsageError(f"two outputs would be written to {path}", hint="give each its own name")
        seen.add(path.absolute())


def placed(output: str | None, moving: str) -> Path:
    """Where the result for `moving` goes: the file that `output` names, or the usual name inside the folder."""
    if output is None:
        return default_output(moving)
    is_folder = output.endswith((os.sep, "/")) or os.path.isdir(output)
    return Path(output) / default_output(moving) if is_folder else Path(output)


def check_raster_name(path: Path) -> None:
    """
    Raises:
        UsageError: it is not the name of a TIFF.
    """
    if not split_suffix(path)[1]:
        raise UsageError(f"{path} does not end in .tif", hint="-o NAME.tif; -o NAME/ for a folder")


def default_output(moving: str) -> Path:
    """sar.tif -> sar.registered.tif, in the current directory; OME-TIFFs and annotations keep their suffix, and other
    medical formats become OME-TIFF."""
    from xmatch.io.annotations import is_annotations, written_suffix

    if is_annotations(moving):
        return Path(f"{Path(moving).stem}.registered{written_suffix(moving)}")
    name = Path(moving).name
    if ending := next(
        (ending for ending in _MEDICAL if name.lower().endswith(ending) and name.lower() != ending), None
    ):
        return Path(f"{name[: -len(ending)]}.registered.ome.tif")
    stem, suffix = split_suffix(Path(moving))
    return Path(f"{stem or Path(moving).stem}.registered{suffix if suffix.startswith('.ome') else '.tif'}")


def unreliable(path: Path) -> Path:
    """sar.registered.tif -> sar.registered.unreliable.tif"""
    stem, suffix = split_suffix(path)
    return path.with_name(f"{stem}.unreliable{suffix}" if suffix else f"{path.stem}.unreliable{path.suffix}")


def split_suffix(path: Path) -> tuple[str, str]:
    """("sar", ".tif"); the suffix is empty unless it is one of a TIFF, and the stem then is Path's own."""
    for suffix in _RASTER_SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)], path.name[-len(suffix) :]
    return path.stem, ""
