"""From correspondences, many of them wrong, to one transform: consensus, weighted refit, choice of the kind.

Positions are corner-counted px throughout; a map estimated between such positions is itself in that convention.
Same input and seed, same output.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from xmatch.coords import Floats, corners
from xmatch.correspondences import Correspondences
from xmatch.estimate.bend import SMOOTHING, bent_consensus, fit_spline, near
from xmatch.estimate.choose import MARGIN, beats, folds, heldout_residuals, score
from xmatch.estimate.consensus import (
    affine_consensus,
    homography_consensus,
    similarity_consensus,
    translation_consensus,
)
from xmatch.estimate.fit import fit_affine, fit_homography, fit_similarity, fit_translation
from xmatch.estimate.model import Model, PointMap, WeightedPoints, sane_fit
from xmatch.geometry import DisplacementGrid, Linear, ThinPlateSpline, Transform, compose

ESTIMATORS: dict[str, Model] = {
    "translation": Model(translation_consensus, fit_translation, minimum=1, wanted=3),
    "similarity": Model(similarity_consensus, fit_similarity, minimum=2, wanted=4),
    "affine": Model(affine_consensus, fit_affine, minimum=3, wanted=8),
    "homography": Model(homography_consensus, fit_homography, minimum=4, wanted=12),
    "tps": Model(bent_consensus, fit_spline, minimum=10, wanted=40).smoothed(1e-2),
}
"""kind -> how it is estimated, from the stiffest to the freest. "grid" is "tps", sampled."""

GRID_NODES = 24
"""Cells of a displacement grid along the longer side of moving: twice those that a spline is fitted to."""

JUDGES = 2000
"""Inliers that choose the kind, at most; more would take longer and say the same. Not tuned."""

_MIRROR = Linear(np.diag([-1.0, 1.0, 1.0]), "similarity")


@dataclass(frozen=True)
class Estimate:
    """What the correspondences say, as far as they agree."""

    transform: Transform | None
    """moving px -> fixed px; None when there are too few points, or no sane map of the kind explains them."""
    inliers: np.ndarray
    """(N,) bool: within the tolerance of where the transform puts them."""
    residual_px: np.ndarray
    """(N,) distance of transform(moving_xy) from fixed_xy, fixed px; infinity where there is none."""
    kind: str
    """Kind of the transform; what was asked for when there is none."""
    heldout_px: dict[str, float] = field(default_factory=dict)
    """kind -> error (root mean square, capped) at inliers that the fit did not see, fixed px, for each kind that there
    was to choose from; empty where there was no choice."""

    @property
    def matrix(self) -> Floats | None:
        """(3, 3) of the transform; None when there is none, or it bends."""
        return None if self.transform is None else self.transform.matrix


def estimate(
    correspondences: Correspondences,
    kind: str = "auto",
    *,
    seed: int = 0,
    tolerance_px: float = 3.0,
    moving_size: tuple[int, int] | None = None,
    allow_mirror: bool = False,
    stiffest: str = "translation",
    freest: str = "tps",
    about: Transform | None = None,
) -> Estimate:
    """The transform that most correspondences agree on, refitted to them by weighted least squares.

    Args:
        kind: a name in `ESTIMATORS`, "grid", or "auto": the stiffest kind that no freer one clearly beats at inliers
            held out in spatial blocks.
        tolerance_px: distance in fixed px up to which a correspondence counts as an inlier.
        moving_size: (width, height) px of moving, all of which must lie in front of the horizon; default: the
            box around the points.
        allow_mirror: also try moving turned over.
        stiffest, freest: bounds of what "auto" may choose.
        about: a map that the correspondences were found around: a spline bends about it, and not about a stiff one.

    Too few points, duplicates, points on a line or not finite give an empty result, never an exception.
    """
    n = len(correspondences)
    usable = np.isfinite(np.column_stack([correspondences.fixed_xy, correspondences.moving_xy])).all(axis=1)
    points = WeightedPoints.of(correspondences[usable])
    if not len(points):
        return Estimate(None, np.zeros(n, bool), np.full(n, np.inf), kind)
    frame = corners(*moving_size) if moving_size else points.box()
    asked = [k for k in ESTIMATORS if k == ("tps" if kind == "grid" else kind)]
    if kind == "auto":
        names = list(ESTIMATORS)
        asked = names[names.index(stiffest) : names.index(freest) + 1]
    elif not asked:
        raise ValueError(f"kind {kind!r} is not one of auto, {', '.join(ESTIMATORS)}, grid")
    found = _best(points, asked, _models(about), frame, tolerance_px, seed)
    if allow_mirror:
        turned_about = None if about is None else compose(_MIRROR, about)
        turned = _best(points.mirrored(), asked, _models(turned_about), frame * (-1, 1), tolerance_px, seed)
        if turned.transform is not None and turned.inliers.sum() > found.inliers.sum():
            found = replace(turned, transform=_turned_back(turned.transform))
    if kind == "grid" and found.transform is not None:
        width, height = frame.max(axis=0)
        spline = found.transform
        grid = DisplacementGrid.sampled(spline, width, height, max(width, height) / GRID_NODES, spline.supported)
        residual = points.residual_px(grid)
        found = replace(found, transform=grid, inliers=residual <= tolerance_px, residual_px=residual)
    inliers, residual = np.zeros(n, bool), np.full(n, np.inf)
    inliers[usable], residual[usable] = found.inliers, found.residual_px
    chosen = kind if found.transform is None else found.transform.kind
    return replace(found, inliers=inliers, residual_px=residual, kind=chosen)


def explains_better(
    freer: PointMap, stiffer: PointMap, ties: Correspondences, tolerance_px: float, share: float = MARGIN
) -> bool:
    """Whether `freer` lies clearly nearer to the correspondences than `stiffer`, each part of the image having one
    voice; False where there are too few of them to tell.

    Args:
        freer, stiffer: (N, 2) moving px -> fixed px.
        share: of the stiffer one's error (root mean square, capped) that the freer one's may be at most.
    """
    points = WeightedPoints.of(ties)
    if len(points) < ESTIMATORS["similarity"].wanted:
        return False
    block, _ = folds(points.moving_xy, seed=0)
    one, other = (score(points.residual_px(transform), tolerance_px) for transform in (freer, stiffer))
    return beats(one, other, block, share)


def error_px(transform: PointMap, ties: Correspondences, tolerance_px: float) -> float:
    """Root mean square distance of the correspondences from where a map puts them, fixed px; capped as in a choice of
    kinds, and 0 of none."""
    points = WeightedPoints.of(ties)
    return float(np.sqrt(score(points.residual_px(transform), tolerance_px).mean())) if len(points) else 0.0


def _models(about: Transform | None) -> dict[str, Model]:
    """`ESTIMATORS`, with a spline that bends about a map if there is one."""
    return ESTIMATORS if about is None else ESTIMATORS | {"tps": replace(ESTIMATORS["tps"], consensus=near(about))}


def _best(
    points: WeightedPoints,
    kinds: list[str],
    models: dict[str, Model],
    frame: np.ndarray,
    tolerance_px: float,
    seed: int,
) -> Estimate:
    """The best of `kinds` for finite `points`; `kind` and shapes are those of `points`."""
    nothing = Estimate(None, np.zeros(len(points), bool), np.full(len(points), np.inf), kinds[0])
    candidates = {}
    for kind in kinds:
        model = models[kind]
        mask = model.consensus(points, tolerance_px, seed) if len(points) >= model.minimum else None
        transform = None if mask is None else sane_fit(_stiffened(model), points, mask, tolerance_px, frame)
        if transform is not None:
            candidates[kind] = points.residual_px(transform) <= tolerance_px
    if not candidates:
        return nothing
    # A free map finds some followers in any noise: it needs more of them to be heard, if any kind has enough.
    enough = {kind: mask for kind, mask in candidates.items() if mask.sum() >= models[kind].wanted}
    candidates = enough or candidates
    # max() keeps the first of equals, the stiffer one.
    pool = max(candidates.values(), key=np.count_nonzero)
    chosen, model, heldout = _choose(points[pool], list(candidates), models, tolerance_px, seed)
    transform = sane_fit(_stiffened(model), points, pool, tolerance_px, frame)
    if transform is None:
        return replace(nothing, heldout_px=heldout)
    residual = points.residual_px(transform)
    inliers = residual <= tolerance_px
    if inliers.sum() < model.minimum:
        return replace(nothing, heldout_px=heldout)
    return Estimate(transform, inliers, residual, chosen, heldout)


def _stiffened(model: Model) -> list[Model]:
    """The model and, for where its map would fold, stiffer ones of a spline."""
    stiffer = () if model.smoothing is None else [s for s in SMOOTHING if s > model.smoothing]
    return [model, *(model.smoothed(smoothing) for smoothing in stiffer)]


def _choose(
    points: WeightedPoints, kinds: list[str], models: dict[str, Model], tolerance_px: float, seed: int
) -> tuple[str, Model, dict[str, float]]:
    """The stiffest kind that no freer one clearly beats on `points`, its model, and every kind's held-out error."""
    if len(kinds) == 1 and kinds[0] != "tps":  # how smooth a spline is remains to be chosen
        return kinds[0], models[kinds[0]], {}
    if len(points) > JUDGES:
        points = points[np.sort(np.random.default_rng(seed).choice(len(points), JUDGES, replace=False))]
    block, fold = folds(points.moving_xy, seed)
    tuned = {kind: _tuned(models[kind], kind, points, fold, tolerance_px) for kind in kinds}
    heldout = {kind: float(np.sqrt(loss.mean())) for kind, (_, loss) in tuned.items()}
    best = kinds[0]
    for kind in kinds[1:]:
        if beats(tuned[kind][1], tuned[best][1], block):
            best = kind
    return best, tuned[best][0], heldout


def _tuned(
    model: Model, kind: str, points: WeightedPoints, fold: np.ndarray, tolerance_px: float
) -> tuple[Model, np.ndarray]:
    """`model` and its (N,) capped squared held-out error; of the spline, the one with the best smoothing."""
    models = [model.smoothed(s) for s in SMOOTHING] if kind == "tps" else [model]
    losses = [score(heldout_residuals(m, points, fold), tolerance_px) for m in models]
    best = int(np.argmin([loss.mean() for loss in losses]))
    return models[best], losses[best]


def _turned_back(transform: Transform) -> Transform:
    """What was found for moving turned over, for moving as it is."""
    if isinstance(transform, ThinPlateSpline):
        # The spline's kernel knows distances only: turning its control points over is exact.
        return ThinPlateSpline(transform.moving_xy * (-1, 1), transform.fixed_xy, transform.smoothing)
    return compose(_MIRROR, transform)


__all__ = ["ESTIMATORS", "Estimate", "error_px", "estimate", "explains_better"]
