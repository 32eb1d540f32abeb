"""How files are read: options of one file, of a pair and of a group, and what the library takes for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from xmatch.cli.offline import no_network
from xmatch.cli.panels import READING, RUNNING, option
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.io import ReadOptions


def _go_offline(ctx: typer.Context, value: bool) -> bool:
    if value and not ctx.resilient_parsing:
        ctx.with_resource(no_network())
    return value


OfflineOption = Annotated[
    bool,
    option(RUNNING, "--offline", help="Never touch the network, whatever else is allowed.", callback=_go_offline),
]
"""Takes effect by being given: while the command runs, nothing in this process or its children reaches the network."""


@dataclass(frozen=True)
class FixedReading:
    """How the fixed file is read."""

    band: Annotated[
        list[str] | None,
        option(READING, "--band", help="Band of FIXED, from 1; repeat or separate by commas.", metavar="N"),
    ] = None
    page: Annotated[int | None, option(READING, "--page", help="Page of FIXED, from 0.")] = None
    series: Annotated[int | None, option(READING, "--series", help="Series of FIXED, from 0.")] = None
    nodata: Annotated[float | None, option(READING, "--nodata", help="Value of FIXED's pixels that hold no data.")] = (
        None
    )
    assume_crs: Annotated[
        str | None, option(READING, "--assume-crs", help="CRS of FIXED when its file names none.")
    ] = None


@dataclass(frozen=True)
class AnyReading:
    """How any file is read."""

    allow_damaged: Annotated[
        bool, option(READING, "--allow-damaged", help="Mask lost blocks of a damaged file instead of refusing it.")
    ] = False
    allow_remote: Annotated[
        bool,
        option(READING, "--allow-remote", help="Accept URLs, /vsi paths and VRT files of other folders as inputs."),
    ] = False
    max_memory: Annotated[
        str, option(RUNNING, "--max-memory", help="Bound of the memory used, such as 500M or 2GiB.", metavar="SIZE")
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
        option(READING, "--moving-band", help="Band of MOVING, from 1; repeat or separate by commas.", metavar="N"),
    ] = None
    moving_page: Annotated[int | None, option(READING, "--moving-page", help="Page of MOVING, from 0.")] = None
    moving_series: Annotated[int | None, option(READING, "--moving-series", help="Series of MOVING, from 0.")] = None
    moving_nodata: Annotated[
        float | None, option(READING, "--moving-nodata", help="Value of MOVING's pixels that hold no data.")
    ] = None
    moving_assume_crs: Annotated[
        str | None, option(READING, "--moving-assume-crs", help="CRS of MOVING when its file names none.")
    ] = None
    ignore_georef: Annotated[
        bool, option(READING, "--ignore-georef", help="Match pixels only; MOVING's georeferencing is wrong.")
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
        option(READING, "--band", help="Band to match by, from 1; repeat or separate by commas.", metavar="N"),
    ] = None
    nodata: Annotated[
        float | None, option(READING, "--nodata", help="Value of pixels that hold no data, in each image.")
    ] = None
    ignore_georef: Annotated[
        bool, option(READING, "--ignore-georef", help="Match pixels only; the images' georeferencing is wrong.")
    ] = False

    def of_each(self) -> ReadOptions:
        return replace(self._of_either(), bands=parse_bands(self.band), nodata=self.nodata)


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
