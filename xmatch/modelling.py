"""From an aligned pair of views to the transform between the files: which kind, fitted to what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.alignment import FORWARD_BACKWARD_PX, Alignment
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.transforms import Linear, Transform, compose

TOLERANCE_VIEW_PX = 2.0
MIN_FREER_SHARE = 0.3
"""Share of the steady tie points that a transform freer than a similarity must explain before it is believed."""


@dataclass(frozen=True, eq=False)
class Model:
    transform: Transform | None
    """moving px -> fixed px of the files."""
    correspondences: Correspondences
    """px of the files."""
    notes: tuple[str, ...] = ()


def model(alignment: Alignment, frame, options) -> Model:
    """The transform between the files that the alignment of their views stands for.

    With `--transform auto`, the judged similarity stands unless tie points that were left out of the fit are
    explained clearly better by a freer kind.
    """
    fixed, moving = frame.fixed, frame.moving
    px = float(np.sqrt(abs(np.linalg.det(fixed.to_pixel[:2, :2]))))
    ties = alignment.ties
    in_files = Correspondences(
        Linear(fixed.to_pixel, "affine")(ties.fixed_xy),
        Linear(moving.to_pixel, "affine")(ties.moving_xy),
        ties.certainty,
    )
    pose = Linear(fixed.to_pixel @ alignment.best.matrix @ np.linalg.inv(moving.to_pixel), "affine")
    pose = Linear(pose.matrix, _stiffest(pose.matrix))
    near = np.linalg.norm(pose(in_files.moving_xy) - in_files.fixed_xy, axis=1) < 8 * px
    steady = (alignment.forward_backward_px < FORWARD_BACKWARD_PX) & near
    mirrored = np.linalg.det(pose.matrix[:2, :2]) < 0
    if frame.prior is not None:
        start, base = frame.prior, in_files.moving_xy
        moved = Correspondences(in_files.fixed_xy, start(base), in_files.certainty)
        residual_pose = _residual_pose(pose, frame)
    else:
        start, moved, residual_pose = None, in_files, pose
    asked = options.transform
    fitted = estimate(
        moved[steady],
        asked,
        seed=options.seed,
        tolerance_px=TOLERANCE_VIEW_PX * px,
        allow_mirror=mirrored,
        moving_size=None,
        **({"stiffest": "similarity", "freest": "homography"} if asked == "auto" else {}),
    )
    notes: tuple[str, ...] = ()
    if asked == "auto":
        freer = fitted.transform is not None and fitted.kind not in ("translation", "similarity")
        believed = freer and fitted.inliers.sum() >= max(12, MIN_FREER_SHARE * steady.sum())
        residual = fitted.transform if believed else residual_pose
    elif fitted.transform is not None:
        residual = fitted.transform
    elif asked in ("similarity", "affine", "homography"):
        residual = residual_pose
        notes = (f"too few tie points agree for a {asked} of their own: the {residual_pose.kind} found stands",)
    else:
        residual = None
    if residual is None:
        return Model(None, in_files, notes)
    return Model(residual if start is None else compose(start, residual), in_files, notes)


def _stiffest(matrix: np.ndarray) -> str:
    """The stiffest kind that an affine matrix is, to rounding."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    tolerance = 1e-6 * np.hypot(a, c)
    same = abs(a - d) < tolerance and abs(b + c) < tolerance or abs(a + d) < tolerance and abs(b - c) < tolerance
    return "similarity" if same else "affine"


def _residual_pose(pose: Linear, frame) -> Linear:
    """What is left of the pose once the prior has been applied, fixed px -> fixed px."""
    linear = frame.prior_linear
    matrix = pose.matrix @ np.linalg.inv(linear)
    return Linear(matrix, _stiffest(matrix))
