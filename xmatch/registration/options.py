"""What a user may ask of a registration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegisterOptions:
    matcher: str = "auto"
    """A name in `xmatch.matchers.registry.MATCHERS`. "auto": the one that `weights` are for; without weights
    `structural`, and where its result is not to be trusted `xmatch-fields` as well."""
    weights: str | None = None
    transform: str = "auto"
    """"auto" or a name in `xmatch.geometry.TRANSFORMS`."""
    use_georef: bool = True
    """Start from both files' georeferencing when both have one."""
    max_angle_deg: float = 180.0
    """Turns tried: +- this many degrees."""
    max_scale: float = 2.0
    """Scale changes tried: 1/this to this (on top of what georeferencing or spacing says)."""
    mirror: bool = False
    """Try mirrored images too."""
    view_px: int = 640
    """Longest side of what the matcher sees."""
    seed: int = 0
    threads: int = 2
    device: str = "auto"
