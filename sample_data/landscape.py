"""A made-up river valley: relief, land cover, parcels and buildings on a fine grid. Sensors look at it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from noise import distance_px, fractal, smooth_noise, smoothstep
from relief import carve
from scipy.spatial import cKDTree

GRID_M = 5.0
"""Pixel size of the scene's grid, metres."""


class Cover(IntEnum):
    MEADOW, FIELD, FOREST, ROCK, WATER, ROAD, GARDEN, ROOF, PAVED = range(9)


@dataclass
class Landscape:
    """What is there, before any sensor looks. All layers (H, W), GRID_M apart, north up."""

    height_m: np.ndarray
    """Bare ground above sea level."""
    canopy_m: np.ndarray
    """Trees and buildings above the ground."""
    cover: np.ndarray
    """`Cover` of each cell."""
    parcel: np.ndarray
    """Number of the field or meadow that a cell belongs to; each has its own crop."""
    row_angle: np.ndarray
    """Direction of the crop rows, radians."""


def landscape(rng: np.random.Generator, shape: tuple[int, int]) -> Landscape:
    """A valley with hills, a meandering river, a lake, farmland, woods, roads, a town and two villages."""
    bed = _river_bed(rng, shape)
    from_river_m = GRID_M * distance_px(bed)
    height = _relief(rng, shape, from_river_m)
    parcel, row_angle, hedges = _parcels(rng, shape)
    slope = cv2.GaussianBlur(np.hypot(*np.gradient(height, GRID_M)), (0, 0), 9)

    # Woods where it is too steep or wet to farm, up to the tree line; above it pasture, then bare rock.
    wooded = slope / 0.20 + 0.55 * fractal(rng, shape, 160, 6, 0.6) + 0.5 * smoothstep(300, 0, from_river_m)
    tree_line = 300 + 45 * fractal(rng, shape, 120, 5, 0.6)
    above = height - height.min()
    cover = np.where(parcel % 5 < 3, Cover.FIELD, Cover.MEADOW).astype(np.uint8)
    cover[(slope > 0.14) | (above > 150)] = Cover.MEADOW
    cover[(wooded > 1.0) & (above < tree_line)] = Cover.FOREST
    cover[hedges & (fractal(rng, shape, 40, 3) > 0.5) & (above < 150)] = Cover.FOREST
    cover[(above > tree_line + 60) & (slope + 0.05 * fractal(rng, shape, 30, 5, 0.7) > 0.33)] = Cover.ROCK

    width_m = (32 + 10 * smooth_noise(rng, shape, 80)).clip(20)
    lake = _lake(rng, shape, from_river_m)
    water = (from_river_m < width_m) | lake
    cover[water] = Cover.WATER

    scene = Landscape(height, np.zeros(shape, np.float32), cover, parcel, row_angle)
    places = _settlement_sites(rng, cover, slope, from_river_m)
    _build_roads(rng, scene, places)
    for centre, radius_m in zip(places, (750, 260, 220), strict=False):
        _build_settlement(rng, scene, centre, radius_m)
    crowns = 17 + 3 * fractal(rng, shape, 60, 3) + 2.5 * smooth_noise(rng, shape, 2)
    scene.canopy_m[cover == Cover.FOREST] = crowns[cover == Cover.FOREST]
    scene.height_m[water] = cv2.GaussianBlur(height, (0, 0), 20)[water]
    return scene


