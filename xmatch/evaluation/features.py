"""What features say of a pair: of points that are asked for, and of cells that choose each other. There is no map.

Keypoints of objects and landmarks are asked for as the protocols have it, those of moving in fixed; tracks from the
first frame to the later one. Poses and matching accuracy are of the cells that are each other's nearest.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from xmatch.correspondences import Correspondences
from xmatch.errors import UsageError
from xmatch.evaluation.matches import save_matches
from xmatch.evaluation.prediction_rows import Answer, FoundPoints
from xmatch.evaluation.prepared import PreparedPair
from xmatch.evaluation.recipe import EvalRecipe, MatcherSpec
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import as_landmarks, as_tracks

if TYPE_CHECKING:
    from xmatch.networks.matcha.config import Task as FeatureTask
    from xmatch.networks.matcha.features import Feature
    from xmatch.networks.matcha.loading import FeatureOptions
    from xmatch.pointwise.images import Seen


def check_feature(name: str, spec: MatcherSpec, recipe: EvalRecipe) -> None:
    """That a feature can be made, before any pair is run; errors as `load_feature`."""
    _loaded(name, _options(spec, recipe))


def refuse_maps(name: str, task: Task) -> None:
    """
    Raises:
        UsageError: a pair of this task is judged by its map alone, and a feature has none.
    """
    if task.kind in ("registration", "bend") and not task.keeps_matches:
        raise UsageError(
            f"{name} finds points and no map, which {task.kind} is judged by",
            hint="features are for keypoints, landmarks, tracks, poses and the matching accuracy of homographies",
        )


def answer(
    pair: PreparedPair, task: Task, name: str, spec: MatcherSpec, recipe: EvalRecipe, matches: Path | None
) -> Answer:
    """What is saved of a pair but for sizes and cost.

    Args:
        name: of the feature.
        spec: where its networks come from.
        matches: folder for correspondences.

    Raises:
        XmatchError: an image cannot be read, or memory does not suffice.
    """
    from xmatch.networks.matcha.loading import usual_side
    from xmatch.pointwise.points import find_points

    options = _options(spec, recipe)
    feature = _loaded(name, options)
    asked: FeatureTask = {"semantic": "semantic", "tracking": "temporal"}.get(task.kind, "geometric")  # type: ignore[assignment]
    side = usual_side(name, asked)
    fixed, moving = (_seen(path, asked, side) for path in (pair.fixed, pair.moving))
    points: FoundPoints | None = None
    count = 0
    if task.kind in ("semantic", "landmarks"):
        found = find_points(feature, moving, fixed, asked, as_landmarks(pair.truth).moving_xy, device=options.device)
        points = {"xy": found.moving_xy.tolist(), "visible": None}
    elif task.kind == "tracking":
        from xmatch.pointwise.points import track_points

        asked_xy = as_tracks(pair.truth).fixed_xy
        (tracked,) = track_points(feature, fixed, [moving], asked_xy, device=options.device)
        points = {"xy": tracked.xy.tolist(), "visible": tracked.visible.tolist()}
    else:
        found = find_points(feature, fixed, moving, asked, device=options.device)
        count = len(found.certainty)
        if matches is not None:
            save_matches(matches, task.id, Correspondences(found.fixed_xy, found.moving_xy, found.certainty))
    return {
        "transform": None,
        "points": points,
        "verdict": {"accepted": True, "probability": None, "reason": None},
        "correspondences": {"count": count or None, "inliers": None},
    }


def _seen(path: str, asked: FeatureTask, side_px: int | None) -> Seen:
    from xmatch.io import open_source
    from xmatch.pointwise.images import see_file

    with open_source(path) as source:
        return see_file(source, asked, side_px)


def _options(spec: MatcherSpec, recipe: EvalRecipe) -> FeatureOptions:
    from xmatch.networks.matcha.loading import FeatureOptions
    from xmatch.ops.devices import resolved

    device = resolved(recipe.register.device)
    plain = FeatureOptions()
    return FeatureOptions(
        diffusion=spec.diffusion or plain.diffusion,
        dino=spec.dino or plain.dino,
        weights=spec.weights,
        seed=recipe.register.seed,
        device=device,
        half=device != "cpu",
        cache=spec.feature_cache,
    )


@lru_cache(maxsize=1)
def _loaded(name: str, options: FeatureOptions) -> Feature:
    """Once a process: reading its networks takes longer than a pair."""
    from xmatch.networks.matcha.loading import load_feature

    return load_feature(name, options)
