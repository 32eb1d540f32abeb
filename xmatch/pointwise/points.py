"""Points of one image in another, and through the frames of a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.coords import Floats, Mask
from xmatch.errors import ResourceError, is_out_of_memory
from xmatch.networks.matcha.config import STRIDE, Task
from xmatch.networks.matcha.features import Feature
from xmatch.pointwise.images import Seen
from xmatch.pointwise.nearest import Refinement, centres, described, mutual_nearest, nearest

RETURN_CELLS = 1.5
"""How far from its start a point may come back that counts as visible. Not tuned."""


@dataclass(frozen=True, eq=False)
class PointMatches:
    """Points of FIXED and where they lie in MOVING."""

    fixed_xy: Floats
    """(N, 2) px of the file."""
    moving_xy: Floats
    """(N, 2) px of the other file."""
    certainty: Floats
    """(N,) in [0, 1]: the cosine between both features, from -1 to 1."""
    return_px: Floats
    """(N,) how far from its start the point comes to lie that is sought back in FIXED, FIXED px."""
    visible: Mask
    """(N,) that is within `RETURN_CELLS`."""


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """Where points are in one frame."""

    number: int
    """From 0."""
    frame: Seen
    xy: Floats
    """(N, 2) px of the frame, also of points that are not visible."""
    visible: Mask
    """(N,) as `PointMatches`."""
    certainty: Floats
    """(N,) as `PointMatches`."""


@dataclass(frozen=True, eq=False)
class _Described:
    features: Tensor
    """(C, h, w) of length 1."""
    cells: Tensor
    """(h, w) bool: more than half of it is valid."""
    cell_px: Floats
    """(2,) width and height of a cell, px of the file."""

    def to_px(self, xy: Tensor) -> Floats:
        return np.asarray(xy.double().cpu().numpy() * self.cell_px)

    def to_cells(self, xy: Floats) -> Tensor:
        return torch.from_numpy(np.asarray(xy / self.cell_px, np.float32)).to(self.features.device)


def find_points(
    feature: Feature,
    fixed: Seen,
    moving: Seen,
    task: Task,
    points_xy: Floats | None = None,
    *,
    refinement: Refinement = "soft-argmax",
    device: str = "cpu",
) -> PointMatches:
    """Where points of FIXED lie in MOVING.

    Args:
        points_xy: (N, 2) px of FIXED's file; None: the centres of all cells whose nearest cell has them as nearest.

    Raises:
        ResourceError: memory does not suffice.
    """
    with _enough_memory(fixed):
        here, there = (_describe(feature, seen, task, device) for seen in (fixed, moving))
        if points_xy is None:
            mutual, _ = mutual_nearest(here.features, there.features, here.cells, there.cells)
            cells_xy = centres(mutual, here.cells.shape[1])
            points_xy = here.to_px(cells_xy)
        else:
            cells_xy = here.to_cells(points_xy)
        moving_cells_xy, moving_xy, certainty = _sought(cells_xy, here, there, refinement)
        back, back_px, _ = _sought(moving_cells_xy, there, here, refinement)
        return_px = np.linalg.norm(back_px - points_xy, axis=1)
        return PointMatches(points_xy, moving_xy, certainty, return_px, _returns(back, cells_xy))


def track_points(
    feature: Feature,
    first: Seen,
    frames: Iterable[Seen],
    points_xy: Floats,
    *,
    refinement: Refinement = "soft-argmax",
    device: str = "cpu",
) -> Iterator[TrackedFrame]:
    """Where points of the first frame lie in each of `frames`, which has its size; each frame is compared with the
    first, so that errors do not add up.

    Args:
        points_xy: (N, 2) px of the first frame.

    Raises:
        ResourceError: memory does not suffice.
    """
    with _enough_memory(first):
        here = _describe(feature, first, "temporal", device)
        cells_xy = here.to_cells(points_xy)
    for number, frame in enumerate(frames):
        with _enough_memory(frame):
            there = _describe(feature, frame, "temporal", device)
            found, xy, certainty = _sought(cells_xy, here, there, refinement)
            back, _, _ = _sought(found, there, here, refinement)
        yield TrackedFrame(number, frame, xy, _returns(back, cells_xy), certainty)


def _describe(feature: Feature, seen: Seen, task: Task, device: str) -> _Described:
    image = torch.from_numpy(np.ascontiguousarray(seen.image.transpose(2, 0, 1)))[None].to(device)
    features = feature(image, task)[0]
    valid = torch.from_numpy(seen.valid.astype(np.float32))[None, None]
    cells = (F.avg_pool2d(valid, STRIDE)[0, 0] > 0.5).to(device)
    if not bool(cells.any()):
        cells = torch.ones_like(cells)  # a sliver of data: as good as any other
    height, width = cells.shape
    return _Described(features, cells, np.array(seen.size_px, np.float64) / (width, height))


def _sought(xy: Tensor, here: _Described, there: _Described, refinement: Refinement) -> tuple[Tensor, Floats, Floats]:
    """(N, 2) cells of `here` in `there`: in cells, in px of its file, and how sure."""
    found = nearest(described(here.features, xy), there.features, there.cells, refinement)
    certainty = ((1 + found.similarity) / 2).clamp(0, 1).double().cpu().numpy()
    return found.xy, there.to_px(found.xy), certainty


def _returns(back: Tensor, start: Tensor) -> Mask:
    """(N,) bool of (N, 2) cells: the way back ends within `RETURN_CELLS` of where it began."""
    return np.asarray(((back - start).norm(dim=1) <= RETURN_CELLS).cpu().numpy())


@contextmanager
def _enough_memory(seen: Seen) -> Iterator[None]:
    """What torch says of memory that it does not get, as a `ResourceError`."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        height, width = seen.image.shape[:2]
        raise ResourceError(
            f"out of memory for the feature of {width} x {height} px",
            hint="--feature-side 384, --precision half or --ensemble 1",
            path=seen.name,
        ) from error
