"""Numbers that say how good matches, registrations, poses and verdicts are; shares and areas under recall in percent.

Pure functions on numpy, one module an idea. What failed has the error infinity, never a missing row; a mean of nothing
is NaN. Positions are px (x, y), the first pixel's centre at (0.5, 0.5). Oddities of published protocols are in `quirks`
and touch nothing else.
"""

from xmatch.metrics.dense import DenseErrors, certainty_reliability, dense_errors, end_point_errors_px
from xmatch.metrics.distances import distances_px
from xmatch.metrics.intervals import bootstrap_interval, wilson_interval
from xmatch.metrics.matches import (
    EPIPOLAR_THRESHOLD,
    epipolar_errors,
    epipolar_precision,
    matching_errors_px,
    mean_matching_accuracy,
)
from xmatch.metrics.pose import (
    RelativePose,
    estimate_relative_pose,
    mean_focal_px,
    pose_auc,
    relative_pose_error_deg,
    rotation_error_deg,
    translation_error_deg,
)
from xmatch.metrics.quirks import QUIRKS, minima_path_seed, quirky_corner_error_px, superglue_mean_focal_px
from xmatch.metrics.recall import auc, shares_up_to, success_rate
from xmatch.metrics.registration import (
    TargetErrors,
    affine_residual_px,
    affine_through,
    corner_error_px,
    grid_error_px,
    landmark_errors_px,
    landmark_robustness,
    lattice_step,
    mean_error_px,
    overlap_errors_px,
    overlap_lattice,
    target_errors,
)
from xmatch.metrics.semantic import Pck, box_scale_px, image_scale_px, keypoint_errors, pck
from xmatch.metrics.tracking import TapVid, tap_vid, to_tap_vid_xy
from xmatch.metrics.verdicts import (
    AcceptRates,
    Reliability,
    RiskCoverage,
    Roc,
    Share,
    accept_rates,
    reliability,
    risk_coverage,
    roc,
    share,
)

__all__ = [
    "EPIPOLAR_THRESHOLD",
    "QUIRKS",
    "AcceptRates",
    "DenseErrors",
    "Pck",
    "RelativePose",
    "Reliability",
    "RiskCoverage",
    "Roc",
    "Share",
    "TapVid",
    "TargetErrors",
    "accept_rates",
    "affine_residual_px",
    "affine_through",
    "auc",
    "bootstrap_interval",
    "box_scale_px",
    "certainty_reliability",
    "corner_error_px",
    "dense_errors",
    "distances_px",
    "end_point_errors_px",
    "epipolar_errors",
    "epipolar_precision",
    "estimate_relative_pose",
    "grid_error_px",
    "image_scale_px",
    "keypoint_errors",
    "landmark_errors_px",
    "landmark_robustness",
    "lattice_step",
    "matching_errors_px",
    "mean_error_px",
    "mean_focal_px",
    "mean_matching_accuracy",
    "minima_path_seed",
    "overlap_errors_px",
    "overlap_lattice",
    "pck",
    "pose_auc",
    "quirky_corner_error_px",
    "relative_pose_error_deg",
    "reliability",
    "risk_coverage",
    "roc",
    "rotation_error_deg",
    "share",
    "shares_up_to",
    "success_rate",
    "superglue_mean_focal_px",
    "tap_vid",
    "target_errors",
    "to_tap_vid_xy",
    "translation_error_deg",
    "wilson_interval",
]
