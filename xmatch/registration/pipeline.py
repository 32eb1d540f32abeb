"""The straight line from two files to a registration with a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
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
    from xmatch.geometry.windows import Window
    from xmatch.registration.attempts import Attempt
    from xmatch.registration.full_resolution import ConfirmedMap
    from xmatch.registration.view_planning import FramedPair
    from xmatch.verification.alignment import Alignment

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of the whole done so far, 0 to 1."""

GRID_NODES, MOST_GRID_NODES, GRID_PX = 64, 256, 0.05
"""Cells along the longer side when a map through two CRS is written as one displacement grid: from so many to so many,
until it is as near to the map as this, fixed px."""


def register(
    fixed: Source, moving: Source, options: RegisterOptions = RegisterOptions(), progress: Progress | None = None
) -> Registration:
    """Find the map that brings `moving` onto `fixed`, and say whether to trust it.

    Raises:
        InputError: an image cannot be registered at all (no valid pixels, no overlap, too small), or a file that the
            options name cannot be used.
        UsageError: no such matcher; numbers that make no map or no part of the fixed image.
    """
    from xmatch.ops.threads import opencv_threads
    from xmatch.registration.check_points import measured, read_check_points
    from xmatch.registration.looked_at import looked_at

    check_points = read_check_points(fixed.header, moving.header, options)
    clock = _Clock(progress)
    if options.tie_points_only:
        from xmatch.registration.by_points import register_by_points

        found = replace(register_by_points(fixed, moving, options), seconds=clock.seconds())
    else:
        with opencv_threads(options.threads), looked_at(fixed, moving, options) as seen:
            found = _registered(fixed, moving, seen, options, clock)
    if check_points is None:
        return found
    return replace(found, check_points=measured(found.transform, check_points, fixed.header))


def _registered(
    fixed: Source,
    moving: Source,
    seen: tuple[Source, Source, Window | None],
    options: RegisterOptions,
    clock: _Clock,
) -> Registration:
    """
    Args:
        seen: both files as matching is to see them, and the part of fixed that it is to look at.
    """
    from xmatch.matchers.registry import load_plan
    from xmatch.provenance import describe
    from xmatch.registration.attempts import attempt_plan
    from xmatch.registration.expected_error import expected_error_map, with_global_error
    from xmatch.registration.full_resolution import sharpen
    from xmatch.registration.identical import identity, same_image
    from xmatch.registration.view_planning import frame_pair

    plan = load_plan(options.matcher, options.weights, options.device, options.companion_weights)
    clock.done("read", 0.1)
    seen_fixed, seen_moving, region = seen
    colour = any(stage.wants_colour for stage in plan)
    start = frame_pair(seen_fixed, seen_moving, options, colour=colour, region=region)
    if same_image(fixed, moving):
        transform, correspondences, verdict, errors = identity(fixed, options.transform)
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
            error_map=errors,
        )
    attempt = attempt_plan(plan, start, options, partial(_weighed, options=options, clock=clock), clock.done)
    frame, confirmed, verdict, notes = attempt.frame, attempt.confirmed, attempt.verdict, attempt.notes
    notes = frame.notes + notes
    error_map = None
    if verdict.accepted and confirmed is not None and attempt.alignment is not None:
        confirmed = sharpen(
            seen_fixed, seen_moving, confirmed, frame.fixed_plane, options, look=frame.fixed, region=region
        )
        if confirmed.is_finer:
            verdict = _judged(attempt.matcher, frame, attempt.alignment, confirmed, options)
        notes += confirmed.notes
        clock.done("full size", 0.85)
        if verdict.accepted:
            error_map = expected_error_map(frame, attempt.alignment, confirmed)
        if error_map is not None:
            verdict = with_global_error(verdict, error_map)
            error_map = error_map if verdict.accepted else None
        clock.done("verify", 0.9)
    found = None if confirmed is None else written_as_one(confirmed.transform, moving)
    correspondences = Correspondences.empty() if confirmed is None else confirmed.correspondences
    residual, inliers = _explained(found, correspondences, 1.0 if confirmed is None else confirmed.px)
    return Registration(
        fixed=describe(fixed),
        moving=describe(moving),
        transform=found,
        correspondences=correspondences,
        inliers=inliers,
        residual_px=residual,
        verdict=verdict,
        seconds=clock.seconds(),
        notes=fixed.header.notes + moving.header.notes + notes,
        provenance={"options": asdict(options)},
        error_map=error_map,
    )


def _weighed(
    matcher: str, frame: FramedPair, alignment: Alignment, *, options: RegisterOptions, clock: _Clock
) -> Attempt:
    """The map between the files that an alignment of their views stands for, and the verdict on it."""
    from xmatch.registration.attempts import Attempt
    from xmatch.registration.full_resolution import ConfirmedMap
    from xmatch.registration.transform_choice import fit_transform
    from xmatch.verification.alignment import FORWARD_BACKWARD_PX
    from xmatch.verification.evidence import gather

    fitted = fit_transform(alignment, frame, options)
    if fitted.transform is None:
        evidence = gather(alignment, frame.fixed, frame.moving, options.seed)
        reason = f"No {options.transform} explains the tie points."
        verdict = Verdict(False, 0.0, reason, evidence=evidence, matcher=matcher)
        return Attempt(matcher, frame, verdict, alignment, notes=fitted.notes)
    confirmed = ConfirmedMap(
        fitted.transform,
        frame.in_files(alignment.ties),
        steady=alignment.forward_backward_px < FORWARD_BACKWARD_PX,
        to_matched=np.asarray(np.linalg.inv(frame.fixed.to_pixel), np.float64),
        is_finer=False,
    )
    verdict = _judged(matcher, frame, alignment, confirmed, options)
    clock.done("verify", 0.7)
    return Attempt(matcher, frame, verdict, alignment, confirmed, fitted.notes)


def _judged(
    matcher: str, frame: FramedPair, alignment: Alignment, confirmed: ConfirmedMap, options: RegisterOptions
) -> Verdict:
    """The verdict on a map, by the tie points of the finest resolution that confirmed it."""
    from xmatch.verification.evidence import followed_by, gather
    from xmatch.verification.verdict import verdict_on

    mapped = partial(frame.between_views, confirmed.transform)
    evidence = gather(alignment, frame.fixed, frame.moving, options.seed, mapped)
    followed = followed_by(alignment, mapped)
    if confirmed.is_finer:
        followed = replace(confirmed.followed(), regions_share=followed.regions_share, regions_off=followed.regions_off)
    return verdict_on(evidence, followed, matcher=matcher, kind=confirmed.transform.kind)


def _explained(
    transform: Transform | None, correspondences: Correspondences, px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (fixed px) and which correspondences lie within two matched px."""
    if transform is None:
        return np.full(len(correspondences), np.inf), np.zeros(len(correspondences), bool)
    residual = np.linalg.norm(transform(correspondences.moving_xy) - correspondences.fixed_xy, axis=1)
    return residual, residual < 2.0 * px


def written_as_one(transform: Transform, moving: Source) -> Transform:
    """A map of several steps as one displacement grid, which files can hold; any other as it is."""
    if isinstance(transform, (Linear, ThinPlateSpline, DisplacementGrid)):
        return transform
    width, height = moving.header.width, moving.header.height
    places = pixel_centres(width, height, step=max(1, max(width, height) // 101)).reshape(-1, 2)
    exact, nodes = transform(places), GRID_NODES
    while True:
        grid = DisplacementGrid.sampled(transform, width, height, max(width, height) / nodes, transform.supported)
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
