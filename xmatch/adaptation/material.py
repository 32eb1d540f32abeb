"""What an adaptation learns from, and what it is judged by: the scenes of all pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xmatch.adaptation.collect import Collected
from xmatch.adaptation.pairs import Pair, Unusable
from xmatch.adaptation.poses import PosedPair, pose_pairs
from xmatch.adaptation.pseudo import NONE
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.scenes import PairScene, read_scenes
from xmatch.errors import ExitCode, InputError, XmatchError
from xmatch.geometry import Transform
from xmatch.matchers.registry import load_matcher
from xmatch.training.loop import Reporter
from xmatch.training.signals import StopRequest

POSED_BY = "structural"
"""Matcher whose registrations give pairs without a truth their pose; it has no weights."""

Judges = Literal["labelled", "registered", "unlabelled"]


@dataclass(frozen=True, eq=False)
class Material:
    labelled: tuple[PairScene, ...]
    unlabelled: tuple[PairScene, ...]
    held: tuple[PairScene, ...]
    """The guard's."""
    judges: Judges
    """What these are: labelled pairs; unlabelled ones as accepted registrations pose them; unlabelled ones."""
    registered: int
    """Unlabelled pairs among `labelled`: their registration is accepted, and trusted."""
    known: tuple[PairScene, ...]
    """Held-out unlabelled pairs whose truth is known: for the report alone."""
    collected: Collected
    """What was asked for, with what could not be used."""


class AdaptationInterrupted(XmatchError):
    """A signal came before there was anything to train."""

    code = "interrupted"

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__("interrupted; starts that were found are kept", hint="the same command goes on")
        self.exit_code = exit_code


def prepare(
    collected: Collected,
    recipe: AdaptRecipe,
    folder: Path,
    *,
    threads: int,
    talk: Reporter,
    stop: StopRequest,
    until: float = float("inf"),
) -> Material:
    """Read all pairs; those without a truth are posed as registrations find them.

    Args:
        folder: of the run; registrations are kept there.
        until: `time.monotonic()` at which the search for starts ends, with what it has.

    Raises:
        InputError: what can be read is less than what is needed.
        AdaptationInterrupted: `stop` was asked for.
    """
    unusable: list[Unusable] = []

    def read(pairs: Sequence[tuple[Pair, Transform]], labelled: bool) -> list[PairScene]:
        scenes, bad = read_scenes(pairs, labelled, recipe)
        unusable.extend(bad)
        return scenes

    labelled = read(_with_truths(collected.labelled), True)
    held = read(_with_truths(collected.held_labelled), True)
    judges: Judges = "labelled"
    learns = collected.unlabelled if recipe.pseudo != NONE or recipe.trust_verdicts else ()
    posed, lost = pose_pairs(
        (*collected.held_unlabelled, *learns),
        load_matcher(POSED_BY) if recipe.pose == "search" else None,
        folder,
        seed=recipe.seed,
        threads=threads,
        progress=lambda share: talk.progress("look for a start", share),
        asked_to_stop=lambda: stop.exit_code is not None or time.monotonic() > until,
    )
    if stop.exit_code is not None:
        raise AdaptationInterrupted(stop.exit_code)
    unusable.extend(lost)
    keys = {pair.key for pair in collected.held_unlabelled}
    apart, rest = ([one for one in posed if (one.pair.key in keys) == of_held] for of_held in (True, False))
    known: list[PairScene] = []
    if apart:
        every = read(_with_poses(apart), False)
        known = [scene for scene in every if scene.places is not None]
        trusted = [one for one in apart if one.accepted]
        judges = "registered" if trusted else "unlabelled"
        held = every if judges == "unlabelled" else read(_with_poses(trusted), True)
    registered: list[PairScene] = []
    if recipe.trust_verdicts:
        registered = read(_with_poses([one for one in rest if one.accepted]), True)
        labelled += registered
        rest = [one for one in rest if not one.accepted]
    unlabelled = read(_with_poses(rest), False) if recipe.pseudo != NONE else []
    for row in unusable:
        talk.warn(f"passed over: {row.where}: {row.reason}")
    collected = replace(collected, unusable=(*collected.unusable, *unusable))
    _check(collected, held, labelled, unlabelled, unusable)
    count = len({scene.name for scene in registered})
    return Material(tuple(labelled), tuple(unlabelled), tuple(held), judges, count, tuple(known), collected)


def _with_poses(posed: Sequence[PosedPair]) -> list[tuple[Pair, Transform]]:
    return [(one.pair, one.transform) for one in posed]


def _with_truths(pairs: Sequence[Pair]) -> list[tuple[Pair, Transform]]:
    return [(pair, pair.truth) for pair in pairs if pair.truth is not None]


def _check(
    collected: Collected,
    held: Sequence[PairScene],
    labelled: Sequence[PairScene],
    unlabelled: Sequence[PairScene],
    bad: Sequence[Unusable],
) -> None:
    """Raise InputError when what can be read is less than what is needed."""
    names = {scene.name for scene in labelled}
    read = sum(pair.name in names for pair in collected.labelled)
    asked = len(collected.labelled)
    example = f" ({bad[0].where}: {bad[0].reason})" if bad else ""
    if read < asked:
        raise InputError(f"{read} of {asked} labelled pairs can be read{example}")
    if not labelled and not unlabelled:
        raise InputError(f"no pair can be read{example}")
    if not held:
        raise InputError(f"none of the pairs that were held out can be read{example}")
