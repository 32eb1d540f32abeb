"""Moving as it would look on fixed under a proposed pose: so that a network sees small motion only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xmatch.coords import Floats, Image, Mask, as_image, to_centre_matrix
from xmatch.correspondences import Correspondences
from xmatch.geometry.masked import warped_masked
from xmatch.geometry.matrices import apply_affine, scale_of
from xmatch.matchers.search.fourier import resized
from xmatch.raster import View

FULL_COVER = 0.99
"""A px all of whose share is valid, rounding forgiven."""


@dataclass(frozen=True, eq=False)
class Look:
    """A view at working size, as it is or under a pose."""

    image: Image
    """(h, w), or (h, w, 3) where colour was asked for."""
    valid: Mask
    to_view: Floats
    """(3, 3) px here -> px of the view."""


def reduced(view: View, factor: float, *, coloured: bool = False) -> Look:
    """A view at `factor` times its size; `coloured`: its colour, where it has some."""
    (image, valid), factors = resized(view, factor)
    if coloured and view.colour is not None:
        image = _stacked([resized(replace(view, image=plane), factor)[0][0] for plane in _planes(view.colour)])
    return Look(image, valid, np.diag([1 / factors[0], 1 / factors[1], 1.0]))


def under_pose(moving: View, matrix: Floats, here: Look, *, coloured: bool = False) -> Look:
    """Moving as it would look on the small fixed view, had `matrix` (3, 3), moving view px -> fixed view px, been the
    truth."""
    onto = np.linalg.inv(here.to_view) @ matrix
    # Shrunk first where needed: a warp takes no mean.
    source = reduced(moving, min(1.0, scale_of(onto)), coloured=coloured)
    height, width = here.valid.shape
    centred = to_centre_matrix(onto @ source.to_view)
    laid = [warped_masked(plane, source.valid, centred, (width, height)) for plane in _planes(source.image)]
    back = np.linalg.inv(matrix) @ here.to_view
    return Look(_stacked([image for image, _ in laid]), laid[0][1] > FULL_COVER, back)


def in_views(matched: Correspondences, here: Look, there: Look) -> Correspondences:
    """Correspondences of working px as correspondences of view px."""
    fixed_xy, moving_xy = apply_affine(here.to_view, matched.fixed_xy), apply_affine(there.to_view, matched.moving_xy)
    return Correspondences(fixed_xy, moving_xy, matched.certainty)


def _planes(image: Image) -> list[Image]:
    """The channels of (h, w) or (h, w, 3)."""
    return [image] if image.ndim == 2 else [np.ascontiguousarray(plane) for plane in image.transpose(2, 0, 1)]


def _stacked(planes: list[Image]) -> Image:
    """The image of one or three channels."""
    return planes[0] if len(planes) == 1 else as_image(np.dstack(planes))
