"""What to try after a rejection, by the options that were used."""

from __future__ import annotations

from xmatch.report.document_types import RegistrationDocument
from xmatch.report.evidence import rows

LOOK = "Check by eye that both images show the same place and share enough of it."
GEOREF = (
    "Georeferencing that is wrong misleads the search: --ignore-georef leaves it out, --assume-crs and "
    "--moving-assume-crs supply a CRS."
)
MIRROR = "Where one image may be turned over, as film and slides are, allow for it: --mirror."

HAND = "A few points set by hand lead the search: --tie-points; with --tie-points-only they are all that counts."
NEAR = "Far from what was given nothing was searched: --near-shift reaches further."
MORE_POINTS = "More points, spread over both images, tell how exact the map through them is: --tie-points."


def advice(document: RegistrationDocument) -> list[str]:
    """Of a registration document: the advice of its weak measures first, then what widens the search."""
    weak = [row.advice for row in rows(document["verdict"]["evidence"]) if row.weak and row.advice]
    return list(dict.fromkeys([*weak, LOOK, *wider(document)]))


def wider(document: RegistrationDocument) -> list[str]:
    """What the search has not tried, with the option that makes it."""
    options = document["provenance"].get("options") or {}
    if options.get("tie_points_only"):
        return [MORE_POINTS]
    if options.get("tie_points") or options.get("initial"):
        return [NEAR]
    if document["fixed"].get("crs") and document["moving"].get("crs"):  # --ignore-georef leaves moving without
        found = [GEOREF]
    else:
        scale = float(options.get("max_scale") or 2.0)
        found = [f"Pixel sizes that differ by more than {scale:g} times were not tried: --max-scale {2 * scale:g}."]
        angle = options.get("max_angle", options.get("max_angle_deg"))
        if angle is not None and angle < 180:
            found.append(f"Turns beyond {angle:g} degrees were not tried: --max-angle 180.")
    return [*found, *([] if options.get("mirror") else [MIRROR]), HAND]
