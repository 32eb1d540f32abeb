"""The plan of a landscape: what `places` offers, and parcels in rows."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.worlds.places import TABLE, cells, hashed, line, of_number, plane, table

__all__ = ["TABLE", "bricks", "cells", "hashed", "line", "of_number", "plane", "table"]


def bricks(place: Tensor, angle: Tensor, length: Tensor, breadth: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Parcels: rows of bricks, turned as their region is.

    Args:
        place: (B, 2, H, W).
        angle: (B, 1, H, W) radians, one value a region.
        length, breadth: of a brick in image sides, (B, 1, 1, 1) or (B, 1, H, W).
        region: (B, 1, H, W) number, so that no parcel goes on in the next region.

    Returns:
        (B, 1, H, W) number of the parcel, and (B, 2, H, W) place in it, -1 to 1 from edge to edge.
    """
    cos, sin = angle.cos(), angle.sin()
    along = (cos * place[:, :1] + sin * place[:, 1:]) / length + 64.0
    across = (cos * place[:, 1:] - sin * place[:, :1]) / breadth + 64.0
    row = across.floor()
    along = along + hashed(row.long(), region) / TABLE
    column = along.floor()
    inside = torch.cat([along - column, across - row], 1) * 2 - 1
    return hashed(column.long(), row.long(), region), inside
