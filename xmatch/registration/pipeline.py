"""The straight line from two files to a registration with a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from xmatch.coords import pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.geometry import DisplacementGrid, Linear, ThinPlateSpline, Transform
from xmatch.io.rasters.source import Source
from xmatch.registration.options import RegisterOptions
from xmatch.result import Registration, Verdict

if TYPE_CHECKING:
    from xmatch.matchers.base import Matcher
    from xmatch.registration.full_resolution import Level
    from xmatch.registration.view_planning import Frame
    from xmatch.verification.alignment import Alignment

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of the whole done so far, 0 to 1."""

BENT_KINDS = ("tps", "grid")
HELD_SHARE = 0.9
"""Of the overlap must hold tie points that agree with a map that bends, or 90 % of it are not known to be right."""
GRID_NODES, MOST_GRID_NODES, GRID_PX = 64, 256, 0.05
"""Cells along the longer side when a map through two CRS is written as one displacement grid: from so many to so many,
until it is as near to the map as this, fixed px."""


def register(
    fixed: Source, moving: Source, options: RegisterOptions = RegisterOptions(), progress: Progress | None = None
) -> Registration:
    """Find the map that lays `moving` onto `fixed`, and say whether to trust it.

    Raises:
        InputError: an image cannot be registered at all (no valid pixels, no overlap, too small).
        UsageError: no such matcher.
    """
    import cv2

    from xmatch.matchers.registry import load_matcher
    from xmatch.provenance import describe
    from xmatch.registration.full_resolution import sharpen
    from xmatch.registration.identical import identity, same_image
    from xmatch.registration.view_planning import frame_pair

    clock = _Clock(progress)
    cv2.setNumThreads(options.threads)
    matcher = load_matcher(options.matcher, options.weights, options.device)
    clock.done("read", 0.1)
    start = frame_pair(fixed, moving, options)
    if same_image(fixed, moving):
        transform, correspondences, verdict = identity(fixed, options.transform)
        return Registration(
            fixed=describe(fixed),
            moving=describe(moving),
            transform=transform,
            correspondences=correspondences,
            inliers=np.ones(len(correspondences), bool),
            residual_px=np.zeros(len(correspondences)),
            verdict=verdict,
            seconds=clock.seconds(),
            notes=fixed.header.notes + moving.header.notes,
            provenance={"options": asdict(options)},
        )
    attempt = _near_then_wide(matcher, start, options, clock)
    otherwise = getattr(matcher, "otherwise", None)
    # Without evidence there was nothing to match, for anyone.
    if otherwise is not None and not attempt.verdict.accepted and attempt.verdict.evidence:
        second = otherwise()
        clock.done("read", 0.1)
        other = _near_then_wide(second, start, options, clock)
        if other.verdict.probability > attempt.verdict.probability:
            said = f"the first matcher was not sure: this is what {second.name} found"
            attempt = replace(other, notes=(*other.notes, said))
    level, verdict, notes = attempt.level, attempt.verdict, attempt.frame.notes + attempt.notes
    if verdict.accepted:
        level = sharpen(fixed, moving, level, attempt.frame.fixed_plane, options)
        verdict, notes = _judged(attempt.frame, attempt.alignment, level, options), notes + level.notes
        clock.done("full size", 0.9)
    transform = None if level is None else _written_as_one(level.transform, moving)
    correspondences = Correspondences.empty() if level is None else level.correspondences
    residual, inliers = _explained(transform, correspondences, 1.0 if level is None else level.px)
    return Registration(
        fixed=describe(fixed),
        moving=describe(moving),
        transform=transform,
        correspondences=correspondences,
        inliers=inliers,
        residual_px=residual,
        verdict=verdict,
        seconds=clock.seconds(),
        notes=fixed.header.notes + moving.header.notes + notes,
        provenance={"options": asdict(options)},
    )


@dataclass(frozen=True, eq=False)
class _Attempt:
    frame: Frame
    alignment: Alignment | None
    level: Level | None
    """None where no map of the kind asked for was found."""
    verdict: Verdict
    notes: tuple[str, ...] = ()


def _near_then_wide(matcher: Matcher, frame: Frame, options: RegisterOptions, clock: _Clock) -> _Attempt:
    """The attempt near what georeferencing says and, where that is not accepted, everywhere."""
    from xmatch.registration.view_planning import widened

    attempt = _attempt(matcher, frame, options, clock)
    if not frame.within.near or attempt.verdict.accepted:
        return attempt
    wider = _attempt(matcher, widened(frame, options), options, clock)
    return wider if wider.verdict.probability > attempt.verdict.probability else attempt


