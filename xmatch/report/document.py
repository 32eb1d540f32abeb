"""The JSON document of a registration. Outside programs build on its names: registration.schema.json holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import date
from os import PathLike, fspath
from typing import Any

import numpy as np

from xmatch.report.affine_part import affine_part
from xmatch.report.correction import correction
from xmatch.report.document_types import CheckPointsPart, RegistrationDocument, ResidualsPart, ShownPart
from xmatch.report.previews import Previews
from xmatch.result import ErrorMap, Registration

SCHEMA = "xmatch.registration/1"
"""Changes with any change of a name or a meaning in the document."""

HISTOGRAM_BINS = 20
"""Not tuned: at 520 px of width a bar is still easy to see."""


def registration_document(
    registration: Registration,
    *,
    output: str | PathLike | None,
    previews: Previews | None = None,
    files: Iterable[str | PathLike] = (),
) -> RegistrationDocument:
    """Everything that a registration says, as plain dicts, lists, strings, finite numbers and None.

    Args:
        output: the registered raster that was written, or None when there is none.
        previews: pictures of the result; they add the share of the fixed image that is covered.
        files: everything that was written, the report included.

    The `transform` object can be handed to `xmatch.geometry.transform_from_dict` as it is.
    """
    verdict = registration.verdict
    return _plain(
        {
            "schema": SCHEMA,
            "ok": verdict.accepted,
            "fixed": registration.fixed,
            "moving": registration.moving,
            "output": output,
            "files": list(files),
            "verdict": {
                "accepted": verdict.accepted,
                "probability": verdict.probability,
                "reason": verdict.reason,
                "ce90_px": verdict.ce90_px,
                "ce90_ground": verdict.ce90_ground,
                "ground_unit": verdict.ground_unit,
                "evidence": verdict.evidence,
                "matcher": verdict.matcher,
                "calibration": verdict.calibration,
            },
            "correction": correction(registration),
            "transform": transform_part(registration),
            "correspondences": {
                "count": len(registration.correspondences),
                "inliers": int(np.count_nonzero(registration.inliers)),
            },
            "residuals": _residuals(registration),
            "check_points": check_points_part(registration),
            "error_map": _error_map(registration.error_map),
            "shown": previews and _shown(previews),
            "seconds": registration.seconds,
            "notes": registration.notes,
            "provenance": registration.provenance,
        }
    )


def check_points_part(registration: Registration) -> CheckPointsPart | None:
    """What control points say; None where none were given."""
    found = registration.check_points
    if found is None:
        return None
    return {
        "count": found.count,
        "unmapped": found.unmapped,
        "rmse_px": found.rmse_px,
        "ce90_px": found.ce90_px,
        "max_px": found.max_px,
        "rmse_ground": found.rmse_ground,
        "ce90_ground": found.ce90_ground,
        "ground_unit": found.ground_unit,
    }


def to_json(document: RegistrationDocument, *, indent: int | None = None) -> str:
    """ASCII, so that any terminal and any file name survives; never NaN or Infinity, which are not JSON."""
    return json.dumps(document, indent=indent, allow_nan=False)


def transform_part(registration: Registration) -> dict[str, Any] | None:
    """The map with its affine part; None where there is none."""
    transform = registration.transform
    if transform is None:
        return None
    width, height = registration.moving.get("width"), registration.moving.get("height")
    return {
        "matrix": None,
        **transform.as_dict(),
        "direction": "moving_to_fixed",
        "pixel_origin": "corner",
        "affine_part": affine_part(transform, width, height) if width and height else None,
    }


def _residuals(registration: Registration) -> ResidualsPart | None:
    """Statistics of the inliers' residuals, fixed px; None when there are none."""
    residual_px = registration.residual_px[registration.inliers]
    residual_px = residual_px[np.isfinite(residual_px)]
    if not len(residual_px):
        return None
    # An exact fit has a range of zero, which would leave numpy to invent one around it, negative side included.
    upper = float(residual_px.max()) or 1.0
    counts, edges = np.histogram(residual_px, bins=HISTOGRAM_BINS, range=(0.0, upper))
    return {
        "median_px": float(np.median(residual_px)),
        "rms_px": float(np.sqrt(np.mean(residual_px**2))),
        "p90_px": float(np.percentile(residual_px, 90)),
        "max_px": float(residual_px.max()),
        "histogram": {"edges_px": edges.tolist(), "counts": counts.tolist()},
    }


def _error_map(found: ErrorMap | None) -> dict[str, Any] | None:
    """Errors to three decimals: no one knows more of them."""
    if found is None:
        return None
    ground = found.ce90_ground
    return {
        "origin_xy": found.origin_xy,
        "cell_px": found.cell_px,
        "ce90_px": found.ce90_px.round(3),
        "ce90_ground": None if ground is None else [[float(f"{value:.4g}") for value in row] for row in ground],
        "ground_unit": found.ground_unit,
        "extrapolated": found.extrapolated,
        "extrapolated_share": float(found.share[found.extrapolated].sum()),
    }


def _shown(previews: Previews) -> ShownPart:
    return {
        "fixed_window": list(previews.fixed_frame.window),
        "moving_window": list(previews.moving_frame.window),
        "overlap": previews.overlap,
    }


def _plain(value: Any) -> Any:
    """`value` in JSON's own types; a number that is not finite becomes None."""
    match value:
        case None | bool() | int() | str():
            # int() also catches IntEnum and its like, which json writes as numbers.
            return value
        case float():
            return float(value) if math.isfinite(value) else None
        case np.ndarray() | np.generic():
            return _plain(value.tolist())
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case PathLike():
            return _plain(fspath(value))
        case date():
            return value.isoformat()
        case _:
            return str(value)
