"""Weights measured on pairs with a known truth: what the network itself says, and the registration that follows."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xmatch.adaptation.base import open_base
from xmatch.adaptation.pairs import Pair, find_pairs
from xmatch.evaluation.certificate import certificate
from xmatch.geometry import Linear, Transform
from xmatch.io import open_source
from xmatch.io.checksum import sha256
from xmatch.matchers.base import Matcher
from xmatch.metrics import corner_error_px
from xmatch.networks.weights import find_weights
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pose_selection import align
from xmatch.registration.transform_choice import fit_transform
from xmatch.registration.view_planning import frame_pair
from xmatch.verification.evidence import followed_by, gather
from xmatch.verification.verdict import verdict_on

MEASURED = ("own", "registered")


def born(folders: Iterable[Path], weights: str, *, seeds: Sequence[int], threads: int) -> dict[str, Any]:
    """The certificate of a result: command, commit, versions and hardware of this session, seeds, and checksums.

    Args:
        folders: of the pairs that were learned from and measured on; every file in them counts.
        weights: that were adapted, a path or the name of a model.
        seeds: of the draws.
    """
    found = [certificate([Path(sys.argv[0]).name, *sys.argv[1:]], jobs=1, threads=threads)]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    checksums = {"data_sha256": digest.hexdigest(), "weights_sha256": sha256(find_weights(weights))}
    return {**checksums, "seed": list(seeds), "runs": found}


def measured(
    weights: str,
    folder: Path,
    *,
    device: str = "auto",
    threads: int = 2,
    limit: int | None = None,
    registered: bool = True,
) -> dict[str, list]:
    """Corner errors of every pair of a folder, fixed px, None where nothing was found; and whether it is "accepted".

    Args:
        weights: path, or name of a model.
        limit: first so many pairs only.
        registered: False: "own" alone, in half of the time.
    """
    base = open_base(weights, weights)
    matcher = base.matcher(None, "cpu" if device == "auto" else device)
    pairs = find_pairs(folder).labelled[:limit]
    options = RegisterOptions(threads=threads, device=device)
    every = [one_pair(matcher, pair, options, registered) for pair in pairs]
    columns = (*MEASURED, "accepted") if registered else MEASURED[:1]
    return {name: list(column) for name, column in zip(columns, zip(*every, strict=True), strict=True)}


def one_pair(matcher: Matcher, pair: Pair, options: RegisterOptions, register: bool) -> tuple[float | None | bool, ...]:
    """Errors of the network's own answer and, if asked for, of the registration, and whether that is accepted."""
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        frame = frame_pair(fixed, moving, options)
        size = moving.header.width, moving.header.height
    found = matcher(frame.fixed, frame.moving, frame.within, seed=0, threads=options.threads)
    own = registered = None
    if len(found.correspondences):
        own = Linear(frame.matrix_between_files(found.proposals[0].matrix), "affine")

    def error(transform: Transform | None) -> float | None:
        return None if transform is None else corner_error_px(transform, pair.truth, *size)

    if not register:
        return (error(own),)
    aligned = align(frame.fixed, frame.moving, found, seed=0, threads=options.threads)
    accepted = False
    if aligned is not None:
        registered = fit_transform(aligned, frame, options).transform
        evidence = gather(aligned, frame.fixed, frame.moving, 0)
        verdict = verdict_on(evidence, followed_by(aligned), matcher=matcher.name)
        accepted = bool(verdict.accepted)
    return error(own), error(registered), accepted
