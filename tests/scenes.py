"""Made-up ground seen by two sensors, and files of it whose true alignment is known."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from xmatch.coords import pixel_centres, to_centre_xy
from xmatch.geometry import Linear, Transform
from xmatch.io import ReadOptions, open_source
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register
from xmatch.result import Registration

SIDE = 240
"""Px of a test image."""
GROUND = 420
"""Cells of a ground's side; a test image shows its middle, so that another view finds ground beyond the edge."""
CRS, CELL_M = "EPSG:32632", 10.0
WEST, NORTH = 600_000.0, 5_200_000.0
"""Where the ground's first corner lies."""


@cache
def ground(seed: int = 0, side: int = GROUND) -> np.ndarray:
    """(side, side) float32 in [0, 1]: hills of noise at several octaves under fields with straight edges."""
    rng = np.random.default_rng(seed)
    land = sum(
        cell / 64 * cv2.resize(rng.uniform(-1, 1, (side // cell + 2,) * 2), (side, side), interpolation=cv2.INTER_CUBIC)
        for cell in (64, 32, 16, 8, 4)
    ).astype(np.float32)
    for _ in range(round(170 * (side / GROUND) ** 2)):
        middle, size = rng.uniform(0, side, 2), rng.uniform(8, 30)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 7)))
        outline = (middle + size * np.stack([np.cos(angles), np.sin(angles)], -1)).round().astype(np.int32)
        x0, y0 = np.clip(outline.min(axis=0), 0, side - 1)
        x1, y1 = np.clip(outline.max(axis=0), (x0, y0), side - 1) + 1
        around = land[y0:y1, x0:x1]
        field = cv2.fillPoly(np.zeros(around.shape, np.uint8), [outline - (x0, y0)], 1)
        around += field * np.float32(rng.choice([-1, 1]) * rng.uniform(0.4, 1.0))
    land = cv2.GaussianBlur(land, (0, 0), 0.7)
    low, high = np.percentile(land, (1, 99))
    land = np.clip((land - low) / (high - low), 0, 1).astype(np.float32)
    land.flags.writeable = False  # drawn once for all tests
    return land


def optical(land: np.ndarray) -> np.ndarray:
    """(H, W) uint8: brighter is more."""
    return (20 + 215 * land).round().astype(np.uint8)


def radar(land: np.ndarray, seed: int = 1, looks: int = 20) -> np.ndarray:
    """(H, W) uint8: brightness falls and rises again with what the camera sees, edges shine, and all is speckled."""
    slope = np.hypot(cv2.Sobel(land, cv2.CV_32F, 1, 0), cv2.Sobel(land, cv2.CV_32F, 0, 1))
    echo = 0.15 + 0.5 * np.abs(land - 0.62) + 0.25 * slope
    speckle = np.random.default_rng(seed).gamma(looks, 1 / looks, land.shape)
    return np.clip(260 * echo * speckle, 1, 255).astype(np.uint8)


def seen(land: np.ndarray, to_ground: Transform, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """(height, width) float32: what lies on the ground under each px of an image that `to_ground` places on it."""
    xy = to_centre_xy(to_ground(pixel_centres(*size).reshape(-1, 2))).astype(np.float32).reshape(size[1], size[0], 2)
    scale = np.sqrt(abs(np.linalg.det(to_ground.matrix[:2, :2])))
    # A larger px gathers the light of all cells that it covers.
    soft = cv2.GaussianBlur(land, (0, 0), 0.5 * scale) if scale > 1.2 else land
    return cv2.remap(soft, xy[..., 0], xy[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def placed(
    angle_deg: float = 0.0, scale: float = 1.0, shift_px=(0.0, 0.0), size: tuple[int, int] = (SIDE, SIDE), mirror=False
) -> Linear:
    """Where an image lies on the ground: middle on middle, turned and scaled about it, then shifted by cells."""
    c, s = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
    turn = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    shift = GROUND / 2 + np.asarray(shift_px) - turn @ (np.array(size) / 2)
    return Linear(np.vstack([np.column_stack([turn, shift]), (0, 0, 1)]), "affine")


FIXED_AT = placed()


def to_fixed(moving_at: Linear, fixed_at: Linear = FIXED_AT) -> Linear:
    """The true map between two images of the same ground, moving px -> fixed px."""
    return fixed_at.inverse.after(moving_at)


def georeferenced(to_ground: Linear) -> dict:
    """What a file says of an image that lies there on the ground, for `write`."""
    on_map = np.array([[CELL_M, 0.0, WEST], [0.0, -CELL_M, NORTH], [0.0, 0.0, 1.0]]) @ to_ground.matrix
    return {"crs": CRS, "transform": Affine(*on_map[:2].ravel())}


def write(path: Path, pixels: np.ndarray, valid: np.ndarray | None = None, **profile) -> Path:
    """`pixels` (H, W) or (C, H, W) as a GeoTIFF; `profile` is rasterio's (crs, transform, nodata, gcps, ...).

    What is not `valid` (H, W) keeps its value and is masked beside it, in the file.
    """
    bands = pixels if pixels.ndim == 3 else pixels[None]
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", dtype=bands.dtype, **shape, **profile) as file:
            file.write(bands)
            if valid is not None:
                file.write_mask(valid)
    return path


def registered(fixed: Path, moving: Path, reading: ReadOptions = ReadOptions(), **options) -> Registration:
    """The registration of two files, by one thread, searched near where they lie unless `options` say otherwise."""
    near = {"threads": 1, "max_angle_deg": 12.0, "max_scale": 1.1}
    with open_source(fixed, reading) as fixed_source, open_source(moving, reading) as moving_source:
        return register(fixed_source, moving_source, RegisterOptions(**near | options))


def distance_px(found: Transform, true: Transform, size: tuple[int, int] = (SIDE, SIDE)) -> float:
    """Mean distance between where two maps put a lattice over a moving image of `size` px, fixed px."""
    steps = np.linspace(0.05, 0.95, 5)
    xy = np.stack(np.meshgrid(steps * size[0], steps * size[1]), -1).reshape(-1, 2)
    return float(np.linalg.norm(found(xy) - true(xy), axis=1).mean())
