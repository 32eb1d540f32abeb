"""Truths as they are saved beside predictions, so that metrics need nothing but the file.

A map of the whole image is its matrix, rows of a list, or what it says of itself where it bends; any other truth is a
dict of lists under its fields' names.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from xmatch.datasets import LandmarkTruth, PoseTruth, TrackTruth, TransformTruth, Truth
from xmatch.evaluation.prediction_rows import SavedTruth
from xmatch.geometry import Chain, Linear, ThinPlateSpline, Transform, homography, transform_from_dict, translation

CHAIN = "chain"
"""The kind of maps one after another, which no registration answers."""


def saved(truth: Truth | None) -> SavedTruth | None:
    """JSON-ready; None for unrelated images."""
    if truth is None:
        return None
    if isinstance(truth, TransformTruth):
        return saved_map(truth.transform)
    values = {field.name: getattr(truth, field.name) for field in fields(truth)}
    return {name: None if value is None else np.asarray(value).tolist() for name, value in values.items()}


def saved_map(transform: Transform) -> SavedTruth:
    """JSON-ready: a matrix as its rows, unless these would not say on which side of its horizon the image lies."""
    if isinstance(transform, Linear) and transform.w_sign > 0:
        return transform.matrix.tolist()
    return map_as_dict(transform)


def map_as_dict(transform: Any) -> dict[str, Any]:
    """What a map says of itself; of a chain, what its steps say."""
    if isinstance(transform, Chain):
        return {"kind": CHAIN, "steps": [map_as_dict(step) for step in transform.steps]}
    return transform.as_dict()


def as_transform(truth: SavedTruth | None) -> Transform | None:
    """The saved map; None when the truth is none."""
    if isinstance(truth, dict) and truth.get("kind") == CHAIN:
        steps = (as_transform(step) for step in truth["steps"])
        return Chain(tuple(step for step in steps if step is not None))
    if isinstance(truth, dict) and "kind" in truth:
        return transform_from_dict(truth)
    return homography(np.array(truth)) if isinstance(truth, list) else None


def as_map(truth: SavedTruth | None) -> Transform | None:
    """What lays moving onto fixed as the truth says: the saved map, or the spline through the saved points.

    None where the truth says no such thing: poses, tracks, and points that are fewer than three or on one line. Of
    points that were marked twice in moving the first counts.
    """
    if not isinstance(truth, dict) or "kind" in truth or "fixed_xy" not in truth or "visible" in truth:
        return as_transform(truth)
    moving_xy, first = np.unique(_points(truth["moving_xy"]), axis=0, return_index=True)
    if len(first) < 3:
        return None
    try:
        return ThinPlateSpline(moving_xy, _points(truth["fixed_xy"])[first])
    except ValueError:
        return None


def as_landmarks(truth: SavedTruth | None) -> LandmarkTruth:
    fields_of = _fields(truth)
    fixed_box, moving_box = (_box(fields_of[name]) for name in ("fixed_box", "moving_box"))
    return LandmarkTruth(_points(fields_of["fixed_xy"]), _points(fields_of["moving_xy"]), fixed_box, moving_box)


def as_pose(truth: SavedTruth | None) -> PoseTruth:
    # Pinhole cameras have no distortion; those saved by earlier versions do not even name it.
    known = _fields(truth)
    found = {field.name: _array(known.get(field.name)) for field in fields(PoseTruth)}
    return PoseTruth(**found)


def as_tracks(truth: SavedTruth | None) -> TrackTruth:
    known = _fields(truth)
    visible = np.array(known["visible"], dtype=bool)
    return TrackTruth(_points(known["fixed_xy"]), _points(known["moving_xy"]), visible)


def cut(truth: SavedTruth | None, x0: int, y0: int) -> SavedTruth | None:
    """The truth after the first `x0` columns and `y0` rows of moving have been cut away."""
    if truth is None:
        return None
    if isinstance(truth, list):
        # Not through Linear: scaling to matrix[2, 2] = 1 would lose on which side of its horizon the image lies.
        return (np.array(truth) @ translation(x0, y0).matrix).tolist()
    changed = dict(truth)
    if "moving_xy" in changed:
        changed["moving_xy"] = (_points(changed["moving_xy"]) - (x0, y0)).tolist()
    if changed.get("moving_box"):
        changed["moving_box"] = (np.array(changed["moving_box"]) - (x0, y0, x0, y0)).tolist()
    if "moving_intrinsics" in changed:
        shift = np.array([[0, 0, x0], [0, 0, y0], [0, 0, 0]])
        changed["moving_intrinsics"] = (np.array(changed["moving_intrinsics"]) - shift).tolist()
    return changed


def _points(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _fields(truth: SavedTruth | None) -> dict[str, Any]:
    """
    Raises:
        ValueError: it is a map, or none.
    """
    if not isinstance(truth, dict):
        raise ValueError("this truth is no points, poses or tracks")
    return truth


def _box(corners: list[float] | None) -> tuple[float, float, float, float] | None:
    if corners is None:
        return None
    x0, y0, x1, y1 = corners
    return x0, y0, x1, y1


def _array(values: list[Any] | None) -> Any:
    return None if values is None else np.array(values, dtype=np.float64)