def _attempt(matcher: Matcher, frame: Frame, options: RegisterOptions, clock: _Clock) -> _Attempt:
    """Match the two views once and weigh the result."""
    from xmatch.registration.full_resolution import Level
    from xmatch.registration.pose_selection import align
    from xmatch.registration.transform_choice import model
    from xmatch.verification.alignment import FORWARD_BACKWARD_PX
    from xmatch.verification.evidence import gather

    matches = matcher(frame.fixed, frame.moving, frame.within, seed=options.seed, threads=options.threads)
    clock.done("match", 0.4)
    alignment = align(
        frame.fixed,
        frame.moving,
        matches,
        seed=options.seed,
        threads=options.threads,
        given=frame.within.centre if frame.within.near else None,
    )
    clock.done("sharpen", 0.6)
    if alignment is None:
        reason = "Nothing in the images could be matched (no texture, or nothing in common)."
        return _Attempt(frame, None, None, Verdict(False, 0.0, reason))
    fitted = model(alignment, frame, options)
    if fitted.transform is None:
        evidence = gather(alignment, frame.fixed, frame.moving, options.seed)
        verdict = Verdict(False, 0.0, f"No {options.transform} explains the tie points.", evidence=evidence)
        return _Attempt(frame, alignment, None, verdict, fitted.notes)
    steady = alignment.forward_backward_px < FORWARD_BACKWARD_PX
    to_matched = np.linalg.inv(frame.fixed.to_pixel)
    level = Level(
        fitted.transform, frame.in_files(alignment.ties), steady, to_matched, fitted.heldout_px, is_finer=False
    )
    verdict = _judged(frame, alignment, level, options)
    clock.done("verify", 0.7)
    return _Attempt(frame, alignment, level, verdict, fitted.notes)


def _judged(frame: Frame, alignment: Alignment, level: Level, options: RegisterOptions) -> Verdict:
    """The verdict on the map of a level."""
    from xmatch.verification.evidence import bending_px, followed_by, gather
    from xmatch.verification.verdict import judge

    mapped = partial(frame.between_views, level.transform)
    evidence = gather(alignment, frame.fixed, frame.moving, options.seed, mapped)
    kind = level.transform.kind
    followed = level.with_heldout(followed_by(alignment, mapped))
    if level.is_finer:
        regions = {"regions_share": followed.regions_share, "regions_off": followed.regions_off}
        followed = replace(level.followed(), **regions)
    if options.transform in BENT_KINDS and evidence["coverage"] < HELD_SHARE:
        # What no tie point holds is continued, and may be wrong by as much as the map bends.
        bend = bending_px(mapped, frame.moving) * frame.px_per_view_px / level.px
        followed = replace(followed, bend_px=max(followed.bend_px, bend))
    return judge(evidence, followed, px_per_matched_px=level.px, kind=kind, **frame.ground)


def _explained(
    transform: Transform | None, correspondences: Correspondences, px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (fixed px) and which correspondences lie within two matched px."""
    if transform is None:
        return np.full(len(correspondences), np.inf), np.zeros(len(correspondences), bool)
    residual = np.linalg.norm(transform(correspondences.moving_xy) - correspondences.fixed_xy, axis=1)
    return residual, residual < 2.0 * px


def _written_as_one(transform: Transform | None, moving: Source) -> Transform | None:
    """A map of several steps as one displacement grid, which files can hold; any other as it is."""
    if isinstance(transform, (Linear, ThinPlateSpline, DisplacementGrid)):
        return transform
    width, height = moving.header.width, moving.header.height
    places = pixel_centres(width, height, step=max(1, max(width, height) // 101)).reshape(-1, 2)
    exact, nodes = transform(places), GRID_NODES
    while True:
        grid = DisplacementGrid.sampled(transform, width, height, max(width, height) / nodes)
        off = np.linalg.norm(grid(places) - exact, axis=1)
        known = np.isfinite(off)
        if nodes >= MOST_GRID_NODES or not known.any() or off[known].max() < GRID_PX:
            return grid
        nodes *= 2


class _Clock:
    """Times stages, and tells whoever wants to know."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._start, self._last = progress, time.perf_counter(), time.perf_counter()
        self._stages: dict[str, float] = {}

    def done(self, stage: str, share: float) -> None:
        now = time.perf_counter()
        self._stages[stage] = self._stages.get(stage, 0.0) + now - self._last
        self._last = now
        if self._progress:
            self._progress(stage, share)

    def seconds(self) -> dict[str, float]:
        return {**self._stages, "total": time.perf_counter() - self._start}
