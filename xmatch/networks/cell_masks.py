"""Masks of coarse cells, as networks need them that match cells of stride 8 and refine those matches.

Cell (x, y) of LoFTR and its kin stands for the point (8x, 8y) px, corner-counted: kernels of stride 2 sit on every
other pixel, and their authors' cameras count from the corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.correspondences import Correspondences
from xmatch.geometry.masked import on_valid

CELL_PX = 8
BORDER_CELLS = 2
"""Cells nearer than that to the end of what is valid match nothing, as their authors have it at the end of images."""


@dataclass(frozen=True, eq=False)
class PaddedImage:
    """An image with sides that a network takes."""

    image: Tensor
    """(1, 1, H, W) float32, 0 where invalid."""
    valid: Tensor
    """(1, 1, H, W) bool, false in the padding."""
    cells: Tensor
    """(H / 8, W / 8) bool: at least half of the pixels that are nearest to the cell's point are valid."""


def padded(image: Image, valid: Mask, multiple: int, device: torch.device) -> PaddedImage:
    """An image of any size, padded on the right and below to multiples of `multiple` px, itself one of 8.

    Args:
        image: (h, w) float32 in [0, 1].
        valid: (h, w) bool.
    """
    sides = (0, -image.shape[1] % multiple, 0, -image.shape[0] % multiple)
    plane = np.where(valid, image, 0).astype(np.float32)
    whole = F.pad(torch.from_numpy(plane)[None, None].to(device), sides)
    mask = F.pad(torch.from_numpy(np.ascontiguousarray(valid))[None, None].to(device), sides)
    # Half a cell lies before the first point; what is there is as valid as the first pixels.
    around = F.pad(mask.float(), (CELL_PX // 2, 0, CELL_PX // 2, 0), mode="replicate")
    return PaddedImage(whole, mask, F.avg_pool2d(around, CELL_PX)[0, 0] >= 0.5)


def off_border(cells: Tensor) -> Tensor:
    """(h, w) bool: cells that may match, `BORDER_CELLS` away from any that is invalid and from the end of the image."""
    taken = F.pad((~cells).float()[None], (BORDER_CELLS,) * 4, value=1.0)
    return F.max_pool2d(taken, 2 * BORDER_CELLS + 1, 1)[0] == 0


def at_cells(cells: Tensor, xy: Tensor) -> Tensor:
    """(N,) bool: what (h, w) `cells` say at the cells nearest to (N, 2) px."""
    x, y = (xy / CELL_PX).round().long().unbind(-1)
    return cells[y.clamp(0, cells.shape[0] - 1), x.clamp(0, cells.shape[1] - 1)]


def on_valid_pixels(
    fixed_xy: Tensor, moving_xy: Tensor, certainty: Tensor, fixed_valid: Mask, moving_valid: Mask
) -> Correspondences:
    """Those of (N, 2), (N, 2), (N,) on the device that lie on valid pixels of both images, (h, w) as given."""
    here, there, sure = (each.double().cpu().numpy() for each in (fixed_xy, moving_xy, certainty))
    kept = on_valid(fixed_valid, here) & on_valid(moving_valid, there)
    return Correspondences(here[kept], there[kept], sure[kept])
