"""Scenes with depth, which no map of the plane explains: correspondences that one epipolar geometry does."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.errors import UsageError
from xmatch.estimate.epipolar import EpipolarGeometry, epipolar_geometry
from xmatch.estimate.relative_pose import RelativeMotion
from xmatch.io.rasters.source import Source
from xmatch.registration.options import RegisterOptions
from xmatch.result import Registration, Verdict

Geometry = Literal["fundamental", "essential"]

TOLERANCE_PX = 1.5
"""Of matched px, as protocols of relative poses have it."""
LOG10_TRUSTED = -10.0
"""False alarms, log10, below which a geometry is trusted: unrelated points would show one in ten billion pairs. What
points that depend on each other show is more often; not tuned on real pairs."""
SPREAD_DEG = 15.0
"""Between the motions of halves of the points and of all, up to which a pose is trusted; set on procedural scenes
(docs/lab-log.md)."""


def match_with_depth(
    fixed: Source, moving: Source, options: RegisterOptions, geometry: Geometry, focal_px: tuple[float, float] | None
) -> Registration:
    """Correspondences of the matcher, with those as inliers that lie on each other's epipolar lines; no transform.

    `auto` asks keypoints first, and those that were taught across sensors where what they show is not to be trusted.

    Args:
        focal_px: of fixed and moving, for an essential matrix.

    Raises:
        UsageError: an essential matrix without focal lengths, or a matcher that finds whole maps only.
        InputError: an image is too small or has no valid pixel.
    """
    from xmatch.matchers.registry import load_depth_plan
    from xmatch.provenance import describe
    from xmatch.registration.view_planning import frame_pair

    if (geometry == "essential") != (focal_px is not None):
        raise UsageError("an essential matrix wants focal lengths, and nothing else does", hint="--focal PX or PX,PX")
    begun = time.perf_counter()
    plan = load_depth_plan(options.matcher, options.weights, options.device, options.companion_weights)
    frame = frame_pair(fixed, moving, options, colour=any(stage.wants_colour for stage in plan))
    sizes = [(s.header.width, s.header.height) for s in (fixed, moving)]
    tolerance = TOLERANCE_PX * max(1.0, frame.px_per_view_px)
    found: list[_Fitted] = []
    for stage in plan:
        matcher = stage.build()
        matched = matcher(frame.fixed, frame.moving, frame.within, seed=options.seed, threads=options.threads)
        if matched.proposals and not len(matched.correspondences):
            raise UsageError(
                f"{options.matcher} finds whole maps, and no single correspondences that depth could be told from",
                hint="--matcher auto, sift or xmatch-sparse, or --weights of a published network",
            )
        points = frame.in_files(matched.correspondences)
        fitted = epipolar_geometry(points, sizes[0], sizes[1], tolerance, options.seed, focal_px)
        found.append(_Fitted(points, fitted, _verdict(geometry, points, fitted, matcher.name)))
        if found[-1].verdict.accepted:
            break
    best = max(found, key=_Fitted.rank)
    points, fitted = best.points, best.geometry
    return Registration(
        fixed=describe(fixed),
        moving=describe(moving),
        transform=None,
        correspondences=points,
        inliers=np.zeros(len(points), bool) if fitted is None else fitted.inliers,
        residual_px=np.full(len(points), np.inf) if fitted is None else fitted.residual_px,
        verdict=best.verdict,
        seconds={"total": time.perf_counter() - begun},
        notes=(*frame.notes, "Points on epipolar lines are given; no map of the plane is fitted, and none promised."),
        provenance={
            "options": asdict(options),
            "geometry": geometry,
            "matrix": None if fitted is None else fitted.matrix.tolist(),
            "motion": None if fitted is None or fitted.motion is None else _as_json(fitted.motion),
        },
    )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What one matcher found, px of the files, and whether to trust it."""

    points: Correspondences
    geometry: EpipolarGeometry | None
    verdict: Verdict

    def rank(self) -> tuple[bool, float]:
        """The more the better: trusted ones first, then the rarer among unrelated points."""
        alarms = np.inf if self.geometry is None else self.geometry.log10_false_alarms
        return self.verdict.accepted, -alarms if np.isfinite(alarms) else -np.inf


def _as_json(motion: RelativeMotion) -> dict[str, list[Any]]:
    return {"rotation": motion.rotation.tolist(), "translation": motion.translation.tolist()}


def _verdict(geometry: Geometry, points: Correspondences, fitted: EpipolarGeometry | None, matcher: str) -> Verdict:
    agreeing = 0 if fitted is None else int(fitted.inliers.sum())
    said = f"{agreeing} of {len(points)} correspondences lie on the lines of one {geometry} matrix"
    if fitted is None or not np.isfinite(fitted.log10_false_alarms):
        return Verdict(False, float("nan"), f"{said}: too few to say anything.", matcher=matcher)
    alarms = fitted.log10_false_alarms
    rare = f"unrelated points would show that in one of 10^{-alarms:.0f} pairs"
    said += f"; {rare if alarms < 0 else 'so would unrelated points'}"
    evidence = {"log10_false_alarms": alarms}
    trusted = alarms < LOG10_TRUSTED
    if fitted.motion is not None:
        evidence["spread_deg"] = fitted.spread_deg
        trusted = trusted and fitted.spread_deg <= SPREAD_DEG
        said += f"; halves of the points show motions that are {fitted.spread_deg:.0f} degrees from the one of all"
    return Verdict(trusted, float("nan"), f"{said}.", evidence=evidence, matcher=matcher)
