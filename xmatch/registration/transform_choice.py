"""From an aligned pair of views to the transform between the files: which kind, fitted to what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.estimate import estimate, explains_better
from xmatch.geometry import Linear, Transform, compose
from xmatch.geometry.matrices import scale_of
from xmatch.registration.options import RegisterOptions
from xmatch.registration.view_planning import FramedPair
from xmatch.verification.alignment import FORWARD_BACKWARD_PX, Alignment

TOLERANCE_VIEW_PX = 2.0
"""As `TIE_PX` of the evidence."""
MIN_FREER_SHARE, MIN_FREER_TIES = 0.3, 12
"""Share of the steady tie points that a transform freer than a similarity must explain before it is believed, and how
many at least. Not tuned."""
AS_GEOREFERENCED = Linear(np.eye(3), "translation")


@dataclass(frozen=True, eq=False)
class FittedTransform:
    """What tie points make of an alignment."""

    transform: Transform | None
    """moving px -> fixed px of the files."""
    heldout_px: float = 0.0
    """Of a map that bends: root mean square error at tie points that were left out of the fit, fixed px. Others have
    too little freedom to follow their own errors."""
    notes: tuple[str, ...] = ()


def fit_transform(alignment: Alignment, frame: FramedPair, options: RegisterOptions) -> FittedTransform:
    """The transform between the files that the alignment of their views stands for.

    Fitted on the planes of the frame, where a similarity is one of what is shown. With `--transform auto`, the judged
    similarity stands unless tie points that were left out of the fit are explained clearly better by a freer kind; and
    a georeferencing stands as it is unless what was found explains them clearly better.
    """
    ties = frame.on_planes(alignment.ties)
    to_fixed_plane = frame.fixed_plane @ frame.fixed.to_pixel
    from_moving_plane = np.linalg.inv(frame.moving_plane @ frame.moving.to_pixel)
    px = scale_of(to_fixed_plane)
    pose = _stiffest(to_fixed_plane @ alignment.best.matrix @ from_moving_plane)
    around: Transform = pose
    if alignment.best.refined is not None:
        around = compose(Linear(from_moving_plane, "affine"), alignment.best.refined, Linear(to_fixed_plane, "affine"))
    bends = around.matrix is None
    near = np.linalg.norm(around(ties.moving_xy) - ties.fixed_xy, axis=1) < 8 * px
    steady = ties[(alignment.forward_backward_px < FORWARD_BACKWARD_PX) & near]
    mirrored = np.linalg.det(pose.matrix[:2, :2]) < 0
    asked = options.transform
    fitted = estimate(
        steady,
        asked,
        seed=options.seed,
        tolerance_px=TOLERANCE_VIEW_PX * px,
        allow_mirror=mirrored,
        stiffest="similarity",
        freest="tps" if bends else "homography",
        about=around if bends else None,
    )
    notes: tuple[str, ...] = ()
    found: Transform | None
    if asked == "auto":
        enough = fitted.inliers.sum() >= max(MIN_FREER_TIES, MIN_FREER_SHARE * len(steady))
        freer = fitted.transform if fitted.kind != "similarity" and enough else None
        found = freer or around
        as_it_is = frame.prior is not None and not frame.is_given
        if as_it_is and not explains_better(found, AS_GEOREFERENCED, steady, TOLERANCE_VIEW_PX * px):
            found, notes = AS_GEOREFERENCED, ("tie points leave the georeferencing as it is",)
    elif fitted.transform is not None:
        found = fitted.transform
    elif asked in ("similarity", "affine", "homography"):
        found = around
        notes = (f"too few tie points agree for a {asked} of their own: the {around.kind} found stands",)
    else:
        found = None
    return FittedTransform(
        None if found is None else frame.between_files(found),
        fitted.heldout_px.get("tps", 0.0) if found is not None and found.matrix is None else 0.0,
        notes,
    )


def _stiffest(matrix: Floats) -> Linear:
    """An affine (3, 3) matrix as the stiffest kind that it is, to rounding."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    tolerance = 1e-6 * np.hypot(a, c)
    same = abs(a - d) < tolerance and abs(b + c) < tolerance or abs(a + d) < tolerance and abs(b - c) < tolerance
    return Linear(matrix, "similarity" if same else "affine")
