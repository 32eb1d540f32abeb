"""A registration in words, rendered from its JSON document: verdict, expected error, motion, where the files are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmatch.report.document_types import RegistrationDocument


def summarise(document: RegistrationDocument, written: Iterable[object], verbose: bool = False) -> list[str]:
    """Lines for a person; the first is the verdict."""
    verdict, counts = document["verdict"], document["correspondences"]
    word = "trusted" if verdict["accepted"] else "NOT TRUSTED"
    lines = [f"{word} (probability {verdict['probability']:.2f}): {verdict['reason']}"]
    if document.get("correction"):
        from xmatch.report.correction import in_words

        lines.append(f"correction: {in_words(document['correction'])}")
    if verdict["ce90_px"] is not None:
        ground = "" if verdict["ce90_ground"] is None else f" = {verdict['ce90_ground']:.3g} {verdict['ground_unit']}"
        lines.append(f"expected error: {verdict['ce90_px']:.2f} px{ground} (90 % of positions are nearer)")
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


def motion(transform: Mapping[str, Any], moving: Mapping[str, Any]) -> str:
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
