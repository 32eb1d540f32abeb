"""What a user may ask of a registration."""

from __future__ import annotations

from dataclasses import dataclass

from xmatch.errors import UsageError

BENT_KINDS = ("tps", "grid")
"""Values of `--transform` that are no matrix."""
LINEAR_KINDS = ("translation", "similarity", "affine", "homography")
"""Those that are one, from the stiffest to the freest."""


TILE_PX = 192
"""Side of a tile of a large file, px of the resolution that is matched. Where tiles lie, what they show and how they
are stretched depends on nothing else, least of all on how many are held at a time. Not tuned."""


def is_freer(kind: str, asked: str) -> bool:
    """Whether a map of a kind has more freedom than what `--transform` asks for; nothing has more than "auto"."""
    return asked in LINEAR_KINDS and kind not in LINEAR_KINDS[: LINEAR_KINDS.index(asked) + 1]


@dataclass(frozen=True)
class RegisterOptions:
    matcher: str = "auto"
    """A name in `xmatch.matchers.registry.MATCHERS`. "auto": the one that `weights` are for; without weights
    `sift`, and where its result is not to be trusted `structural` and then `xmatch-fields` as well."""
    weights: str | None = None
    companion_weights: str | None = None
    """Of the network that the one of `weights` works on: LightGlue's keypoints, RoMa's features; None: what they were
    trained on."""
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
    max_tiles: int = 64
    """Tiles of a file's own resolution that are looked at, at each resolution on the way there; where there are more,
    those of most texture, spread over the image."""
    tile_px: int = 512
    """Side of what is held of a file while these are matched, px of that resolution. Shows in nothing."""
    seed: int = 0
    threads: int = 2
    device: str = "auto"
    tie_points: str | None = None
    """File of points set by hand: the search stays near what they say (a similarity; affine from 3)."""
    tie_points_only: bool = False
    """They are all there is: the map is fitted to them, and the images are not looked at."""
    initial: str | None = None
    """The same as a map, moving px -> fixed px: nine or six numbers, row by row, or a file that holds a transform."""
    near_shift_px: float | None = None
    """How far from what these say the truth may lie, fixed px; None: a tenth of the fixed image's longer side."""
    mask: str | None = None
    """Where to look in the fixed image: a raster of its size (nonzero: here) or GeoJSON polygons."""
    moving_mask: str | None = None
    roi: str | None = None
    """The part of the fixed image to look at: "x,y,width,height" px, "bounds:minx,miny,maxx,maxy" in its CRS, or a
    GeoJSON file."""
    check_points: str | None = None
    """File of control points that no fit sees: the result is measured at them."""

    def __post_init__(self) -> None:
        if self.tie_points and self.initial:
            raise UsageError("tie points and an initial map both say where to start", hint="--tie-points or --initial")
        if self.tie_points_only and not self.tie_points:
            raise UsageError("--tie-points-only without points", hint="--tie-points FILE --tie-points-only")
        if self.near_shift_px is not None:
            if not (self.tie_points or self.initial) or self.tie_points_only:
                raise UsageError(
                    "--near-shift says how far from a start to search, and there is none",
                    hint="give --tie-points or --initial as well",
                )
            if not 0 < self.near_shift_px < float("inf"):
                raise UsageError(f"--near-shift {self.near_shift_px:g} is not a number of px above 0")
        if self.max_tiles < 1 or self.tile_px < TILE_PX:
            raise UsageError(
                f"{self.max_tiles} tiles of {self.tile_px} px show nothing",
                hint=f"--max-tiles 1 or more, --tile-size {TILE_PX} or more",
            )
        if self.check_points and self.check_points == self.tie_points:
            raise UsageError("points that the map is fitted to cannot check it", hint="give --check-points others")
