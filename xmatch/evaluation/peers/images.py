"""What peers see of a file: one 8-bit channel at full size, as their authors' own demos would give it to them.

The black collar that xmatch takes away is left in place: peers are measured as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from xmatch.io import open_source
from xmatch.raster import Raster
from xmatch.registration.views import channel


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
    """All bands as one, each stretched between its 1st and 99th percentile (`xmatch.registration.views.channel`).

    Raises:
        InputError: the file cannot be read.
    """
    with open_source(path) as source:
        return _grey(source.read())


def _grey(raster: Raster) -> Grey:
    if not raster.valid.any():
        return Grey(np.zeros(raster.valid.shape, np.uint8), raster.valid)
    return Grey(np.rint(255 * channel(raster)).astype(np.uint8), raster.valid)


@dataclass(frozen=True, eq=False)
class Shrunk:
    """What a network that takes small images is given of a file."""

    full: Grey
    grey: np.ndarray
    """(h, w) uint8."""
    rgb: np.ndarray
    """(h, w, 3) uint8: 8-bit colour as it is, of anything else the grey three times; 0 where invalid."""

    def file_xy(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) px of the shrunk image to px of the file, both corner-counted."""
        height, width = self.grey.shape
        return np.asarray(xy, np.float64) * (self.full.width / width, self.full.height / height)


def read_shrunk(path: Path, longest_px: int, multiple: int = 1) -> Shrunk:
    """The file with its longer side at most about `longest_px`, never enlarged by more than rounding to multiples does.

    Args:
        multiple: of px, that each side becomes.

    Raises:
        InputError: the file cannot be read.
    """
    with open_source(path) as source:
        raster = source.read()
    full = _grey(raster)
    coloured = raster.pixels.shape[0] == 3 and raster.pixels.dtype == np.uint8
    rgb = np.moveaxis(raster.pixels * raster.valid, 0, -1) if coloured else np.repeat(full.image[..., None], 3, axis=-1)
    factor = min(1.0, longest_px / max(full.width, full.height))
    size = [max(1, round(side * factor / multiple)) * multiple for side in (full.width, full.height)]
    grey, rgb = (cv2.resize(np.ascontiguousarray(one), size, interpolation=cv2.INTER_AREA) for one in (full.image, rgb))
    return Shrunk(full, grey, rgb)


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
    """Why a (3, 3) moving px -> fixed px cannot be meant, or None.

    `max_scale` is between pixels or relative to equal widths: a cut from an image keeps its pixels, a reduced one its
    width.
    """
    scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if any(1 / max_scale <= each <= max_scale for each in (scale, scale * moving_width / fixed_width)):
        return None
    return f"It found pixels of moving {scale:.3g} times as large as fixed's, beyond what is believed ({max_scale:g})."
