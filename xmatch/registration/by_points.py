"""A registration by points set by hand alone, for images in which nothing matches."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from xmatch.errors import InputError
from xmatch.geometry import DisplacementGrid, Linear, ThinPlateSpline
from xmatch.io.rasters.source import Source
from xmatch.registration.ground import ground_size
from xmatch.registration.hand_points import HandFit, enough_points, fit_hand_points, read_hand_points
from xmatch.registration.options import RegisterOptions
from xmatch.result import Registration, Verdict

AUTO_KINDS = ("similarity", "affine", "homography", "tps")
RAYLEIGH_90 = float(np.sqrt(np.log(10)))
"""90th percentile of a distance over its root mean square, where both coordinates err alike."""
MOST_SHARE = 0.05
"""Points that foretell each other no better than to this share of the fixed image's shorter side do not agree. Not
tuned."""


def register_by_points(fixed: Source, moving: Source, options: RegisterOptions) -> Registration:
    """The map through the points, with what they say of each other as its expected error.

    Trusted where each point, left out, is foretold by the others; never where there are only as many as the map needs:
    it goes through these whatever they are.

    Raises:
        InputError: the file cannot be read, or its points make no map of the kind asked for.
    """
    from xmatch.provenance import describe

    assert options.tie_points is not None, "the options have been checked"
    path = options.tie_points
    points = read_hand_points(path, fixed.header, moving.header)
    enough_points(points, path, options.transform)
    kinds = AUTO_KINDS if options.transform == "auto" else (options.transform,)
    found = fit_hand_points(points, kinds, fixed.header, moving.header)
    if found is None:
        raise InputError("its points make no map of that kind: they lie in one place or on a line", path=path)
    transform = found.transform
    if not isinstance(transform, (Linear, ThinPlateSpline, DisplacementGrid)):
        width, height = moving.header.width, moving.header.height
        step_px = max(width, height) / 64
        transform = DisplacementGrid.sampled(transform, width, height, step_px, transform.supported)
    residual = np.linalg.norm(transform(points.moving_xy) - points.fixed_xy, axis=1)
    return Registration(
        fixed=describe(fixed),
        moving=describe(moving),
        transform=transform,
        correspondences=points,
        inliers=np.ones(len(points), bool),
        residual_px=residual,
        verdict=_verdict(found, residual, fixed),
        notes=fixed.header.notes + moving.header.notes,
        provenance={"options": asdict(options)},
    )


def _verdict(found: HandFit, residual_px: np.ndarray, fixed: Source) -> Verdict:
    ground = ground_size(fixed.header)
    count, missed = len(residual_px), found.left_out_rms_px
    rests = f"Rests on {count} points set by hand alone; the images were not looked at."
    if np.isnan(missed):
        reason = f"{rests} A {found.kind} goes through so few whatever they are: more are needed to tell its error."
        return Verdict(False, float("nan"), reason)
    worst = int(np.nanargmax(found.left_out_px))
    rms = float(np.sqrt(np.mean(residual_px**2)))
    told = (
        f"{rests} Their residual is {rms:.2g} px; left out one by one they are missed by {missed:.2g} px "
        f"(root mean square), point {worst + 1} by most ({found.left_out_px[worst]:.2g} px)."
    )
    accepted = missed <= MOST_SHARE * min(fixed.header.width, fixed.header.height)
    ce90 = RAYLEIGH_90 * missed if accepted else None
    return Verdict(
        accepted,
        float("nan"),
        told if accepted else f"The points do not agree with each other. {told}",
        ce90_px=ce90,
        ce90_ground=None if ce90 is None or ground.per_px is None else ce90 * ground.per_px,
        ground_unit=ground.unit if ground.per_px is not None else None,
    )
