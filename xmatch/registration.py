"""The straight line from two files to a registration with a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from xmatch.io.source import Source
from xmatch.result import Registration

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of the whole done so far, 0 to 1."""


@dataclass(frozen=True)
class RegisterOptions:
    matcher: str = "structural"
    """A name in `xmatch.matchers.MATCHERS`."""
    weights: str | None = None
    transform: str = "auto"
    """"auto" or a name in `xmatch.transforms.TRANSFORMS`."""
    use_georef: bool = True
    """Start from both files' georeferencing when both have one."""
    max_angle_deg: float = 180.0
    """Turns tried: +- this many degrees."""
    max_scale: float = 2.0
    """Scale changes tried: 1/this to this (on top of what georeferencing or spacing says)."""
    mirror: bool = False
    """Try mirrored images too."""
    polish: bool = True
    view_px: int = 640
    """Longest side of what the matcher sees."""
    seed: int = 0
    threads: int = 2
    device: str = "auto"


def register(
    fixed: Source, moving: Source, options: RegisterOptions = RegisterOptions(), progress: Progress | None = None
) -> Registration:
    """Find the map that lays `moving` onto `fixed`, and say whether to trust it.

    Raises:
        InputError: an image cannot be registered at all (no valid pixels, no overlap, too small).
    """
    raise NotImplementedError
