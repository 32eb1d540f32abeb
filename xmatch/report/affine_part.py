"""A transform in words that people use: shift, rotation, scale, shear, and how far it bends away from those."""

from __future__ import annotations

import numpy as np

from xmatch.geometry import Transform
from xmatch.geometry.matrices import nearest_affine
from xmatch.report.document_types import AffinePart

LATTICE = 9
"""Points along each side of the moving image at which the transform is looked at."""


def affine_part(transform: Transform, width: float, height: float) -> AffinePart | None:
    """The affine map nearest to `transform` over a moving image of `width` x `height` px, taken apart.

    The linear part is rotation @ [[sx, sy tan(shear)], [0, sy]] (a QR factorisation with sx > 0), after a flip of y
    when the map mirrors.

    Returns:
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
        nearest = nearest_affine(moving_xy, fixed_xy)
        linear, shift = nearest[:2, :2], nearest[:2, 2]
    departure_px = np.linalg.norm(moving_xy @ linear.T + shift - fixed_xy, axis=1).max()

    angle = np.arctan2(linear[1, 0], linear[0, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    (scale_x, lean), (_, scale_y) = np.array([[cos, sin], [-sin, cos]]) @ linear
    return {
        "shift_px": shift.tolist(),
        "centre_xy": (linear @ (width / 2, height / 2) + shift).tolist(),
        "rotation_deg": float(np.degrees(angle)),
        "scale_xy": [float(scale_x), float(abs(scale_y))],
        "shear_deg": float(np.degrees(np.arctan2(lean, abs(scale_y)))),
        "mirrored": bool(scale_y < 0),
        "departure_px": float(departure_px),
    }
