"""What a multispectral camera and an imaging radar see of the same landscape.

Both return images on the scene's grid; geometry comes later. The two share relief, cover and objects and
nothing else: crops that differ in colour need not differ in roughness, and the textures are drawn anew.
"""

from __future__ import annotations

import cv2
import numpy as np
from landscape import GRID_M, Cover, Landscape
from noise import fractal, smooth_noise

REFLECTANCE = {
    Cover.MEADOW: (0.045, 0.085, 0.060, 0.36),
    Cover.FIELD: (0.070, 0.095, 0.110, 0.28),
    Cover.FOREST: (0.018, 0.032, 0.021, 0.21),
    Cover.ROCK: (0.105, 0.120, 0.135, 0.20),
    Cover.WATER: (0.052, 0.058, 0.034, 0.012),
    Cover.ROAD: (0.120, 0.128, 0.135, 0.17),
    Cover.GARDEN: (0.055, 0.085, 0.070, 0.27),
    Cover.ROOF: (0.130, 0.145, 0.200, 0.24),
    Cover.PAVED: (0.130, 0.138, 0.145, 0.17),
}
"""Blue, green, red and near infrared, of typical Sentinel-2 surface reflectances."""

CROPS = np.array(
    [
        (0.040, 0.085, 0.042, 0.46),  # young wheat
        (0.050, 0.125, 0.060, 0.50),  # grass, beet
        (0.055, 0.140, 0.125, 0.44),  # rape in flower
        (0.095, 0.135, 0.180, 0.27),  # ripe cereal
        (0.120, 0.160, 0.215, 0.29),  # stubble
        (0.080, 0.100, 0.130, 0.19),  # ploughed, dry
        (0.058, 0.070, 0.088, 0.13),  # ploughed, wet
        (0.035, 0.062, 0.040, 0.33),  # maize, clover
    ]
)

BACKSCATTER_DB = {
    Cover.MEADOW: -12.0,
    Cover.FIELD: -11.0,
    Cover.FOREST: -7.0,
    Cover.ROCK: -9.0,
    Cover.WATER: -23.0,
    Cover.ROAD: -18.5,
    Cover.GARDEN: -8.5,
    Cover.ROOF: -6.0,
    Cover.PAVED: -12.0,
}
"""Sigma nought at C band, VV, about 38 degrees off nadir."""

SUN_AZIMUTH_DEG, SUN_ELEVATION_DEG = 152.0, 48.0
RADAR_LOOK_DEG, RADAR_INCIDENCE_DEG = 100.0, 38.0
"""The radar passes on the west side and looks just south of east."""


def optical_reflectance(scene: Landscape, rng: np.random.Generator) -> np.ndarray:
    """(4, H, W) float32 blue, green, red, near infrared at the top of a slightly hazy atmosphere."""
    shape = scene.cover.shape
    image = np.array([REFLECTANCE[c] for c in Cover], np.float32)[scene.cover]
    draw = np.random.default_rng(11)
    crop = CROPS[draw.integers(0, len(CROPS), 65521)] * draw.uniform(0.82, 1.2, (65521, 1))
    hue = draw.normal(1.0, (0.10, 0.13, 0.20, 0.12), (65521, 4)).clip(0.5, 1.7)

    field = scene.cover == Cover.FIELD
    image[field] = crop[scene.parcel[field]]
    low = scene.height_m - scene.height_m.min() < 150
    for where in (scene.cover == Cover.ROOF, (scene.cover == Cover.MEADOW) & low):
        image[where] *= hue[scene.parcel[where]]

    # Tramlines every 20 m or so, uneven growth, tree crowns.
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    across = y * np.cos(scene.row_angle) - x * np.sin(scene.row_angle)
    rows = np.where(field, 0.05 * np.sin(2 * np.pi * across / 5.2), 0.0)
    growth = np.where(field | (scene.cover == Cover.MEADOW), 0.09 * fractal(rng, shape, 36, 4, 0.6), 0.0)
    crowns = np.where(
        scene.cover == Cover.FOREST, 0.20 * smooth_noise(rng, shape, 2.2) + 0.12 * fractal(rng, shape, 50), 0
    )
    yards = np.where(scene.cover == Cover.GARDEN, 0.25 * smooth_noise(rng, shape, 3), 0)
    image *= (1 + rows + growth + crowns + yards).clip(0.3, 2.0)[..., None].astype(np.float32)

    light = _sunlight(scene)
    image *= (0.22 + 0.78 * light)[..., None]
    haze = np.array([0.060, 0.038, 0.022, 0.008], np.float32) * (1 + 0.12 * smooth_noise(rng, shape, 600))[..., None]
    return np.moveaxis(image + haze, -1, 0)


