"""Where moving lies on fixed in unlabelled pairs, as a registration sees it. FoundPairs once and kept.

A matcher that tolerates any turn needs no such start; ours lives inside a search, and learns what the search leaves.
What the verdict accepts is also a truth of a kind, which no weights had a say in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.adaptation.pairs import Pair, Unusable
from xmatch.adaptation.verdicts import registered_pose
from xmatch.errors import XmatchError
from xmatch.geometry import Linear, Transform
from xmatch.io import open_source
from xmatch.io.writing.atomic import atomic_write
from xmatch.matchers.base import Matcher
from xmatch.registration.options import RegisterOptions
from xmatch.registration.view_planning import frame_pair

POSES = "poses.json"


@dataclass(frozen=True, eq=False)
class PosedPair:
    """A pair and a guess of how it lies."""

    pair: Pair
    transform: Transform
    """Moving px -> fixed px."""
    accepted: bool
    """Whether the registration is to be trusted."""


def pose_pairs(
    pairs: Sequence[Pair],
    matcher: Matcher | None,
    folder: Path,
    *,
    seed: int,
    threads: int,
    progress: Callable[[float], object] = lambda share: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> tuple[list[PosedPair], list[Unusable]]:
    """Each pair as it is registered, and those that nothing can be found for.

    Guesses are saved after each pair, so that a session that goes on does not search again.

    Args:
        matcher: registers; None: centre on centre, at the scale that the files state, and nothing is accepted.
        asked_to_stop: a search ends early when this is so, with what it has.
    """
    known = _read(folder / POSES)
    posed: list[PosedPair] = []
    unusable: list[Unusable] = []
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
            posed.append(PosedPair(pair, Linear(np.array(answer["moving_to_fixed"]), "affine"), answer["accepted"]))
    return posed, unusable


def _guess(pair: Pair, matcher: Matcher | None, seed: int, threads: int) -> dict[str, Any] | str:
    """A (3, 3) matrix of corner-counted px and whether it is accepted, or why there is none."""
    try:
        if matcher is None:
            return {"moving_to_fixed": _centred(pair).tolist(), "accepted": False}
        found = registered_pose(matcher, pair, seed=seed, threads=threads)
    except XmatchError as error:
        return str(error)
    if found is None:
        return "the search finds nothing in common to start from"
    return {"moving_to_fixed": found.matrix.tolist(), "accepted": found.accepted}


def _centred(pair: Pair) -> np.ndarray:
    """The middle of the search range; its shift means something only where georeferencing gave it."""
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        frame = frame_pair(fixed, moving, RegisterOptions())
    pose = np.array(frame.within.centre)
    if not frame.within.near:
        middle = np.array([frame.moving.width / 2, frame.moving.height / 2])
        pose[:2, 2] = np.array([frame.fixed.width / 2, frame.fixed.height / 2]) - pose[:2, :2] @ middle
    return frame.matrix_between_files(pose)


def _read(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return known
    except (OSError, ValueError):
        return {}


def _write(path: Path, known: dict[str, Any]) -> None:
    with atomic_write(path, overwrite=True) as temporary:
        Path(temporary).write_text(json.dumps(known), encoding="utf-8")
