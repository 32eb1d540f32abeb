"""Before anything is matched: which windows of the two files to look at, how large, and where to search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from xmatch.coords import Floats
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.geometry import DisplacementGrid, Linear, Transform, compose
from xmatch.geometry.matrices import scale_of, shift_matrix
from xmatch.geometry.outlines import nodes_over
from xmatch.geometry.windows import Window, whole
from xmatch.io.rasters.source import Header, Source
from xmatch.matchers.base import SearchRange
from xmatch.raster import View
from xmatch.registration.georef_prior import LATTICE, Prior, georef_prior
from xmatch.registration.given_prior import given_prior
from xmatch.registration.ground import GroundSize, ground_size, pixel_shape
from xmatch.registration.options import RegisterOptions
from xmatch.registration.views import MIN_SIDE_PX, framing, make_view, remapped_view, warped_view

PRIOR_ANGLE_DEG, PRIOR_SCALE = 15.0, 1.2
"""How wrong a georeferencing may be before the whole range is searched. Not tuned."""
WARP_STEP_PX = 8
"""A bent prior is followed exactly at every so many px of the view that is warped, and bilinearly in between."""


Shape: TypeAlias = tuple[float, float]
"""Length of a px in x and y, in one unit."""


@dataclass(frozen=True, eq=False)
class FramedPair:
    """Two views to match, and how they relate to the files.

    With a prior, `moving` is seen as the georeferencing lays it on fixed, bends between the two CRS included: its
    `to_pixel` leads to px of fixed, and whatever is found says how wrong the georeferencing is.
    """

    fixed: View
    moving: View
    within: SearchRange
    prior: Transform | None
    """moving px -> fixed px by georeferencing, or as the user gives it."""
    notes: tuple[str, ...]
    ground: GroundSize
    """Of the fixed file's pixels."""
    fixed_plane: Floats
    """(3, 3) fixed px -> a plane on which a similarity of what is shown is a similarity: px of equal sides."""
    moving_plane: Floats
    """The same for what `moving` leads to."""
    prior_linear: Floats | None = None
    """(3, 3) affine that follows `prior` best."""
    is_given: bool = False
    """The prior is the user's, who knows: nothing further off is searched."""

    @property
    def px_per_view_px(self) -> float:
        """Side of a px of the fixed view, px of the fixed file; the root of its area where these are not square."""
        return scale_of(self.fixed.to_pixel)

    def on_planes(self, points: Correspondences) -> Correspondences:
        """Positions in the views -> positions on both planes."""
        return Correspondences(
            Linear(self.fixed_plane @ self.fixed.to_pixel, "affine")(points.fixed_xy),
            Linear(self.moving_plane @ self.moving.to_pixel, "affine")(points.moving_xy),
            points.certainty,
        )

    def in_files(self, points: Correspondences) -> Correspondences:
        """Positions in the views -> px of the files."""
        return Correspondences(
            Linear(self.fixed.to_pixel, "affine")(points.fixed_xy), self.moving_px(points.moving_xy), points.certainty
        )

    def moving_px(self, view_xy: Floats) -> Floats:
        """(N, 2) positions in the moving view -> px of the moving file."""
        xy = Linear(self.moving.to_pixel, "affine")(view_xy)
        return xy if self.prior is None else self.prior.inverse(xy)

    def between_files(self, on_planes: Transform) -> Transform:
        """A map from plane to plane as the map moving px -> fixed px of the files."""
        to_plane, from_plane = Linear(self.moving_plane, "affine"), Linear(np.linalg.inv(self.fixed_plane), "affine")
        before = [] if np.array_equal(self.moving_plane, np.eye(3)) else [to_plane]
        after = [] if np.array_equal(self.fixed_plane, np.eye(3)) else [from_plane]
        return compose(*([] if self.prior is None else [self.prior]), *before, on_planes, *after)

    def matrix_between_files(self, pose: Floats) -> Floats:
        """(3, 3) moving px -> fixed px of the files for a pose of the views; a bent prior as the nearest affine map."""
        matrix = self.fixed.to_pixel @ pose @ np.linalg.inv(self.moving.to_pixel)
        return matrix if self.prior_linear is None else matrix @ self.prior_linear

    def between_views(self, transform: Transform, view_xy: Floats) -> Floats:
        """(N, 2) positions in the moving view -> where a map between the files puts them in the fixed view."""
        return Linear(np.linalg.inv(self.fixed.to_pixel), "affine")(transform(self.moving_px(view_xy)))


