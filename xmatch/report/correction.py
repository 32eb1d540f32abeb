"""What a registration changes in the place that the files themselves claim: metres east and north, turn, scale."""

from __future__ import annotations

import numpy as np

from xmatch.geometry import Transform
from xmatch.io.crs import LONGITUDE_LATITUDE, full_turn, is_reachable, projected
from xmatch.raster import Georef
from xmatch.report.document_types import Correction, ImageFacts
from xmatch.result import Registration

LATTICE = 17
"""Points along each side of either image; those that lie in the other one too are looked at."""


def correction(registration: Registration) -> Correction | None:
    """How far from its given place the moving image was found, over the part of it that lies in the fixed image.

    Returns:
        None where a file has no place on the ground, or the two do not meet there.
    """
    fixed, given = _georef(registration.fixed, "georef"), _georef(registration.moving, "georef")
    ignored = given is None
    given = given or _georef(registration.moving, "georef_ignored")
    if registration.transform is None or fixed is None or given is None:
        return None
    return _measured(registration, registration.transform, fixed, given, ignored)


def in_words(found: Correction) -> str:
    """ "18.2 m east and 17.5 m south of where its georeferencing puts it, turn 3.60 degrees clockwise, scale 1.002"."""
    east = f"{_metre(found['east_m'])} m {'east' if found['east_m'] >= 0 else 'west'}"
    north = f"{_metre(found['north_m'])} m {'north' if found['north_m'] >= 0 else 'south'}"
    place = f"where its georeferencing{', which was ignored,' if found['ignored'] else ''} puts it"
    turn = f"{abs(found['rotation_deg']):.2f} degrees {'clockwise' if found['rotation_deg'] >= 0 else 'anticlockwise'}"
    return f"{east} and {north} of {place}, turn {turn}, scale {found['scale']:.4f}"


def _metre(value: float) -> str:
    return f"{abs(value):,.0f}" if abs(value) >= 1000 else f"{abs(value):.3g}" if abs(value) >= 0.005 else "0"


def _georef(facts: ImageFacts, name: str) -> Georef | None:
    found = Georef.from_dict(facts[name]) if facts.get(name) else None
    return found if found and found.crs_wkt else None


def _measured(
    registration: Registration, transform: Transform, fixed: Georef, given: Georef, ignored: bool
) -> Correction | None:
    moving_xy, fixed_xy = _overlap(registration, transform)
    fixed_crs, given_crs = fixed.crs_wkt, given.crs_wkt
    if not len(moving_xy) or fixed_crs is None or given_crs is None:
        return None
    if not (is_reachable(given_crs) and is_reachable(fixed_crs)):
        return None
    was = projected(_ground(moving_xy, given), given_crs, fixed_crs)
    found = _ground(fixed_xy, fixed)
    plane = _plane(fixed_crs, found.mean(axis=0))
    if plane is None:
        return None
    was_m, found_m = projected(was, fixed_crs, plane), projected(found, fixed_crs, plane)
    seen = np.isfinite(was_m).all(axis=1) & np.isfinite(found_m).all(axis=1)
    if seen.sum() < 3:
        return None
    ways = found_m[seen] - was_m[seen]
    middle = int(np.linalg.norm(found_m[seen], axis=1).argmin())
    turn, scale = _turn_and_scale(was_m[seen], found_m[seen])
    return {
        "east_m": float(ways[middle, 0]),
        "north_m": float(ways[middle, 1]),
        "distance_m": float(np.hypot(*ways[middle])),
        "rotation_deg": turn,
        "scale": scale,
        "greatest_m": float(np.linalg.norm(ways, axis=1).max()),
        "crs_shift": _short_way(found[seen][middle] - was[seen][middle], fixed_crs).tolist(),
        "ignored": ignored,
    }


def _overlap(registration: Registration, transform: Transform) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) moving px and fixed px of places that both images hold, from a lattice over each: of a small image within
    a large one the large one's lattice may miss all."""
    sizes = [(facts["width"], facts["height"]) for facts in (registration.fixed, registration.moving)]
    fixed_nodes, moving_nodes = (
        np.stack(np.meshgrid(np.linspace(0, w, LATTICE), np.linspace(0, h, LATTICE)), -1).reshape(-1, 2)
        for w, h in sizes
    )
    landed, origin = transform(moving_nodes), transform.inverse(fixed_nodes)
    lands, comes = _within(landed, sizes[0]), _within(origin, sizes[1])
    return np.vstack([moving_nodes[lands], origin[comes]]), np.vstack([landed[lands], fixed_nodes[comes]])


def _within(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.isfinite(xy).all(axis=1) & (xy >= 0).all(axis=1) & (xy <= size).all(axis=1)


def _ground(xy: np.ndarray, georef: Georef) -> np.ndarray:
    return xy @ georef.matrix[:2, :2].T + georef.matrix[:2, 2]


def _short_way(shift: np.ndarray, crs: str) -> np.ndarray:
    """`shift` without full turns of longitude."""
    turn = full_turn(crs)
    return shift if turn is None else shift - (turn * np.round(shift[0] / turn), 0.0)


def _plane(crs: str, middle: np.ndarray) -> str | None:
    """The CRS of a plane that touches the Earth at `middle`, in metres: neither the scale nor the grid north of a
    projection shows in it. None for places that are not on the Earth."""
    [[longitude, latitude]] = projected(middle[None], crs, LONGITUDE_LATITUDE)
    if not np.isfinite([longitude, latitude]).all():
        return None
    return f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +ellps=WGS84 +units=m +type=crs"


def _turn_and_scale(was: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Degrees clockwise and the factor of the similarity that leads from `was` to `found`, metres east and north."""
    old, new = ((xy - xy.mean(axis=0)) @ (1, 1j) for xy in (was, found))
    factor = np.vdot(old, new) / np.vdot(old, old).real
    return float(-np.degrees(np.angle(factor))), float(abs(factor))
