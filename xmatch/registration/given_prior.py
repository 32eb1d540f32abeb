"""What a user says of where moving lies: points set by hand, or a map. The start of the search, which stays near it."""

from __future__ import annotations

import re

import numpy as np

from xmatch.errors import InputError, UsageError
from xmatch.geometry import Linear, Transform
from xmatch.geometry.matrices import nearest_affine
from xmatch.geometry.outlines import inside, nodes_over
from xmatch.geometry.windows import window_around
from xmatch.io.rasters.source import Header
from xmatch.registration.georef_prior import LATTICE, MIN_NODES, Prior, moving_window
from xmatch.registration.hand_points import enough_points, fit_hand_points, read_hand_points
from xmatch.registration.options import RegisterOptions

AFFINE_FROM = 3
"""Points that make an affine map."""
NEAR_SHARE = 0.1
"""How far from what is given the truth may lie, by the longer side of the fixed image, unless the user says. Not tuned:
points that are clicked by eye are nearer, and a map from another sensor's file often is not."""


def given_prior(fixed: Header, moving: Header, options: RegisterOptions) -> Prior | None:
    """The prior that the options give, or None.

    Raises:
        InputError: a file cannot be read, holds too few points or no map, or what it says lays moving beside fixed.
        UsageError: numbers that make no map.
    """
    if options.tie_points:
        transform, note = _through_points(options.tie_points, fixed, moving, options.transform)
        source = options.tie_points
    elif options.initial:
        transform, note = read_initial(options.initial, fixed, moving), "the search starts at the map that was given"
        source = moving.path
    else:
        return None
    near = options.near_shift_px or NEAR_SHARE * max(fixed.width, fixed.height)
    nodes = nodes_over(moving.width, moving.height, LATTICE)
    fixed_nodes = nodes_over(fixed.width, fixed.height, LATTICE)
    landed, back = transform(nodes), transform.inverse(fixed_nodes)
    held, hit = inside(landed, fixed.width, fixed.height), inside(back, moving.width, moving.height)
    if held.sum() + hit.sum() < MIN_NODES:
        raise InputError("what is given lays the moving image beside the fixed one", path=source)
    from_xy, to_xy = np.vstack([nodes[held], back[hit]]), np.vstack([landed[held], fixed_nodes[hit]])
    window = window_around(to_xy, fixed.width, fixed.height, near)
    notes = (f"{note}, and stays within {near:.0f} px of it",)
    return Prior(
        transform,
        nearest_affine(from_xy, to_xy),
        window,
        moving_window(transform, window, moving, from_xy),
        notes,
        near_shift_px=near,
    )


def read_initial(text: str, fixed: Header, moving: Header) -> Transform:
    """A map, moving px -> fixed px, from nine or six numbers, row by row, or from a file.

    Raises:
        UsageError: numbers that make no map.
        InputError: the file cannot be read, or holds no transform.
    """
    words = [word for word in re.split(r"[\s,;\[\]]+", text) if word]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        from xmatch.io.transforms.files import read_transform

        return read_transform(text, fixed, moving)
    if len(numbers) not in (6, 9):
        raise UsageError(f"--initial holds {len(numbers)} numbers; a map has six or nine", hint="a,b,c,d,e,f")
    matrix = np.array([*numbers, 0.0, 0.0, 1.0][:9]).reshape(3, 3)
    is_affine = np.array_equal(matrix[2, :2], (0.0, 0.0)) and matrix[2, 2] != 0
    try:
        return Linear(matrix, "affine" if is_affine else "homography")
    except ValueError as error:
        raise UsageError(f"--initial makes no map: {error}") from None


def _through_points(path: str, fixed: Header, moving: Header, asked: str) -> tuple[Transform, str]:
    """The map through the points of a file, and a note."""
    points = read_hand_points(path, fixed, moving)
    enough_points(points, path)
    # Three points have nothing left to test an affine map by; from four on these tell whether it is one.
    kinds: tuple[str, ...] = ("similarity",) if asked in ("translation", "similarity") else ("similarity", "affine")
    found = None
    if len(points) == AFFINE_FROM and "affine" in kinds:
        found = fit_hand_points(points, ("affine",), fixed, moving)
    found = found or fit_hand_points(points, kinds, fixed, moving)
    if found is not None:
        told = found.left_out_rms_px
        agree = "" if np.isnan(told) else f", which foretells each of them to {told:.1f} px (root mean square)"
        return found.transform, f"the search starts at the {found.kind} through {len(points)} points set by hand{agree}"
    raise InputError("its points make no map: they lie in one place, or turn the image inside out", path=path)