def frame_pair(
    fixed: Source, moving: Source, options: RegisterOptions, *, colour: bool = False, region: Window | None = None
) -> FramedPair:
    """The views for a first look: on the overlap when georeferencing or the user tells, else both images whole.

    Args:
        colour: the views carry it.
        region: the part of fixed to look at; default all of it.

    Raises:
        InputError: an image is too small or has no valid pixel, or the two do not overlap.
    """
    for header in (fixed.header, moving.header):
        if min(header.width, header.height) < MIN_SIDE_PX:
            raise InputError(
                f"is {header.width} x {header.height} px; at least {MIN_SIDE_PX} px each way are needed",
                path=header.path,
            )
    try:
        prior = given_prior(fixed.header, moving.header, options)
        if prior is None and options.use_georef:
            prior = georef_prior(fixed.header, moving.header)
    except ValueError:  # no transform can hold the map: pixels of 1e9 m onto pixels of 1 mm
        message = "its georeferencing and the fixed image's make no map between their pixels"
        raise InputError(message, hint="--ignore-georef", path=moving.header.path) from None
    if prior is not None:
        seen = prior if region is None else prior.on(region, moving.header)
        return _with_prior(fixed, moving, seen, options, colour)
    fixed_shape, moving_shape, notes = _spacing(fixed.header, moving.header)
    fixed_view, moving_view = (
        make_view(source, framing(window, options.view_px, shape), with_colour=colour)
        for source, window, shape in (
            (fixed, region or whole(fixed.header.width, fixed.header.height), fixed_shape),
            (moving, whole(moving.header.width, moving.header.height), moving_shape),
        )
    )
    # Scale 1 of the search is "the same pixel size", or what the spacings say.
    centre = moving_view.to_pixel[0, 0] * moving_shape[0] / (fixed_view.to_pixel[0, 0] * fixed_shape[0])
    within = _everywhere(np.diag([centre, centre, 1.0]), options)
    notes += _collars(fixed_view, moving_view)
    ground, fixed_plane, moving_plane = ground_size(fixed.header), _plane(fixed_shape), _plane(moving_shape)
    return FramedPair(fixed_view, moving_view, within, None, notes, ground, fixed_plane, moving_plane)


def widened(frame: FramedPair, options: RegisterOptions) -> FramedPair:
    """The same views with the prior's turn, scale and shift no longer believed: for when the search near it fails."""
    note = "nothing convincing near where the georeferencing says: searched every turn and scale"
    return replace(frame, within=_everywhere(np.eye(3), options), notes=(*frame.notes, note))


def _everywhere(centre: Floats, options: RegisterOptions) -> SearchRange:
    """The whole range that was asked for, about the turn and scale of `centre`."""
    return SearchRange(
        centre=centre,
        max_angle_deg=options.max_angle_deg,
        min_scale=1 / options.max_scale,
        max_scale=options.max_scale,
        mirror=options.mirror,
    )


