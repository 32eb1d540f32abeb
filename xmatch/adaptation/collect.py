"""Which pairs are trained on and which are held out, from what the command line says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmatch.adaptation.pairs import FoundPairs, Pair, Unusable, draw_labelled, find_pairs, labelled_by, without
from xmatch.adaptation.recipe import GuardSpec
from xmatch.errors import InputError, UsageError

HELD_SHARE = 5
"""One in so many unlabelled pairs is held out at most. Not tuned."""


@dataclass(frozen=True, eq=False)
class PairRequest:
    """What pairs the command line names."""

    labelled: int | Path
    """How many to draw, or where they are."""
    pairs: Path | None = None
    """Folder that labelled ones are drawn from; the others in it are unlabelled."""
    unlabelled: tuple[Path, ...] = ()
    trust_georef: bool = False
    pattern: str | None = None


@dataclass(frozen=True, eq=False)
class Collected:
    labelled: tuple[Pair, ...]
    """To be trained on."""
    unlabelled: tuple[Pair, ...]
    held_labelled: tuple[Pair, ...]
    held_unlabelled: tuple[Pair, ...]
    """Empty where labelled ones are held out."""
    unusable: tuple[Unusable, ...]

    def digest(self) -> str:
        """SHA-256 over which pairs play which part, and over the truths."""
        lines = []
        for part in ("labelled", "unlabelled", "held_labelled", "held_unlabelled"):
            for pair in getattr(self, part):
                truth = "" if pair.truth is None else repr(pair.truth.as_dict())
                lines.append("\t".join((part, *pair.key, truth)))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def collect(asked: PairRequest, guard: GuardSpec, seed: int) -> Collected:
    """Find all pairs, draw the labelled ones, and hold some out.

    Raises:
        InputError: no pair, fewer labelled ones than asked for, or none that could be held out.
        UsageError: no folder is named.
    """
    folders = ([asked.pairs] if asked.pairs else []) + list(asked.unlabelled)
    if not folders:
        raise UsageError("no pairs are named", hint="xmatch adapt DIR, or --unlabelled DIR")
    found = [find_pairs(folder, trust_georef=asked.trust_georef, pattern=asked.pattern) for folder in folders]
    every = without([pair for part in found for pair in part.pairs], ())
    unusable = [row for part in found for row in part.unusable]
    if isinstance(asked.labelled, Path):
        named = labelled_by(asked.labelled, every, trust_georef=asked.trust_georef, pattern=asked.pattern)
        labelled, unusable = without(named.pairs, ()), unusable + list(named.unusable)
    else:
        # Drawn from the folder that is named as such; else from all.
        source = found[0].pairs if asked.pairs else every
        labelled, _ = draw_labelled(FoundPairs(without(source, ()), tuple(unusable)), asked.labelled, seed)
    labelled, held_labelled = _held(labelled, min(guard.labelled, len(labelled) - 2), seed)
    others = without(every, (*labelled, *held_labelled))
    count = 0 if held_labelled else min(guard.unlabelled, max(1, len(others) // HELD_SHARE))
    unlabelled, held_unlabelled = _held(others, count if len(others) > 1 else 0, seed)
    if not held_labelled and not held_unlabelled:
        raise InputError(
            f"{len(labelled)} labelled and {len(others)} unlabelled usable pairs: none is left to judge the result by",
            hint="give three labelled pairs, or two unlabelled ones",
            path=folders[0],
        )
    return Collected(labelled, unlabelled, held_labelled, held_unlabelled, tuple(unusable))


def _held(pairs: Sequence[Pair], count: int, seed: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """All but `count` pairs, and those, drawn evenly."""
    count = max(0, count)
    order = np.random.default_rng(np.random.SeedSequence((seed, 2, len(pairs)))).permutation(len(pairs))
    chosen = set(order[:count].tolist())
    return (
        tuple(pair for i, pair in enumerate(pairs) if i not in chosen),
        tuple(pair for i, pair in enumerate(pairs) if i in chosen),
    )
