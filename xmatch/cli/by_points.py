"""Options of `xmatch match --task`: how single points are sought, and what describes them."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmatch.cli.options import Running
from xmatch.errors import UsageError
from xmatch.networks.matcha.config import DINO, ENSEMBLE, STABLE_DIFFUSION

if TYPE_CHECKING:
    from xmatch.networks.matcha.loading import FeatureOptions


def _by_points(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Points by features (--task)", **more)


@dataclass(frozen=True)
class ByPoints:
    """How single points are sought, and what describes them."""

    task: Annotated[
        Literal["geometric", "semantic", "temporal"] | None,
        _by_points(
            "--task",
            help="Seek points one by one: in another view, in another thing of the same kind, in the frames of a video "
            "or folder.",
            show_default=False,
        ),
    ] = None
    keypoints: Annotated[
        str | None,
        _by_points(
            "--keypoints",
            help="Points of FIXED (CSV with x,y; JSON, NPZ). Default: cells that are each other's nearest; temporal: a "
            "lattice.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None
    picture: Annotated[
        str | None,
        _by_points(
            "--picture", help="PNG with a line for each point; temporal: folder of drawn frames.", metavar="PATH"
        ),
    ] = None
    refinement: Annotated[
        Literal["nearest", "soft-argmax"],
        _by_points("--refinement", help="Centre of the most similar cell, or the mean place of the window around it."),
    ] = "soft-argmax"
    feature_side: Annotated[
        int | None,
        _by_points(
            "--feature-side",
            help="Images are seen as squares of this side, default 512; geometric: the longest side, default 1024.",
            metavar="PX",
            show_default=False,
        ),
    ] = None
    diffusion: Annotated[
        str, _by_points("--diffusion", help="Stable Diffusion 2.1: folder, or name on the hub.", metavar="NAME")
    ] = STABLE_DIFFUSION
    dino: Annotated[str, _by_points("--dino", help="DINOv2: folder, or name on the hub.", metavar="NAME")] = DINO
    ensemble: Annotated[int, _by_points("--ensemble", help="Noises that diffusion features average over.", min=1)] = (
        ENSEMBLE
    )
    precision: Annotated[
        Literal["auto", "single", "half"],
        _by_points("--precision", help="Of the networks of the hub; auto: half on a GPU."),
    ] = "auto"
    feature_cache: Annotated[
        str | None,
        _by_points("--feature-cache", help="Folder that keeps what networks see of each image.", metavar="DIR"),
    ] = None
    allow_download: Annotated[
        bool, _by_points("--allow-download", help="Fetch networks that are not on this machine from the hub.")
    ] = False

    def refuse_without_task(self) -> None:
        """
        Raises:
            UsageError: something is said of points by features, and no task.
        """
        for name in changed(self):
            raise UsageError(f"{name} is for --task", hint="--task geometric, semantic or temporal")

    def feature_options(self, weights: str | None, running: Running, device: str, offline: bool) -> FeatureOptions:
        """
        Raises:
            UsageError: fetching is allowed and forbidden.
        """
        from xmatch.networks.matcha.loading import FeatureOptions

        if self.allow_download and offline:
            raise UsageError("--allow-download and --offline contradict each other", hint="leave out one of them")
        return FeatureOptions(
            diffusion=self.diffusion,
            dino=self.dino,
            weights=weights,
            ensemble=self.ensemble,
            seed=running.seed,
            device=device,
            half=self.precision == "half" or (self.precision == "auto" and device != "cpu"),
            cache=self.feature_cache,
            may_download=self.allow_download,
        )


def changed(group: Any) -> list[str]:
    """Options of a group whose values are not the default ones."""
    return [
        "--" + field.name.replace("_", "-")
        for field in fields(group)
        if field.default is not MISSING and getattr(group, field.name) != field.default
    ]
