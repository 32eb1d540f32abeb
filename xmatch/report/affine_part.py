"""A transform in words that people use: shift, rotation, scale, shear, and how far it bends away from those."""

from __future__ import annotations

from typing import Any

import numpy as np

from xmatch.geometry import Transform

LATTICE = 9
"""Points along each side of the moving image at which the transform is looked at."""


def affine_part(transform: Transform, width: float, height: float) -> dict[str, Any] | None:
    """The affine map nearest to `transform` over a moving image of `width` x `height` px, taken apart.

    The linear part is rotation @ [[sx, sy tan(shear)], [0, sy]] (a QR factorisation with sx > 0), after a flip of y
    when the map mirrors.

    Returns:
        shift_px: where moving's first corner lands, fixed px.
        centre_xy: where moving's centre lands, fixed px.
        rotation_deg: moving's x axis in the fixed image, positive clockwise as displayed.
        scale_xy: fixed px per moving px along moving's axes.
        shear_deg: how far moving's y axis leans from the right angle.
        mirrored: whether the map turns the image over.
        departure_px: largest distance between `transform` and this affine map, fixed px: perspective or bending.
        None when the transform is undefined over most of the image.
    """
    xs, ys = np.meshgrid(np.linspace(0, width, LATTICE), np.linspace(0, height, LATTICE))
    moving_xy = np.column_stack([xs.ravel(), ys.ravel()])
    fixed_xy = transform(moving_xy)
    defined = np.isfinite(fixed_xy).all(axis=1)
    if defined.sum() < len(defined) / 2:
        return None
    moving_xy, fixed_xy = moving_xy[defined], fixed_xy[defined]
    if transform.matrix is not None and np.allclose(transform.matrix[2], (0.0, 0.0, 1.0), atol=1e-15):
        linear, shift = transform.matrix[:2, :2], transform.matrix[:2, 2]
    else:
        design = np.column_stack([moving_xy, np.ones(len(moving_xy))])
        solution = np.linalg.lstsq(design, fixed_xy, rcond=None)[0].T
        linear, shift = solution[:, :2], solution[:, 2]
    departure_px = np.linalg.norm(moving_xy @ linear.T + shift - fixed_xy, axis=1).max()

    angle = np.arctan2(linear[1, 0], linear[0, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    (scale_x, lean), (_, scale_y) = np.array([[cos, sin], [-sin, cos]]) @ linear
    return {
        "shift_px": shift,
        "centre_xy": linear @ (width / 2, height / 2) + shift,
        "rotation_deg": np.degrees(angle),
        "scale_xy": (scale_x, abs(scale_y)),
        "shear_deg": np.degrees(np.arctan2(lean, abs(scale_y))),
        "mirrored": scale_y < 0,
        "departure_px": departure_px,
    }
