"""What a peer is: two files in, and how one lies on the other, or why it cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from xmatch.geometry import Transform

PixelOrigin = Literal["corner", "center"]
"""What (0, 0) is: the outer corner of the first pixel, as xmatch and GDAL count, or its centre, as OpenCV does."""


@dataclass(frozen=True)
class PeerSettings:
    """What all peers are told alike, and what some of them need besides."""

    transform: str = "similarity"
    """Kind that correspondences are turned into, "similarity" or "homography"; peers that search poses find
    similarities whatever stands here."""
    tolerance_px: float = 3.0
    """Distance in fixed px up to which a correspondence counts as an inlier."""
    max_scale: float = 3.0
    """Results beyond this scale, or below its inverse, are said to be failures; between pixels or relative to equal
    widths, whichever is nearer to 1."""
    seed: int = 0
    threads: int = 1
    truth: Transform | None = None
    """Moving px -> fixed px, for the controls `truth` and `landmark-affine` alone: no other peer looks at it."""
    matcher: str = "auto"
    """Of the peer `xmatch`: a name in `xmatch.matchers.registry.MATCHERS`."""
    weights: str | None = None
    """Of the peers `xmatch` and `network`."""
    companion_weights: str | None = None
    """Of the peer `network`, where `weights` are LightGlue's: of the network whose keypoints these match."""
    model: str | None = None
    """Of the peer `network`: which training the weights are of; of `vismatch`: the name of its matcher."""
    device: str = "auto"
    """Of the peers `network` and `vismatch`: "auto", "cpu", "cuda" or "cuda:N"."""
    command: str | None = None
    """Of the peer `program`: a template with {fixed}, {moving} and {output}. No shell reads it."""
    output_suffix: str = ".json"
    """Of the file that {output} stands for, for programs that look at it."""
    pixel_origin: PixelOrigin = "corner"
    """How the program counts."""
    direction: Literal["moving_to_fixed", "fixed_to_moving"] = "moving_to_fixed"
    """What the program's matrix maps."""
    python: str | None = None
    """Of the peers `arosics` and `vismatch`: the Python of an environment that has it."""

    def __post_init__(self) -> None:
        if self.transform not in ("similarity", "homography"):
            raise ValueError(f"transform {self.transform!r} is neither 'similarity' nor 'homography'")
        if self.pixel_origin not in ("corner", "center"):
            raise ValueError(f"pixel_origin {self.pixel_origin!r} is neither 'corner' nor 'center'")
        if self.direction not in ("moving_to_fixed", "fixed_to_moving"):
            raise ValueError(f"direction {self.direction!r} is neither 'moving_to_fixed' nor 'fixed_to_moving'")
        if not self.tolerance_px > 0 or not self.max_scale > 1:
            raise ValueError("want tolerance_px above 0 and max_scale above 1")


@dataclass(frozen=True)
class PeerResult:
    """What a peer says of a pair."""

    transform: Transform | None
    """Moving px -> fixed px of the full files, corner-counted; None when there is none."""
    reason: str | None = None
    """Why there is no transform, in one plain sentence."""
    correspondences: int | None = None
    """How many the peer found, where it works with such."""
    inliers: int | None = None
    """How many of them the transform explains."""
    failed: bool = False
    """Whether `reason` tells of a crash, a time-out or an answer that is none, rather than of images that do not
    match."""

    def __post_init__(self) -> None:
        if (self.transform is None) != bool(self.reason):
            raise ValueError("a peer gives either a transform or the reason why there is none")


@runtime_checkable
class ChecksSettings(Protocol):
    """What a peer may have besides."""

    def check(self, settings: PeerSettings) -> None:
        """Raises before any pair is run what `__call__` would raise of the settings."""


@runtime_checkable
class Prepares(Protocol):
    """What a peer may have besides."""

    def prepare(self) -> None:
        """Work whose time is not counted: imports."""


class Peer(Protocol):
    """May also be `ChecksSettings` and `Prepares`."""

    name: str

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        """Lay `moving` on `fixed`. Not to find anything is an answer with its reason, not an error.

        Raises:
            InputError: an image cannot be read.
            UsageError: a setting that this peer needs is missing or wrong.
        """
