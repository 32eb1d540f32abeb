"""The last step towards exactness: Mattes mutual information, climbed from a pose that is nearly right."""

from __future__ import annotations

import cv2
import numpy as np

from xmatch.coords import from_centre_matrix, to_centre_matrix
from xmatch.matchers.search import resized
from xmatch.raster import View

SIDE_PX = 320.0
BINS = 32
SAMPLED = 0.5
"""Share of the pixels that the metric draws; seeded, since SimpleITK would seed by the clock."""
FARTHEST = 0.05
"""A result that moves corners by more than this share of the image is not a polish: the start is kept."""


class Polisher:
    """Polishes poses of one pair of views; what belongs to the views is prepared once."""

    def __init__(self, fixed: View, moving: View, *, side_px: float = SIDE_PX, seed: int = 0) -> None:
        self._seed, self._moving = seed, moving
        self._reduction = min(1.0, side_px / np.sqrt(fixed.width * fixed.height))
        (image, valid), factors = resized(fixed, self._reduction)
        self._fixed, self._fixed_mask = _smoothed(image, valid), valid
        self._to_level = np.diag([*factors, 1.0])

    def __call__(self, matrix: np.ndarray) -> tuple[np.ndarray, float]:
        """(matrix, metric) with the similarity `matrix`, (3, 3) moving view px -> fixed view px, polished.

        The metric is the negative mutual information; when nothing better is found nearby, the input comes back.
        """
        import SimpleITK as sitk

        scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        small, factors = resized(self._moving, min(1.0, self._reduction * scale))
        to_small = np.diag([*factors, 1.0])
        start = to_centre_matrix(self._to_level @ matrix @ np.linalg.inv(to_small))
        height, width = self._fixed.shape
        # Only the shared part is compared: what is beyond moving's mask has no say.
        cover = cv2.warpAffine(small[1].astype(np.uint8), start[:2], (width, height), flags=cv2.INTER_NEAREST)
        mask = (self._fixed_mask & (cover > 0)).astype(np.uint8)
        if mask.sum() < 400:
            return matrix, 0.0
        mirrored = np.linalg.det(start[:2, :2]) < 0
        flip = np.diag([-1.0, 1.0, 1.0]) if mirrored else np.eye(3)
        flip[0, 2] = small[0].shape[1] - 1 if mirrored else 0.0
        image = small[0][:, ::-1] if mirrored else small[0]
        valid = small[1][:, ::-1] if mirrored else small[1]
        guess = np.linalg.inv(start @ np.linalg.inv(flip))
        transform = sitk.Similarity2DTransform()
        ys, xs = np.nonzero(mask)
        transform.SetCenter((float(xs.mean()), float(ys.mean())))
        transform.SetScale(float(np.sqrt(np.linalg.det(guess[:2, :2]))))
        transform.SetAngle(float(np.arctan2(guess[1, 0] - guess[0, 1], guess[0, 0] + guess[1, 1])))
        centre = np.array(transform.GetCenter())
        transform.SetTranslation((guess[:2, :2] @ centre + guess[:2, 2] - centre).tolist())
        method = sitk.ImageRegistrationMethod()
        # More than one, and the metric adds up in whatever order they finish: poses would differ from run to run.
        method.SetNumberOfWorkUnits(1)
        method.SetMetricAsMattesMutualInformation(BINS)
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(SAMPLED, self._seed + 1)
        method.SetMetricFixedMask(sitk.GetImageFromArray(mask))
        method.SetMetricMovingMask(sitk.GetImageFromArray(np.ascontiguousarray(valid.astype(np.uint8))))
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.005, 60, relaxationFactor=0.6)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([2, 1])
        method.SetSmoothingSigmasPerLevel([1.0, 0.0])
        method.SetInitialTransform(transform, inPlace=True)
        moving_image = sitk.GetImageFromArray(_smoothed(np.ascontiguousarray(image), np.ascontiguousarray(valid)))
        fixed_image = sitk.GetImageFromArray(self._fixed)
        try:
            before = method.MetricEvaluate(fixed_image, moving_image)
            method.Execute(fixed_image, moving_image)
            after = method.GetMetricValue()
        except RuntimeError:  # too few samples fall on moving: there is nothing to climb
            return matrix, 0.0
        found = np.eye(3)
        found[:2, :2] = np.array(transform.GetMatrix()).reshape(2, 2)
        found[:2, 2] = transform.TransformPoint((0.0, 0.0))
        polished = np.linalg.inv(self._to_level) @ from_centre_matrix(np.linalg.inv(found) @ flip) @ to_small
        if (
            not after < before
            or _moved(polished, matrix, self._moving) > FARTHEST * max(self._moving.width, self._moving.height) * scale
        ):
            return matrix, before
        return polished, after


def _smoothed(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    weight = valid.astype(np.float32)
    return cv2.GaussianBlur(image * weight, (0, 0), 0.7) / np.maximum(cv2.GaussianBlur(weight, (0, 0), 0.7), 1e-3)


def _moved(one: np.ndarray, other: np.ndarray, moving: View) -> float:
    outline = np.array([[0, 0, 1], [moving.width, 0, 1], [moving.width, moving.height, 1], [0, moving.height, 1.0]])
    return float(np.linalg.norm((outline @ (one - other).T)[:, :2], axis=1).max())
