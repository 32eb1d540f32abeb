"""From an aligned pair of views to the transform between the files: which kind, fitted to what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.correspondences import Correspondences
from xmatch.estimate import error_px, estimate, explains_better
from xmatch.geometry import Linear, ThinPlateSpline, Transform, compose
from xmatch.geometry.matrices import scale_of
from xmatch.geometry.outlines import nodes_over
from xmatch.registration.bend_refinement import FIELD_NODES
from xmatch.registration.options import BENT_KINDS, RegisterOptions, is_freer
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
    notes: tuple[str, ...] = ()


def fit_transform(alignment: Alignment, frame: FramedPair, options: RegisterOptions) -> FittedTransform:
    """The transform between the files that the alignment of their views stands for.

    Fitted on the planes of the frame, where a similarity is one of what is shown. With `--transform auto`, the judged
    similarity stands unless tie points that were left out of the fit are explained clearly better by a freer kind; and
    a georeferencing stands as it is unless what was found explains them clearly better. A map that bends was made from
    more than tie points, and stands as it is.
    """
    ties = frame.on_planes(alignment.ties)
    to_fixed_plane = frame.fixed_plane @ frame.fixed.to_pixel
    from_moving_plane = np.linalg.inv(frame.moving_plane @ frame.moving.to_pixel)
    px = scale_of(to_fixed_plane)
    pose = _stiffest(to_fixed_plane @ alignment.best.matrix @ from_moving_plane)
    around: Transform = pose
    if alignment.best.refined is not None:
        around = compose(Linear(from_moving_plane, "affine"), alignment.best.refined, Linear(to_fixed_plane, "affine"))
    off_px = np.linalg.norm(around(ties.moving_xy) - ties.fixed_xy, axis=1)
    steady = ties[(alignment.forward_backward_px < FORWARD_BACKWARD_PX) & (off_px < 8 * px)]
    if around.matrix is None and options.transform in ("auto", *BENT_KINDS):
        found, notes = _or_as_georeferenced(around, steady, frame, options, px)
        if options.transform == "tps":
            found = _as_spline(found, frame)
        return FittedTransform(frame.between_files(found), notes)
    fitted = estimate(
        steady,
        options.transform,
        seed=options.seed,
        tolerance_px=TOLERANCE_VIEW_PX * px,
        allow_mirror=np.linalg.det(pose.matrix[:2, :2]) < 0,
        stiffest="similarity",
        freest="homography",
    )
    if options.transform == "auto":
        enough = fitted.inliers.sum() >= max(MIN_FREER_TIES, MIN_FREER_SHARE * len(steady))
        freer = fitted.transform if fitted.kind != "similarity" and enough else None
        if freer is not None and is_freer(around.kind, freer.kind):
            # The judge saw more than these when it preferred a freer map.
            errors_px = (error_px(one, steady, TOLERANCE_VIEW_PX * px) for one in (freer, around))
            freer = freer if next(errors_px) < next(errors_px) else None
        found, notes = _or_as_georeferenced(freer or around, steady, frame, options, px)
        return FittedTransform(frame.between_files(found), notes)
    if fitted.transform is not None:
        return FittedTransform(frame.between_files(fitted.transform))
    # A pose is a similarity of what is shown, whatever kind whole px of the views make of it between the planes.
    stands = alignment.best.refined is None or not is_freer(around.kind, options.transform)
    if options.transform in ("similarity", "affine", "homography") and stands:
        said = f"too few tie points agree on a map of the kind {options.transform}: the {around.kind} found stands"
        return FittedTransform(frame.between_files(around), (said,))
    return FittedTransform(None)


def _or_as_georeferenced(
    found: Transform, steady: Correspondences, frame: FramedPair, options: RegisterOptions, px: float
) -> tuple[Transform, tuple[str, ...]]:
    """What was found, or the georeferencing where that is as good; and what to say of it."""
    may_stay = options.transform == "auto" and frame.prior is not None and not frame.is_given
    if may_stay and not explains_better(found, AS_GEOREFERENCED, steady, TOLERANCE_VIEW_PX * px):
        return AS_GEOREFERENCED, ("tie points leave the georeferencing as it is",)
    return found, ()


def _as_spline(bent: Transform, frame: FramedPair) -> ThinPlateSpline:
    """A map between the planes that bends, through its values at a lattice over moving's view."""
    onto_plane = Linear(frame.moving_plane @ frame.moving.to_pixel, "affine")
    nodes = onto_plane(nodes_over(frame.moving.width, frame.moving.height, FIELD_NODES))
    return ThinPlateSpline(nodes, bent(nodes))


def _stiffest(matrix: Floats) -> Linear:
    """An affine (3, 3) matrix as the stiffest kind that it is, to rounding."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    tolerance = 1e-6 * np.hypot(a, c)
    same = abs(a - d) < tolerance and abs(b + c) < tolerance or abs(a + d) < tolerance and abs(b - c) < tolerance
    return Linear(matrix, "similarity" if same else "affine")
