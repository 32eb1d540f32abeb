"""Where moving roughly lies on fixed in unlabelled pairs, as the untouched matcher sees it. Found once and kept.

A matcher that tolerates any turn needs no such start; ours lives inside a search, and learns what the search leaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xmatch.adaptation.pairs import Pair, Unusable
from xmatch.errors import XmatchError
from xmatch.framing import frame_pair
from xmatch.io import open_source
from xmatch.io.atomic import atomic_write
from xmatch.matchers import Matcher
from xmatch.registration import RegisterOptions
from xmatch.transforms import Linear, Transform

POSES = "poses.json"
VIEW_PX = 400
"""Longest side of what is searched: a rough place is enough."""

Laid = tuple[Pair, Transform]


def lay_pairs(
    pairs: Sequence[Pair],
    matcher: Matcher | None,
    folder: Path,
    *,
    seed: int,
    threads: int,
    progress: Callable[[float], object] = lambda share: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Laid], list[Unusable]]:
    """Each pair with a guess of the map moving px -> fixed px, and those for which there is none.

    Guesses are saved after each pair, so that a session that goes on does not search again.

    Args:
        matcher: searches; None: centre on centre, at the scale that the files state.
        asked_to_stop: a search ends early when this is so, with what it has.
    """
    known = _read(folder / POSES)
    laid, unusable = [], []
    for number, pair in enumerate(pairs):
        key = "\n".join(pair.key)
        if key not in known:
            if matcher is not None and asked_to_stop():
                break
            known[key] = _guess(pair, matcher, seed, threads)
            _write(folder / POSES, known)
        progress((number + 1) / len(pairs))
        answer = known[key]
        if isinstance(answer, str):
            unusable.append(Unusable(pair.where, answer))
        else:
            laid.append((pair, Linear(np.array(answer), "affine")))
    return laid, unusable


def _guess(pair: Pair, matcher: Matcher | None, seed: int, threads: int) -> list[list[float]] | str:
    """A (3, 3) matrix, or why there is none."""
    try:
        with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
            frame = frame_pair(fixed, moving, RegisterOptions(view_px=VIEW_PX))
        if matcher is None:
            pose = _centred(frame.within.centre, frame.fixed, frame.moving, frame.within.near)
        else:
            found = matcher(frame.fixed, frame.moving, frame.within, seed=seed, threads=threads).hypotheses
            if not found:
                return "the search finds nothing in common to start from"
            pose = found[0].matrix
    except XmatchError as error:
        return str(error)
    return (frame.fixed.to_pixel @ pose @ np.linalg.inv(frame.moving.to_pixel)).tolist()


def _centred(centre: np.ndarray, fixed, moving, near: bool) -> np.ndarray:
    """The middle of the search range; its shift means something only where georeferencing gave it."""
    pose = np.array(centre)
    if not near:
        middle = np.array([moving.width / 2, moving.height / 2])
        pose[:2, 2] = np.array([fixed.width / 2, fixed.height / 2]) - pose[:2, :2] @ middle
    return pose


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write(path: Path, known: dict) -> None:
    with atomic_write(path, overwrite=True) as temporary:
        Path(temporary).write_text(json.dumps(known), encoding="utf-8")