def _with_prior(fixed: Source, moving: Source, prior: Prior, options: RegisterOptions, colour: bool) -> FramedPair:
    x0, y0, width, height = prior.fixed_window
    shape = pixel_shape(fixed.header, (x0 + width / 2, y0 + height / 2))
    fixed_view = make_view(fixed, framing(prior.fixed_window, options.view_px, shape), with_colour=colour)
    # Moving is seen on fixed's own view grid, so that pixel shapes, turns, mirrors and bends of its grid are gone.
    to_fixed_view = np.linalg.inv(fixed_view.to_pixel)
    stretch = scale_of(to_fixed_view @ prior.linear)
    wanted = max(prior.moving_window[2:]) * min(1.0, 1.5 * stretch)
    seen = make_view(moving, framing(prior.moving_window, min(wanted, 4 * options.view_px)), with_colour=colour)
    onto = compose(Linear(seen.to_pixel, "affine"), prior.transform, Linear(to_fixed_view, "affine"))
    landed = onto(nodes_over(seen.width, seen.height, LATTICE))
    # The part far outside the fixed view is of no use.
    view_size = np.array([fixed_view.width, fixed_view.height])
    low = np.maximum(np.floor(np.nanmin(landed, axis=0)), -0.3 * view_size).astype(int)
    high = np.minimum(np.ceil(np.nanmax(landed, axis=0)), 1.3 * view_size).astype(int)
    size = (max(1, int(high[0] - low[0])), max(1, int(high[1] - low[1])))
    shift = shift_matrix(-low)
    to_pixel = fixed_view.to_pixel @ np.linalg.inv(shift)
    if isinstance(onto, Linear) and onto.kind != "homography":
        warped = warped_view(seen, shift @ onto.matrix, size)
    else:
        back = compose(Linear(np.linalg.inv(shift), "affine"), onto.inverse)
        warped = remapped_view(seen, DisplacementGrid.sampled(back, *size, WARP_STEP_PX), size)
    moving_view = replace(warped, to_pixel=to_pixel)
    if not moving_view.valid.any():
        raise InputError("has no valid pixels where it overlaps the fixed image", path=moving.header.path)
    within = _near(shift_matrix(low), prior, options)
    ground = ground_size(fixed.header)
    notes = prior.notes + _collars(fixed_view, seen)
    if min(size) < MIN_SIDE_PX:
        # Too little to match is a finding, not a fault of the files: the matcher comes back with nothing.
        notes += ("the georeferencing makes the images overlap by a few pixels only (--ignore-georef)",)
    plane = _plane(shape)
    is_given = prior.near_shift_px is not None
    return FramedPair(
        fixed_view, moving_view, within, prior.transform, notes, ground, plane, plane, prior.linear, is_given
    )


def _near(centre: Floats, prior: Prior, options: RegisterOptions) -> SearchRange:
    """The range around a prior: as far as georeferencing errs, or as far as the user says."""
    angle, scale = min(PRIOR_ANGLE_DEG, options.max_angle_deg), min(PRIOR_SCALE, options.max_scale)
    near = SearchRange(centre, angle, 1 / scale, scale, mirror=options.mirror, near=True)
    if prior.near_shift_px is None:
        return near
    return replace(near, mirror=False, max_shift=prior.near_shift_px / max(prior.fixed_window[2:]))


def _plane(shape: Shape) -> Floats:
    """(3, 3) px of these sides -> square ones, as long as the shorter side."""
    return np.diag([shape[0] / min(shape), shape[1] / min(shape), 1.0])


def _collars(fixed: View, moving: View) -> tuple[str, ...]:
    return tuple(
        f"{100 * view.collar:.0f} % of the {role} image is a black collar: not looked at (--{option}nodata declares it)"
        for role, option, view in (("fixed", "", fixed), ("moving", "moving-", moving))
        if view.collar
    )


def _spacing(fixed: Header, moving: Header) -> tuple[Shape, Shape, tuple[str, ...]]:
    """Pixel shapes (x, y) of both, and notes. Only spacings that both files state can set the scale."""
    one, other = (header.spacing_um or (1.0, 1.0) for header in (fixed, moving))
    if fixed.spacing_um is None or moving.spacing_um is None:
        return (one[0] / min(one), one[1] / min(one)), (other[0] / min(other), other[1] / min(other)), ()
    ratio = min(other) / min(one)
    return one, other, (f"pixel sizes stated by both files: moving's is {ratio:.3g} times fixed's",)
