"""What all files of annotations have in common."""

from __future__ import annotations

import os
from typing import Protocol

from xmatch.coords import Floats


class Annotations(Protocol):
    """A file of annotations, whatever else than positions it holds."""

    @property
    def xy(self) -> Floats:
        """(N, 2) of every vertex, in the order of the file: x is east, longitude or px to the right."""

    @property
    def crs(self) -> str | None:
        """The CRS that the file names; None if it names none."""

    def write(self, path: str | os.PathLike, xy: Floats, crs: str | None) -> None:
        """The same file with other positions.

        Args:
            path: where to.
            xy: (N, 2), one for each of `xy`.
            crs: the CRS that they are in; None for px, or where the image is georeferenced without a CRS.

        Raises:
            OutputError: it cannot be written.
        """
