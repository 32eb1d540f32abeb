"""How the pixels of an image that was never matched relate to those of one that was: by what both files say of their
place, or by showing the same footprint."""

from __future__ import annotations

from typing import Any

import numpy as np

from xmatch.coords import corners
from xmatch.errors import InputError
from xmatch.geometry import Linear, Transform, compose, rescaled
from xmatch.io.rasters.source import Header
from xmatch.registration.georef_prior import georef_prior
from xmatch.report import georef_of

ASPECT_TOLERANCE = 0.01
"""Largest relative difference of the side ratios of two images taken to show the same footprint: rounding to whole px
makes more than this in images of under 100 px only."""
_SAME_FOOTPRINT = "--assume-same-footprint takes the whole image for the whole one that was registered"


def described(facts: dict[str, Any]) -> Header:
    """The header of an image as far as a report (`fixed`, `moving`) tells it."""
    spacing, resolution = facts.get("spacing_um"), facts.get("resolution")
    return Header(
        path=facts["path"],
        format=facts.get("format", ""),
        width=facts["width"],
        height=facts["height"],
        bands=tuple(facts.get("bands", ("1",))),
        dtype=facts.get("dtype", "uint8"),
        georef=georef_of(facts),
        spacing_um=spacing and tuple(spacing),
        medical=facts.get("medical", False),
        resolution=resolution and tuple(resolution),
    )


def moving_onto_fixed(transform: Transform, moving: Header, other: Header, same_footprint: bool = False) -> Transform:
    """`transform`, found for `moving`, for another image.

    Where both have a CRS, it says how their pixels relate, in one CRS or two; where neither has one, both show the
    same footprint, whatever their pixel size.

    Args:
        transform: moving px -> fixed px.
        moving: the image that was registered.
        other: the image to be moved.
        same_footprint: do not look at georeferencing.

    Returns:
        other px -> fixed px.

    Raises:
        InputError: one of them has a CRS and the other one has none; they do not overlap; or, without CRS, their
            shapes show that the footprint is not the same.
    """
    if not same_footprint:
        if _has_crs(moving) and not _has_crs(other):
            option = "--moving-assume-crs names its CRS; " if other.georef else ""
            raise InputError(
                "has no CRS, while the image that was registered has one",
                hint=option + _SAME_FOOTPRINT,
                path=other.path,
            )
        if _has_crs(other) and not _has_crs(moving):
            raise InputError(
                "has a CRS, while the image that was registered has none to relate it to",
                hint=_SAME_FOOTPRINT,
                path=other.path,
            )
        if moving.georef and other.georef:
            return _composed(_between(moving, other), transform, other.path)
    ratios = moving.width / other.width, moving.height / other.height
    if abs(ratios[0] / ratios[1] - 1) > ASPECT_TOLERANCE:
        sizes = f"{other.width} x {other.height} px against {moving.width} x {moving.height} px"
        raise InputError(f"not the footprint of the image that was registered: {sizes}", path=other.path)
    return rescaled(transform, (moving.width, moving.height), (other.width, other.height))


def placing_notes(moving: Header, other: Header) -> tuple[str, ...]:
    """What to say of how exactly `moving_onto_fixed` knows where `other` lies."""
    if moving.georef is None or other.georef is None or not (_has_crs(moving) and _has_crs(other)):
        return ()
    if np.array_equal(moving.georef.gcps, other.georef.gcps):
        return ()
    return ("placed by ground control points: as exact as an affine map through them",)


def onto_grid_of(transform: Transform, fixed: Header, other: Header) -> Transform:
    """`transform`, which leads to the px of `fixed`, for the grid of another fixed image. Without CRS its pixels count
    as those of `fixed` do.

    Raises:
        InputError: one of them has a CRS and the other one has none; they do not overlap.
    """
    if _has_crs(fixed) != _has_crs(other):
        has = ("a CRS", "none") if _has_crs(other) else ("no CRS", "one")
        raise InputError(f"has {has[0]}, while the fixed image of the registration has {has[1]}", path=other.path)
    return _composed(transform, _between(fixed, other).inverse, other.path) if _has_crs(fixed) else transform


def _between(was: Header, other: Header) -> Transform:
    """px of `other` -> px of `was`, both of which have a georeferencing, by the affine maps where these are in one CRS
    (or both in none)."""
    if was.georef is None or other.georef is None:
        raise ValueError("both must be georeferenced")
    if was.georef.crs_wkt != other.georef.crs_wkt:
        try:
            prior = georef_prior(was, other)
        except InputError as error:
            raise _apart(was, other) from error
        except ValueError:
            raise _beyond_measure(other.path) from None
        if prior is not None:
            return prior.transform
    try:
        to_was = Linear(np.linalg.solve(was.georef.matrix, other.georef.matrix), "affine")
    except ValueError:
        raise _beyond_measure(other.path) from None
    # Equal up to rounding, they are the same pixels.
    if np.allclose(to_was.matrix, np.eye(3), atol=1e-6):
        return Linear(np.eye(3), "translation")
    low, high = (edge(to_was(corners(other.width, other.height)), axis=0) for edge in (np.min, np.max))
    if not ((high > 0) & (low < (was.width, was.height))).all():
        raise _apart(was, other)
    return to_was


def _composed(first: Transform, then: Transform, path: str) -> Transform:
    try:
        return compose(first, then)
    except ValueError:
        raise _beyond_measure(path) from None


def _beyond_measure(path: str) -> InputError:
    message = "its pixels and those of the image that was registered differ beyond all measure in size"
    return InputError(message, path=path)


def _apart(was: Header, other: Header) -> InputError:
    return InputError(
        f"does not overlap {was.path}, for which the transform was found, by their georeferencing",
        hint=f"if that is wrong, {_SAME_FOOTPRINT}",
        path=other.path,
    )


def _has_crs(header: Header) -> bool:
    return header.georef is not None and header.georef.crs_wkt is not None
