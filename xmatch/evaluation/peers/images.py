"""What peers see of a file: one 8-bit channel at full size, as their authors' own demos would give it to them.

The black collar that xmatch takes away is left in place: peers are measured as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmatch.io import open_source
from xmatch.views import channel


@dataclass(frozen=True, eq=False)
class Grey:
    image: np.ndarray
    """(H, W) uint8; 0 where invalid."""
    valid: np.ndarray
    """(H, W) bool, as the file declares it."""

    @property
    def width(self) -> int:
        return self.image.shape[1]

    @property
    def height(self) -> int:
        return self.image.shape[0]

    @property
    def is_flat(self) -> bool:
        """Whether nothing is to be seen: no valid pixels, or all alike."""
        return not self.valid.any() or np.ptp(self.image[self.valid]) == 0


def read_grey(path: Path) -> Grey:
    """All bands as one, each stretched between its 1st and 99th percentile (`xmatch.views.channel`).

    Raises:
        InputError: the file cannot be read.
    """
    with open_source(path) as source:
        raster = source.read()
    if not raster.valid.any():
        return Grey(np.zeros(raster.valid.shape, np.uint8), raster.valid)
    return Grey(np.rint(255 * channel(raster)).astype(np.uint8), raster.valid)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) px.

    Raises:
        InputError: the file cannot be read.
    """
    with open_source(path) as source:
        return source.header.width, source.header.height


def flat_reason(fixed: Grey, moving: Grey) -> str | None:
    """Why a pair cannot be matched by anything, or None."""
    for name, seen in (("fixed", fixed), ("moving", moving)):
        if seen.is_flat:
            return f"The {name} image shows nothing: no valid pixels, or all alike."
    return None


def unlikely_scale(matrix: np.ndarray, fixed_width: int, moving_width: int, max_scale: float) -> str | None:
    """Why a (3, 3) moving px -> fixed px cannot be meant, or None; `max_scale` is relative to equal widths."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2]))) * moving_width / fixed_width
    if 1 / max_scale <= scale <= max_scale:
        return None
    return f"It found moving {scale:.3g} times as wide as fixed, beyond what is believed ({max_scale:g})."
