"""The register of shared options: one meaning, one spelling, one help text.

Groups are frozen dataclasses that `xmatch.cli.groups.grouped` spreads over a command's signature. Their methods
build what the library takes, so that no command repeats the translation. Numeric work starts inside the methods:
`xmatch --help` imports this module.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xmatch.cli.given import Given
from xmatch.cli.panels import RUNNING, option
from xmatch.cli.reading import GroupReading, Reading

if TYPE_CHECKING:
    from xmatch.registration.options import RegisterOptions

TransformKind = Literal["auto", "translation", "similarity", "affine", "homography", "tps", "grid"]
""""auto" and the names in `xmatch.geometry.TRANSFORMS`, which costs numpy to import; a test compares the two."""

Resampling = Literal["auto", "nearest", "bilinear", "cubic", "lanczos"]
GridChoice = Literal["fixed", "moving"]

_MATCHING, _TALK = "Matching", "Talk"


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


@dataclass(frozen=True)
class Running:
    """What the work may use."""

    device: Annotated[str, option(RUNNING, "--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto"
    threads: Annotated[
        int | None, option(RUNNING, "--threads", help="Threads; default all cores.", min=1, show_default=False)
    ] = None
    seed: Annotated[int, option(RUNNING, "--seed", help="Same seed, same machine: same result.", min=0)] = 0

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
        option(
            _MATCHING,
            "--matcher",
            help="auto (sift, then structural, then xmatch-fields, each where the one before is not sure; or what "
            "--weights are for), sift, structural, xmatch-fields, xmatch-small, xmatch-sparse or mi.",
        ),
    ] = "auto"
    weights: Annotated[
        str | None,
        option(
            _MATCHING,
            "--weights",
            help="Weights for the matcher: a file (.safetensors, .ckpt, .pth, .pt as published), or a name of "
            "`xmatch models list`.",
        ),
    ] = None
    companion_weights: Annotated[
        str | None,
        option(
            _MATCHING,
            "--companion-weights",
            help="Of the network that the weights' own works on: whose keypoints LightGlue matches (DISK, ALIKED, "
            "XFeat, SuperPoint), or what RoMa looks with (DINOv2); default the one they were trained on.",
        ),
    ] = None
    transform: Annotated[
        TransformKind,
        option(
            _MATCHING,
            "--transform",
            help="Kind of map (on top of georeferencing); auto: matches choose, from similarity to grid.",
        ),
    ] = "auto"
    max_angle: Annotated[
        float, option(_MATCHING, "--max-angle", help="Turns tried, +- degrees.", min=0.0, max=180.0)
    ] = 180.0
    max_scale: Annotated[
        float, option(_MATCHING, "--max-scale", help="Scale changes tried, 1/this to this.", min=1.0, max=100.0)
    ] = 2.0
    mirror: Annotated[bool, option(_MATCHING, "--mirror", help="Try mirrored images too.")] = False
    max_tiles: Annotated[
        int,
        option(
            _MATCHING,
            "--max-tiles",
            help="Of a large file: tiles looked at at each resolution up to its own; where there are more, those of "
            "most texture, spread over the image.",
            min=1,
        ),
    ] = 64
    tile_size: Annotated[
        int,
        option(
            _MATCHING,
            "--tile-size",
            help="Side of what is held of a large file at a time, px: bounds memory; the result is the same.",
            min=192,
            max=4096,
            metavar="PX",
        ),
    ] = 512

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

    json: Annotated[bool, option(_TALK, "--json", help="Result, or failure, as JSON on stdout.")] = False
    quiet: Annotated[bool, option(_TALK, "-q", "--quiet", help="Say nothing but errors.")] = False
    verbose: Annotated[bool, option(_TALK, "-v", "--verbose", help="Say more: timings, evidence.")] = False
    debug: Annotated[bool, option(_TALK, "--debug", help="Show the trace of a failure.")] = False


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
