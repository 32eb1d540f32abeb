"""The register of shared options: one meaning, one spelling, one help text.

Groups are frozen dataclasses that `xmatch.cli.groups.grouped` spreads over a command's signature. Their methods
build what the library takes, so that no command repeats the translation. Numeric work starts inside the methods:
`xmatch --help` imports this module.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmatch.cli.given import Given
from xmatch.cli.offline import no_network
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.io import ReadOptions
    from xmatch.registration.options import RegisterOptions

TransformKind = Literal["auto", "translation", "similarity", "affine", "homography", "tps", "grid"]
""""auto" and the names in `xmatch.geometry.TRANSFORMS`, which costs numpy to import; a test compares the two."""

Resampling = Literal["auto", "nearest", "bilinear", "cubic", "lanczos"]
GridChoice = Literal["fixed", "moving"]

_READING, _MATCHING, _RUNNING, _TALK = "Reading", "Matching", "Running", "Talk"


def _option(panel: str, *names: str, help: str, **more: Any) -> Any:
    """What `typer.Option` returns: for typer an object that describes an option, for a type checker anything."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def _go_offline(ctx: typer.Context, value: bool) -> bool:
    if value and not ctx.resilient_parsing:
        ctx.with_resource(no_network())
    return value


Output = Annotated[str | None, typer.Option("-o", "--output", help="Where the result goes.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
ResamplingOption = Annotated[
    Resampling,
    typer.Option(
        "--resampling", help="Interpolation; auto: nearest for palettes and what looks like labels, else cubic."
    ),
]
GridOption = Annotated[
    GridChoice,
    typer.Option("--grid", help="Pixel grid of the result: FIXED's, or MOVING's own with corrected georeferencing."),
]

OfflineOption = Annotated[
    bool,
    _option(_RUNNING, "--offline", help="Never touch the network, whatever else is allowed.", callback=_go_offline),
]
"""Takes effect by being given: while the command runs, nothing in this process or its children reaches the network."""


@dataclass(frozen=True)
class FixedReading:
    """How the fixed file is read."""

    band: Annotated[
        list[str] | None,
        _option(_READING, "--band", help="Band of FIXED, from 1; repeat or separate by commas.", metavar="N"),
    ] = None
    page: Annotated[int | None, _option(_READING, "--page", help="Page of FIXED, from 0.")] = None
    series: Annotated[int | None, _option(_READING, "--series", help="Series of FIXED, from 0.")] = None
    nodata: Annotated[
        float | None, _option(_READING, "--nodata", help="Value of FIXED's pixels that hold no data.")
    ] = None
    assume_crs: Annotated[
        str | None, _option(_READING, "--assume-crs", help="CRS of FIXED when its file names none.")
    ] = None


@dataclass(frozen=True)
class AnyReading:
    """How any file is read."""

    allow_damaged: Annotated[
        bool, _option(_READING, "--allow-damaged", help="Mask lost blocks of a damaged file instead of refusing it.")
    ] = False
    allow_remote: Annotated[
        bool, _option(_READING, "--allow-remote", help="Accept URLs, /vsi paths and VRT files as inputs.")
    ] = False
    max_memory: Annotated[
        str, _option(_RUNNING, "--max-memory", help="Bound of the memory used, such as 500M or 2GiB.", metavar="SIZE")
    ] = "2GiB"

    offline: OfflineOption = False

    @property
    def max_memory_bytes(self) -> int:
        return parse_size(self.max_memory)

    def _of_either(self) -> ReadOptions:
        """What holds for every image."""
        from xmatch.io import ReadOptions

        return ReadOptions(
            max_memory_bytes=self.max_memory_bytes,
            allow_damaged=self.allow_damaged,
            allow_remote=self.allow_remote,
            offline=self.offline,
        )


@dataclass(frozen=True)
class MovingReading(AnyReading):
    """How the moving file is read."""

    moving_band: Annotated[
        list[str] | None,
        _option(_READING, "--moving-band", help="Band of MOVING, from 1; repeat or separate by commas.", metavar="N"),
    ] = None
    moving_page: Annotated[int | None, _option(_READING, "--moving-page", help="Page of MOVING, from 0.")] = None
    moving_series: Annotated[int | None, _option(_READING, "--moving-series", help="Series of MOVING, from 0.")] = None
    moving_nodata: Annotated[
        float | None, _option(_READING, "--moving-nodata", help="Value of MOVING's pixels that hold no data.")
    ] = None
    moving_assume_crs: Annotated[
        str | None, _option(_READING, "--moving-assume-crs", help="CRS of MOVING when its file names none.")
    ] = None
    ignore_georef: Annotated[
        bool, _option(_READING, "--ignore-georef", help="Match pixels only; MOVING's georeferencing is wrong.")
    ] = False

    def of_moving(self) -> ReadOptions:
        return replace(
            self._of_either(),
            bands=parse_bands(self.moving_band),
            page=self.moving_page,
            series=self.moving_series,
            nodata=self.moving_nodata,
            assume_crs=self.moving_assume_crs,
            # MOVING's alone: the result lies on FIXED's grid, georeferencing included, however MOVING was found.
            ignore_georef=self.ignore_georef,
            option_prefix="moving-",
        )


@dataclass(frozen=True)
class Reading(MovingReading, FixedReading):
    """How the two files of a pair are read."""

    def of_fixed(self) -> ReadOptions:
        return replace(
            self._of_either(),
            bands=parse_bands(self.band),
            page=self.page,
            series=self.series,
            nodata=self.nodata,
            assume_crs=self.assume_crs,
        )


@dataclass(frozen=True)
class GroupReading(AnyReading):
    """How each image of a group is read."""

    band: Annotated[
        list[str] | None,
        _option(_READING, "--band", help="Band to match by, from 1; repeat or separate by commas.", metavar="N"),
    ] = None
    nodata: Annotated[
        float | None, _option(_READING, "--nodata", help="Value of pixels that hold no data, in each image.")
    ] = None
    ignore_georef: Annotated[
        bool, _option(_READING, "--ignore-georef", help="Match pixels only; the images' georeferencing is wrong.")
    ] = False

    def of_each(self) -> ReadOptions:
        return replace(self._of_either(), bands=parse_bands(self.band), nodata=self.nodata)


@dataclass(frozen=True)
class Running:
    """What the work may use."""

    device: Annotated[str, _option(_RUNNING, "--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto"
    threads: Annotated[
        int | None, _option(_RUNNING, "--threads", help="Threads; default all cores.", min=1, show_default=False)
    ] = None
    seed: Annotated[int, _option(_RUNNING, "--seed", help="Same seed, same machine: same result.", min=0)] = 0

    @property
    def checked_device(self) -> str:
        from xmatch.ops.devices import checked

        return checked(self.device)

    @property
    def thread_count(self) -> int:
        return self.threads or cores()


@dataclass(frozen=True)
class Matching:
    """How the moving image is found in the fixed one."""

    matcher: Annotated[
        str,
        _option(
            _MATCHING,
            "--matcher",
            help="auto (sift, then structural, then xmatch-fields, each where the one before is not sure; or what "
            "--weights are for), sift, structural, xmatch-fields, xmatch-small, xmatch-sparse or mi.",
        ),
    ] = "auto"
    weights: Annotated[
        str | None,
        _option(
            _MATCHING,
            "--weights",
            help="Weights for the matcher: a file (.safetensors, .ckpt, .pth, .pt as published), or a name of "
            "`xmatch models list`.",
        ),
    ] = None
    companion_weights: Annotated[
        str | None,
        _option(
            _MATCHING,
            "--companion-weights",
            help="Of the network that the weights' own works on: whose keypoints LightGlue matches (DISK, ALIKED, "
            "XFeat), or what RoMa looks with (DINOv2); default the one they were trained on.",
        ),
    ] = None
    transform: Annotated[
        TransformKind,
        _option(
            _MATCHING,
            "--transform",
            help="Kind of map (on top of georeferencing); auto: matches choose, from similarity to grid.",
        ),
    ] = "auto"
    max_angle: Annotated[
        float, _option(_MATCHING, "--max-angle", help="Turns tried, +- degrees.", min=0.0, max=180.0)
    ] = 180.0
    max_scale: Annotated[
        float, _option(_MATCHING, "--max-scale", help="Scale changes tried, 1/this to this.", min=1.0, max=100.0)
    ] = 2.0
    mirror: Annotated[bool, _option(_MATCHING, "--mirror", help="Try mirrored images too.")] = False
    max_tiles: Annotated[
        int,
        _option(
            _MATCHING,
            "--max-tiles",
            help="Of a large file: tiles looked at at each resolution up to its own; where there are more, those of "
            "most texture, spread over the image.",
            min=1,
        ),
    ] = 64
    tile_size: Annotated[
        int, _option(_MATCHING, "--tile-size", help="Side of such a tile, px.", min=128, max=4096, metavar="PX")
    ] = 192

    def options(self, reading: Reading | GroupReading, running: Running, given: Given) -> RegisterOptions:
        """
        Raises:
            UsageError: options that contradict each other; no such device.
        """
        from xmatch.registration.options import RegisterOptions

        return RegisterOptions(
            matcher=self.matcher,
            weights=self.weights,
            companion_weights=self.companion_weights,
            transform=self.transform,
            use_georef=not reading.ignore_georef,
            max_angle_deg=self.max_angle,
            max_scale=self.max_scale,
            mirror=self.mirror,
            max_tiles=self.max_tiles,
            tile_px=self.tile_size,
            seed=running.seed,
            threads=running.thread_count,
            device=running.checked_device,
            tie_points=given.tie_points,
            tie_points_only=given.tie_points_only,
            initial=given.initial,
            near_shift_px=given.near_shift,
            mask=given.mask,
            moving_mask=given.moving_mask,
            roi=given.roi,
            check_points=given.check_points,
        )


@dataclass(frozen=True)
class Verbosity:
    """How much is said, and in what form. stdout carries data, stderr carries talk."""

    json: Annotated[bool, _option(_TALK, "--json", help="Result, or failure, as JSON on stdout.")] = False
    quiet: Annotated[bool, _option(_TALK, "-q", "--quiet", help="Say nothing but errors.")] = False
    verbose: Annotated[bool, _option(_TALK, "-v", "--verbose", help="Say more: timings, evidence.")] = False
    debug: Annotated[bool, _option(_TALK, "--debug", help="Show the trace of a failure.")] = False


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_bands(words: list[str] | None) -> tuple[int, ...] | None:
    """["1,2", "4"] -> (1, 2, 4); None when no band was named."""
    if not words:
        return None
    try:
        bands = tuple(int(part) for word in words for part in str(word).split(","))
    except ValueError:
        raise UsageError(f"bands {' '.join(map(str, words))!r} are not numbers", hint="--band 1,2,3") from None
    if min(bands) < 1:
        raise UsageError(f"band {min(bands)} does not exist", hint="bands count from 1") from None
    return bands


def parse_size(text: str) -> int:
    """ "500M" or "2GiB" -> bytes; decimal and binary prefixes both mean powers of 1024."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?\s*", str(text), re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise UsageError(f"size {text!r} is not understood", hint="write it like 500M or 2GiB")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))
