"""What a user may say about how a file is to be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """How a file is to be read. The defaults never need the user."""

    bands: Sequence[int] | None = None
    """Bands to deliver, from 1, in this order; default all but alpha."""
    page: int | None = None
    """Page of a stack, from 0 (all axes of an OME or ImageJ stack but channels, the last axis fastest)."""
    series: int | None = None
    """Series of a file with several images (OME, whole slides), from 0."""
    nodata: float | None = None
    """Value of pixels without data, instead of what the file says. NaN means that no value does."""
    assume_crs: str | None = None
    """CRS ("EPSG:32633", WKT, PROJ) of a file that has a geotransform or control points but names none."""
    ignore_georef: bool = False
    option_prefix: str = ""
    """What the command line puts in front of the options above when they are meant for this file: "moving-"."""
    max_memory_bytes: int = 2 * 2**30
    """Bound of what one `read` may deliver."""
    allow_damaged: bool = False
    """Mask what cannot be decoded instead of refusing the file."""
    allow_remote: bool = False
    """Accept URLs, GDAL's /vsi paths and VRT files."""
    offline: bool = False
    """Never touch the network: of what `allow_remote` accepts, VRT files of local ones are left."""

    @property
    def network(self) -> bool:
        """Whether GDAL may reach out."""
        return self.allow_remote and not self.offline

    def spelled(self, text: str) -> str:
        """A note or hint of a reader, with the names that its options have for this file."""
        return _OPTIONS.sub(rf"--{self.option_prefix}\1", text)


_OPTIONS = re.compile(r"--(band|page|series|nodata|assume-crs)\b")
