"""Before anything is matched: which windows of the two files to look at, how large, and where to search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xmatch.errors import InputError
from xmatch.io.source import Header, Source
from xmatch.matchers import SearchRange
from xmatch.prior import georef_prior
from xmatch.raster import View
from xmatch.transforms import Transform
from xmatch.views import MIN_SIDE_PX, framing, make_view, warped_view

PRIOR_ANGLE_DEG, PRIOR_SCALE = 15.0, 1.2
"""How wrong a georeferencing may be before the whole range is searched."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Two views to match, and how they relate to the files."""

    fixed: View
    moving: View
    within: SearchRange
    prior: Transform | None
    """moving px -> fixed px by georeferencing."""
    notes: tuple[str, ...]
    ground: dict[str, Any]
    """`ground_per_px` and `unit` of the fixed file's pixels, None when it has neither CRS nor spacing."""
    prior_linear: np.ndarray | None = None
    """(3, 3) affine that follows `prior` best."""


def frame_pair(fixed: Source, moving: Source, options) -> Frame:
    """The views for a first look: on the overlap when georeferencing tells, else both images whole.

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
        prior = georef_prior(fixed.header, moving.header) if options.use_georef else None
    except ValueError:  # no transform can hold the map: pixels of 1e9 m onto pixels of 1 mm
        message = "its georeferencing and the fixed image's make no map between their pixels"
        raise InputError(message, hint="--ignore-georef", path=moving.header.path) from None
    if prior is not None:
        return _with_prior(fixed, moving, prior, options)
    fixed_shape, moving_shape, notes = _spacing(fixed.header, moving.header)
    fixed_view = make_view(fixed, framing(_whole(fixed.header), options.view_px, fixed_shape))
    moving_view = make_view(moving, framing(_whole(moving.header), options.view_px, moving_shape))
    # Scale 1 of the search is "the same pixel size", or what the spacings say.
    centre = moving_view.to_pixel[0, 0] * moving_shape[0] / (fixed_view.to_pixel[0, 0] * fixed_shape[0])
    within = SearchRange(
        centre=np.diag([centre, centre, 1.0]),
        max_angle_deg=options.max_angle_deg,
        min_scale=1 / options.max_scale,
        max_scale=options.max_scale,
        mirror=options.mirror,
    )
    notes += _collars(fixed_view, moving_view)
    return Frame(fixed_view, moving_view, within, None, notes, ground_size(fixed.header))


def widened(frame: Frame, options) -> Frame:
    """The same views with the prior's turn, scale and shift no longer believed: for when the search near it fails."""
    within = SearchRange(
        centre=np.eye(3),
        max_angle_deg=options.max_angle_deg,
        min_scale=1 / options.max_scale,
        max_scale=options.max_scale,
        mirror=options.mirror,
    )
    note = "nothing convincing near where the georeferencing says: searched every turn and scale"
    return replace(frame, within=within, notes=(*frame.notes, note))


def _with_prior(fixed: Source, moving: Source, prior, options) -> Frame:
    fixed_view = make_view(fixed, framing(prior.fixed_window, options.view_px))
    # Moving is seen on fixed's own view grid, so that pixel shapes, turns and mirrors of its grid are gone.
    to_fixed_view = np.linalg.inv(fixed_view.to_pixel) @ prior.linear
    stretch = np.sqrt(abs(np.linalg.det(to_fixed_view[:2, :2])))
    wanted = max(prior.moving_window[2:]) * min(1.0, 1.5 * stretch)
    seen = make_view(moving, framing(prior.moving_window, min(wanted, 4 * options.view_px)))
    onto = to_fixed_view @ seen.to_pixel
    outline = onto @ np.array([[0, seen.width, seen.width, 0], [0, 0, seen.height, seen.height], [1, 1, 1, 1]])
    low = np.floor(outline[:2].min(axis=1))
    high = np.ceil(outline[:2].max(axis=1))
    # The part far outside the fixed view is of no use.
    low = np.maximum(low, -0.3 * np.array([fixed_view.width, fixed_view.height])).astype(int)
    high = np.minimum(high, 1.3 * np.array([fixed_view.width, fixed_view.height])).astype(int)
    size = (max(1, int(high[0] - low[0])), max(1, int(high[1] - low[1])))
    shift = np.array([[1.0, 0.0, -low[0]], [0.0, 1.0, -low[1]], [0.0, 0.0, 1.0]])
    moving_view = warped_view(seen, shift @ onto, size)
    if not moving_view.valid.any():
        raise InputError("has no valid pixels where it overlaps the fixed image", path=moving.header.path)
    within = SearchRange(
        centre=np.linalg.inv(shift),
        max_angle_deg=min(PRIOR_ANGLE_DEG, options.max_angle_deg),
        min_scale=1 / min(PRIOR_SCALE, options.max_scale),
        max_scale=min(PRIOR_SCALE, options.max_scale),
        mirror=options.mirror,
        near=True,
    )
    ground = ground_size(fixed.header)
    notes = prior.notes + _collars(fixed_view, seen)
    if min(size) < MIN_SIDE_PX:
        # Too little to match is a finding, not a fault of the files: the matcher comes back with nothing.
        notes += ("the georeferencing makes the images overlap by a few pixels only (--ignore-georef)",)
    return Frame(fixed_view, moving_view, within, prior.transform, notes, ground, prior.linear)


def _collars(fixed: View, moving: View) -> tuple[str, ...]:
    return tuple(
        f"{100 * view.collar:.0f} % of the {role} image is a black collar: not looked at (--{option}nodata declares it)"
        for role, option, view in (("fixed", "", fixed), ("moving", "moving-", moving))
        if view.collar
    )


def _whole(header: Header) -> tuple[int, int, int, int]:
    return 0, 0, header.width, header.height


def _spacing(fixed: Header, moving: Header):
    """Pixel shapes (x, y) of both, and notes. Only spacings that both files state can set the scale."""
    shapes = [header.spacing_um or (1.0, 1.0) for header in (fixed, moving)]
    if fixed.spacing_um is None or moving.spacing_um is None:
        return *((x / min(x, y), y / min(x, y)) for x, y in shapes), ()
    ratio = min(shapes[1]) / min(shapes[0])
    return *shapes, (f"pixel sizes stated by both files: moving's is {ratio:.3g} times fixed's",)


def ground_size(header: Header) -> dict[str, Any]:
    """Size of a pixel on the ground (metres) or in the specimen (micrometres)."""
    if header.spacing_um is not None:
        return {"ground_per_px": float(np.sqrt(header.spacing_um[0] * header.spacing_um[1])), "unit": "um"}
    if header.georef is None or header.georef.crs_wkt is None:
        return {"ground_per_px": None, "unit": None}
    from xmatch.io.crs import metres_per_unit

    metres = metres_per_unit(header.georef.crs_wkt)
    px = float(np.sqrt(abs(np.linalg.det(header.georef.matrix[:2, :2]))))
    if metres is not None:
        return {"ground_per_px": px * metres, "unit": "m"}
    # Degrees: measured where the image lies, on a local plane.
    middle = header.georef.matrix @ (header.width / 2, header.height / 2, 1.0)
    length_m = 111_320.0 * np.sqrt(max(np.cos(np.radians(middle[1])), 1e-3))
    return {"ground_per_px": px * float(length_m), "unit": "m"}