def _sunlight(scene: Landscape) -> np.ndarray:
    """(H, W) direct light relative to flat ground, with the shadows that trees, houses and crests throw."""
    azimuth, elevation = np.radians(SUN_AZIMUTH_DEG), np.radians(SUN_ELEVATION_DEG)
    east, south = np.sin(azimuth), -np.cos(azimuth)
    ground = cv2.GaussianBlur(scene.height_m, (0, 0), 1.2)
    down, right = np.gradient(ground, GRID_M)
    normal_z = 1 / np.sqrt(1 + right**2 + down**2)
    facing = normal_z * (np.sin(elevation) - np.cos(elevation) * (right * east + down * south))
    light = (facing / np.sin(elevation)).clip(0, 1.7)
    surface = (scene.height_m + scene.canopy_m).astype(np.float32)
    shaded = _hidden(surface, (east, south), np.tan(elevation), reach_px=12)
    return np.where(shaded, 0.35 * light, light).astype(np.float32)


def _hidden(surface: np.ndarray, towards: tuple[float, float], rise: float, reach_px: int) -> np.ndarray:
    """(H, W) bool: where higher ground within `reach_px` stands between a cell and the source `towards` (x, y) it."""
    hidden = np.zeros(surface.shape, bool)
    for step in range(1, reach_px + 1):
        shift = np.float32([[1, 0, -step * towards[0]], [0, 1, -step * towards[1]]])
        ahead = cv2.warpAffine(surface, shift, surface.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        hidden |= ahead - surface > step * GRID_M * rise
    return hidden


def radar_sigma0(scene: Landscape, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32 backscatter, linear, terrain corrected in geometry but not in brightness, without speckle."""
    shape = scene.cover.shape
    sigma_db = np.array([BACKSCATTER_DB[c] for c in Cover], np.float32)[scene.cover]
    draw = np.random.default_rng(23)
    moisture = draw.normal(0, 2.3, 65521).astype(np.float32)
    farmed = np.isin(scene.cover, (Cover.FIELD, Cover.MEADOW))
    sigma_db += np.where(farmed, moisture[scene.parcel], 0)
    sigma_db += np.where(farmed, 0.8 * fractal(rng, shape, 70, 4), 0)
    look = np.radians(RADAR_LOOK_DEG)
    # Rows that lie across the look direction act as a grating; others scatter less.
    sigma_db += np.where(scene.cover == Cover.FIELD, 1.6 * np.cos(2 * (scene.row_angle - look)), 0)
    sigma_db += np.where(scene.cover == Cover.WATER, 1.2 * smooth_noise(rng, shape, 70), 0)
    sigma_db += np.where(scene.cover == Cover.FOREST, 1.3 * smooth_noise(rng, shape, 4), 0)
    sigma = 10 ** (sigma_db / 10)

    # Ground slopes that face the radar crowd more area into a cell; the factor is Ulander's (1996), bounded.
    away = (np.sin(look), -np.cos(look))
    down, right = np.gradient(cv2.GaussianBlur(scene.height_m, (0, 0), 2.5), GRID_M)
    tilt = np.arctan(right * away[0] + down * away[1])
    incidence = np.radians(RADAR_INCIDENCE_DEG)
    sigma *= (np.sin(incidence) / np.sin((incidence - tilt).clip(0.20, 1.5))).clip(0.35, 4.5) ** 1.6

    near = (-away[0], -away[1])
    surface = (scene.height_m + scene.canopy_m).astype(np.float32)
    sigma *= np.where(_hidden(surface, near, 1 / np.tan(incidence), reach_px=6), 0.22, 1.0)
    step = (
        cv2.warpAffine(scene.canopy_m, np.float32([[1, 0, -away[0] * 1.2], [0, 1, -away[1] * 1.2]]), shape[::-1])
        - scene.canopy_m
    )
    wall = np.maximum(step, 0)
    house = cv2.dilate((scene.cover == Cover.ROOF).astype(np.uint8), np.ones((5, 5))) > 0
    # A wall and the ground before it are a corner reflector; the edge of a wood only a brighter strip.
    sigma += np.where(house, 0.35 * wall * rng.gamma(0.8, 1.2, shape), 0.03 * wall)
    return cv2.GaussianBlur(sigma.astype(np.float32), (0, 0), 0.8)
