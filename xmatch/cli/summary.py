"""A registration in words, rendered from its JSON document: verdict, expected error, motion, where the files are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmatch.report.document_types import CheckPointsPart, RegistrationDocument, TransformPart


def summarise(document: RegistrationDocument, written: Iterable[object], verbose: bool = False) -> list[str]:
    """Lines for a person; the first is the verdict."""
    verdict, counts = document["verdict"], document["correspondences"]
    word = "trusted" if verdict["accepted"] else "NOT TRUSTED"
    lines = [f"{word}{probability_in_words(verdict['probability'])}: {verdict['reason']}"]
    if (correction := document.get("correction")) is not None:
        from xmatch.report.correction import in_words

        lines.append(f"correction: {in_words(correction)}")
    if verdict["ce90_px"] is not None:
        ground = "" if verdict["ce90_ground"] is None else f" = {verdict['ce90_ground']:.3g} {verdict['ground_unit']}"
        lines.append(f"expected error: {verdict['ce90_px']:.2f} px{ground} (90 % of positions are nearer)")
    lines += measured_in_words(document.get("check_points"))
    if document["transform"] is not None:
        lines.append(f"{document['transform']['kind']}: {motion(document['transform'], document['moving'])}")
    lines.append(f"{counts['inliers']} of {counts['count']} correspondences agree")
    lines += [f"note: {note}" for note in document["notes"]]
    if not verdict["accepted"]:
        from xmatch.report.advice import wider

        lines += [f"try: {hint}" for hint in wider(document)]
    if verbose:
        # Inliers have been counted above, those of the final map; the verdict's are those of a first look.
        evidence = {name: value for name, value in verdict["evidence"].items() if name != "inliers"}
        lines += [f"{name}: {value:.4g}" for name, value in evidence.items() if value is not None]
        lines += [f"{stage}: {seconds:.2f} s" for stage, seconds in document["seconds"].items()]
    return lines + [f"wrote {path}" for path in written]


def probability_in_words(probability: float | None) -> str:
    """ " (probability 0.97)"; nothing where the images were not looked at."""
    return "" if probability is None or math.isnan(probability) else f" (probability {probability:.2f})"


def measured_in_words(part: CheckPointsPart | None) -> list[str]:
    """What control points say, as a line; none where none were given."""
    if part is None:
        return []
    lines = [f"{part['unmapped']} check points are put nowhere"] if part["unmapped"] else []
    if part["rmse_px"] is None or part["ce90_px"] is None:
        return lines
    in_px = f"RMSE {part['rmse_px']:.2f} px", f"CE90 {part['ce90_px']:.2f} px"
    on_ground = (part["rmse_ground"], part["ce90_ground"])
    said = (
        px if ground is None else f"{px} = {ground:.3g} {part['ground_unit']}"
        for px, ground in zip(in_px, on_ground, strict=True)
    )
    return [f"measured error at {part['count']} check points: {', '.join(said)}", *lines]


def motion(transform: TransformPart, moving: dict[str, Any]) -> str:
    """ "shift (+12.3, -4.0) px at the centre, turn 3.20 degrees clockwise, scale 1.0200"."""
    part = transform.get("affine_part")
    if part is None:
        return "not defined over most of the moving image"
    (x, y), (scale_x, scale_y), angle = part["centre_xy"], part["scale_xy"], part["rotation_deg"]
    scale = f"{scale_x:.4f}" if abs(scale_x - scale_y) < 5e-5 * scale_x else f"{scale_x:.4f} x {scale_y:.4f}"
    words = [
        f"shift ({x - moving['width'] / 2:+.1f}, {y - moving['height'] / 2:+.1f}) px at the centre",
        f"turn {abs(angle):.2f} degrees {'clockwise' if angle >= 0 else 'anticlockwise'}",
        f"scale {scale}",
    ]
    return ", ".join(words + (["mirrored"] if part["mirrored"] else []))
