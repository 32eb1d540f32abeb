"""An XoFTR and its device, in numpy and pixels: what the matcher asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.coords import Image, Mask
from xmatch.correspondences import Correspondences
from xmatch.networks.cell_masks import CELL_PX, off_border, on_valid_pixels, padded
from xmatch.networks.cell_matching import either_way_matches, points_at, windows_at
from xmatch.networks.layers import channels_last
from xmatch.networks.xoftr.network import Pyramid, Xoftr, standardised_where
from xmatch.networks.xoftr.windows import FINE, MEDIUM

TEMPERATURE = 0.1
"""Of the softmax over cells, as published weights were trained with."""
FINE_PX = 2
_WINDOWS = 1024
"""Pairs of cells that are refined at once."""


@dataclass(frozen=True, eq=False)
class Described:
    """What XoFTR knows of an image before it sees the other."""

    pyramid: Pyramid
    cells: Tensor
    """(h, w) bool, see `PaddedImage`."""
    valid: Mask
    """Of the image as given."""


@dataclass(frozen=True, eq=False)
class _Levels:
    """What windows of one image are cut from."""

    coarse: Tensor
    """(C', h, w)."""
    medium: Tensor
    """(C', 2h, 2w)."""
    fine: Tensor
    """(C, 4h, 4w)."""

    def windows(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(M, 1, C'), (M, 9, C'), (M, 25, C) at (M,) cells."""
        columns = self.coarse.shape[2]
        return (
            self.coarse.flatten(1).T[cells][:, None],
            windows_at(self.medium, cells, columns, MEDIUM, 2, MEDIUM // 2),
            windows_at(self.fine, cells, columns, FINE, 4, FINE // 2),
        )


class XoftrRunner:
    """A `CorrespondenceNetwork`. Positions are corner-counted as they come (see `xmatch.networks.cell_masks`)."""

    def __init__(self, network: Xoftr, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device)).eval()

    @torch.inference_mode()
    def describe(self, image: Image, valid: Mask) -> Described:
        """See `CorrespondenceNetwork`."""
        seen = padded(image, valid, CELL_PX, self.device)
        return Described(self.network.backbone(standardised_where(seen.image, seen.valid)), seen.cells, valid)

    @torch.inference_mode()
    def match(self, fixed: Described, moving: Described) -> Correspondences:
        """See `CorrespondenceNetwork`."""
        network = self.network
        masks = (None if one.cells.all() else one.cells for one in (fixed, moving))
        here, there = network.attend(fixed.pyramid.eighth, moving.pyramid.eighth, *masks)
        rows, columns = either_way_matches(
            network.compared(here),
            network.compared(there),
            fixed.cells,
            moving.cells,
            TEMPERATURE,
            network.config.threshold,
        )
        kept = off_border(fixed.cells).flatten()[rows] & off_border(moving.cells).flatten()[columns]
        rows, columns = rows[kept], columns[kept]
        levels = self._levels(fixed.pyramid, here), self._levels(moving.pyramid, there)
        parts = [
            self._refined(levels, rows[start : start + _WINDOWS], columns[start : start + _WINDOWS])
            for start in range(0, len(rows), _WINDOWS)
        ]
        if not parts:
            return Correspondences.empty()
        fixed_xy, moving_xy, sure = (torch.cat(each) for each in zip(*parts, strict=True))
        likely = sure > network.config.fine_threshold
        return on_valid_pixels(fixed_xy[likely], moving_xy[likely], sure[likely], fixed.valid, moving.valid)

    def _levels(self, pyramid: Pyramid, attended: Tensor) -> _Levels:
        fine = self.network.fine_process
        return _Levels(
            fine.merged(attended, pyramid.eighth)[0],
            fine.out_conv_m(pyramid.quarter)[0],
            fine.out_conv_f(pyramid.half)[0],
        )

    def _refined(self, levels: tuple[_Levels, _Levels], rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(M, 2) and (M, 2) px of matched cells, and (M,) how sure."""
        here, there = levels[0].windows(rows), levels[1].windows(columns)
        pairs = zip(here, there, strict=True)
        fixed_step, moving_step, sure = self.network.fine_matching(*self.network.fine_process(*pairs))
        return (
            points_at(rows, levels[0].coarse.shape[2], CELL_PX) + FINE_PX * fixed_step,
            points_at(columns, levels[1].coarse.shape[2], CELL_PX) + FINE_PX * moving_step,
            sure,
        )