def _river_bed(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool centre line: the sine-generated curve of Langbein and Leopold (USGS Prof. Paper 422-H, 1966)."""
    height, width = shape
    s = np.arange(0.0, 4.0 * width)
    swing = 1.25 + 0.35 * np.interp(s, np.linspace(0, s[-1], 24), rng.standard_normal(24)).clip(-1, 1)
    wave = 300 + 70 * np.interp(s, np.linspace(0, s[-1], 15), rng.standard_normal(15))
    heading = -0.12 + swing * np.sin(np.cumsum(2 * np.pi / wave))
    x, y = np.cumsum(np.cos(heading)) - 30, 0.60 * height + np.cumsum(np.sin(heading))
    bed = np.zeros(shape, np.uint8)
    cv2.polylines(bed, [np.stack([x, y], axis=1).round().astype(np.int32)], False, 1)
    return bed.astype(bool)


def _relief(rng: np.random.Generator, shape: tuple[int, int], from_river_m: np.ndarray) -> np.ndarray:
    """Flat floor along the river, low hills to the south, mountains to the north, all drained by side valleys."""
    north = smoothstep(0.62, 0.12, np.linspace(0, 1, shape[0])[:, None] + 0.06 * smooth_noise(rng, shape, 400))
    rise = smoothstep(150, 1500, from_river_m + 130 * smooth_noise(rng, shape, 120))
    steepness = 0.012 + rise * (0.12 + 0.72 * north) * (1 + 0.3 * fractal(rng, shape, 200, 3)).clip(0.4)
    height = 410 + carve(rng, from_river_m < 60, steepness, GRID_M, coarse_px=12)
    return (height + 3 * rise * (0.3 + 2 * north) * fractal(rng, shape, 40, 4)).astype(np.float32)


def _parcels(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Farmland as people divide it: a few hundred metres of one direction, cut into strips and then into fields.

    Returns the parcel numbers (H, W) int32, the row directions (H, W) and a mask of the lanes between.
    """
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + 7 * smooth_noise(rng, shape, 90), y + 7 * smooth_noise(rng, shape, 90)
    count = max(6, height * width // 22000)
    seeds = rng.uniform((0, 0), (width, height), (count, 2)).astype(np.float32)
    zone = cKDTree(seeds).query(np.stack([x, y], axis=-1))[1]
    # Neighbouring zones share a direction, more or less: that of the valley, turned a little from place to place.
    trend = smooth_noise(rng, shape, 450)[tuple(np.clip(seeds.astype(int), 0, (width - 1, height - 1)).T[::-1])]
    angle = (trend * 0.7 + 0.15 * rng.standard_normal(count)).astype(np.float32)[zone]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    breadth, length = (rng.uniform(low, high, count).astype(np.float32)[zone] for low, high in ((18, 58), (50, 130)))
    strip = np.floor(v / breadth)
    field = np.floor(u / length + (strip * 0.618) % 1)
    key = (zone * 7919 + strip.astype(np.int64) * 104729 + field.astype(np.int64) * 1299709) % 65521
    parcel = key.astype(np.int32)
    lanes = np.zeros(shape, bool)
    lanes[:, 1:] |= zone[:, 1:] != zone[:, :-1]
    lanes[1:] |= zone[1:] != zone[:-1]
    return parcel, angle, cv2.dilate(lanes.astype(np.uint8), np.ones((3, 3))).astype(bool)


def _lake(rng: np.random.Generator, shape: tuple[int, int], from_river_m: np.ndarray) -> np.ndarray:
    height, width = shape
    y, x = np.mgrid[0:height, 0:width]
    centre = np.array([0.33 * width, 0.78 * height])
    reach = np.hypot((x - centre[0]) / 1.5, y - centre[1])
    return (reach < 62 + 16 * fractal(rng, shape, 70, 4)) & (from_river_m > 80)


def _settlement_sites(
    rng: np.random.Generator, cover: np.ndarray, slope: np.ndarray, from_river_m: np.ndarray
) -> list[np.ndarray]:
    """(x, y) of a town and two villages on dry, flat ground, far from each other and from the edges."""
    height, width = cover.shape
    dry = (slope < 0.09) & (from_river_m > 250) & (cover != Cover.WATER)
    dry[: height // 5], dry[-height // 5 :], dry[:, : width // 5], dry[:, -width // 5 :] = False, False, False, False
    candidates = np.argwhere(dry)[:, ::-1]
    if len(candidates) == 0:
        return []  # a cutting too small or too steep to live in
    wish = np.array([[0.60, 0.47], [0.36, 0.40], [0.63, 0.77]]) * (width, height)
    return [candidates[np.argmin(np.hypot(*(candidates - place).T))] for place in wish]


def _build_roads(rng: np.random.Generator, scene: Landscape, places: list[np.ndarray]) -> None:
    """Curved roads between the places and out of the scene, crossing the river by bridges."""
    height, width = scene.cover.shape
    if not places:
        return
    town, north, south = places
    ends = [
        np.array(p) * (width, height) for p in ((-0.02, 0.42), (1.02, 0.36), (0.52, 1.02), (1.02, 0.72), (0.9, -0.02))
    ]
    links = [(town, north), (town, south), (north, ends[0]), (town, ends[1]), (south, ends[2]), (south, ends[3])]
    lanes = np.zeros(scene.cover.shape, np.uint8)
    for start, end in links:
        _draw_road(rng, lanes, start, end, thickness=2)
    motorway = np.zeros_like(lanes)
    _draw_road(rng, motorway, np.array([-0.02, 0.55]) * (width, height), np.array([1.02, 0.55]) * (width, height), 4)
    scene.cover[(lanes | motorway) > 0] = Cover.ROAD


def _draw_road(rng: np.random.Generator, canvas: np.ndarray, start, end, thickness: int) -> None:
    t = np.linspace(0, 1, 120)[:, None]
    span = np.asarray(end, float) - start
    normal = np.array([-span[1], span[0]])
    sway = sum(rng.normal(0, 0.09 / k**1.3) * np.sin(np.pi * k * t) for k in range(1, 7))
    path = start + t * span + sway * normal
    cv2.polylines(canvas, [path.round().astype(np.int32)], False, 1, thickness)


def _build_settlement(rng: np.random.Generator, scene: Landscape, centre: np.ndarray, radius_m: float) -> None:
    """Streets on a bent grid, houses along them, larger blocks in the middle, halls at one edge."""
    radius = radius_m / GRID_M
    height, width = scene.cover.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x - centre[0], y - centre[1]
    ragged = np.hypot(x, y) < radius * (1 + 0.22 * fractal(rng, scene.cover.shape, radius * 0.7, 4))
    inside = ragged & ~np.isin(scene.cover, (Cover.WATER, Cover.ROAD))
    scene.cover[inside] = Cover.GARDEN
    angle = rng.uniform(0, np.pi / 2)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    scene.cover[inside & ((np.mod(u, 26) < 1.6) | (np.mod(v, 17) < 1.6))] = Cover.PAVED

    for cell_v in np.arange(-radius * 1.2, radius * 1.2, 17):
        for cell_u in np.arange(-radius * 1.2, radius * 1.2, 4.6):
            for side in (4.0, 12.5):
                if rng.random() < 0.22:
                    continue
                _build_house(rng, scene, centre, angle, (cell_u + rng.normal(0, 0.5), cell_v + side), radius, inside)


def _build_house(rng, scene, centre, angle, place, radius, inside) -> None:
    core = np.hypot(*place) < 0.35 * radius and radius > 80
    hall = place[0] > 0.62 * radius and radius > 80
    size = rng.uniform((3.6, 3.0), (5.5, 5.5)) if core else rng.uniform((1.8, 1.6), (3.4, 2.8))
    if hall:
        if rng.random() < 0.8:
            return
        size = rng.uniform((9, 7), (18, 12))
    half = size / 2
    corners = np.array([[-half[0], -half[1]], [half[0], -half[1]], [half[0], half[1]], [-half[0], half[1]]]) + place
    c, s = np.cos(angle), np.sin(angle)
    outline = corners @ np.array([[c, s], [-s, c]]) + centre
    x, y = outline.mean(axis=0).round().astype(int)
    if not (0 <= y < inside.shape[0] and 0 <= x < inside.shape[1] and inside[y, x]):
        return
    polygon = (outline * 16).round().astype(np.int32)
    floors = rng.uniform(9, 16) if core else rng.uniform(5, 9)
    cv2.fillConvexPoly(scene.cover, polygon, int(Cover.ROOF), shift=4)
    cv2.fillConvexPoly(scene.canopy_m, polygon, float(floors), shift=4)
    # Every roof has its own colour; parcel numbers choose it.
    cv2.fillConvexPoly(scene.parcel, polygon, int(rng.integers(0, 65521)), shift=4)
