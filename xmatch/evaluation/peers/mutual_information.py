"""Mutual information the way SimpleITK's users climb it: Mattes' estimate (SPIE 4322, 2001), gradient descent over a
pyramid, from the centres on each other and many turns. The matcher `mi` of `xmatch.matchers` is another program."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import from_centre_matrix
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.images import Grey, flat_reason, read_grey, unlikely_scale
from xmatch.geometry import Linear
from xmatch.io.transforms.itk_space import simpleitk

STARTS = 16
BINS = 32
ITERATIONS = 60
COARSE, FINE = ((4,), (2.0,), (1.0,)), ((2, 1), (1.0, 0.0), (0.5, 0.25))
"""Reductions, smoothing in px of the full image, and the share of pixels that the metric draws: for all starts, then
for the best. Of a reduced image a share would be too few for `BINS` squared."""
FINISHED = 3
"""Starts whose climb is finished up to full size."""
MIN_SIDE_PX = 32


class MutualInformation:
    """The similarity with the most mutual information among those climbed from `STARTS` turns."""

    name = "mutual-information"

    def check(self, settings: PeerSettings) -> None:
        """Raises UsageError when SimpleITK, an extra, is not installed."""
        simpleitk()

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        seen = read_grey(fixed), read_grey(moving)
        if reason := flat_reason(*seen):
            return Found(None, reason)
        if min(seen[0].width, seen[0].height, seen[1].width, seen[1].height) < MIN_SIDE_PX:
            return Found(None, f"Images of less than {MIN_SIDE_PX} px say too little for a pyramid.")
        climbed = _climbed(*seen, settings.seed, settings.threads)
        if climbed is None:
            return Found(None, "From no start did enough of moving lie on fixed to be compared.")
        reason = unlikely_scale(climbed, seen[0].width, seen[1].width, settings.max_scale)
        return Found(None if reason else Linear(climbed, "similarity"), reason)


def _climbed(fixed: Grey, moving: Grey, seed: int, threads: int) -> np.ndarray | None:
    """(3, 3) moving px -> fixed px of the best end; None when all starts failed."""
    sitk = simpleitk()
    images = [sitk.Cast(sitk.GetImageFromArray(seen.image), sitk.sitkFloat32) for seen in (fixed, moving)]
    masks = [sitk.GetImageFromArray(seen.valid.astype(np.uint8)) for seen in (fixed, moving)]
    centres = [np.array([(seen.width - 1) / 2, (seen.height - 1) / 2]) for seen in (fixed, moving)]
    starts = []
    for start in range(STARTS):
        transform = sitk.Similarity2DTransform()
        # The scale stays 1 at first, as SimpleITK's own initialisers have it: pixels are taken to be of one size.
        transform.SetCenter(centres[0].tolist())
        transform.SetAngle(2 * np.pi * start / STARTS)
        transform.SetTranslation((centres[1] - centres[0]).tolist())
        starts.append(transform)

    def ends(transforms: list, pyramid: tuple) -> list:
        """Where each climb ends, the most information first; those that fail are left out."""
        found: list[tuple[float, int, Any]] = []
        for transform in transforms:
            method = _method(sitk, masks, pyramid, seed, threads)
            method.SetInitialTransform(transform, inPlace=True)
            # Too few samples fall on moving: there is nothing to climb from here.
            with contextlib.suppress(RuntimeError):
                method.Execute(*images)
                found.append((method.GetMetricValue(), len(found), transform))
        return [transform for _, _, transform in sorted(found, key=lambda end: end[:2])]

    best = ends(ends(starts, COARSE)[:FINISHED], FINE)
    if not best:
        return None
    matrix = np.eye(3)
    matrix[:2, :2] = np.array(best[0].GetMatrix()).reshape(2, 2)
    matrix[:2, 2] = best[0].TransformPoint((0.0, 0.0))
    return from_centre_matrix(np.linalg.inv(matrix))


def _method(sitk: Any, masks: list, pyramid: tuple, seed: int, threads: int) -> Any:
    method = sitk.ImageRegistrationMethod()
    # More work units add up in whatever order they finish: results would differ from run to run.
    method.SetNumberOfWorkUnits(1)
    method.SetGlobalDefaultNumberOfThreads(threads)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    # SimpleITK seeds by the clock unless told; 0 means the clock as well.
    method.SetMetricSamplingPercentagePerLevel(pyramid[2], seed + 1)
    method.SetMetricFixedMask(masks[0])
    method.SetMetricMovingMask(masks[1])
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, ITERATIONS, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(pyramid[0])
    method.SetSmoothingSigmasPerLevel(pyramid[1])
    return method
