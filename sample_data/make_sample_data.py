"""Draw the sample images and write down the truth about them.

    python sample_data/make_sample_data.py [FOLDER]

Each pair shows ONE made-up scene, sampled by two sensors. The map between the two images is chosen first and is
exact; what the files say of their own position is then made wrong on purpose.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import rasterio
import tifffile
from landscape import GRID_M, Landscape, landscape
from landscape_sensors import optical_reflectance, radar_sigma0
from rasterio.transform import Affine
from rasterio.warp import transform as reproject
from tissue import GRID_UM, brightfield_rgb, fluorescence, tissue

SEED = 7
OPTICAL_CRS, OPTICAL_M = "EPSG:32632", 10.0
OPTICAL_AFFINE = Affine(OPTICAL_M, 0, 601230.0, 0, -OPTICAL_M, 5276540.0)
SAR_CRS, SAR_M, SAR_LOOKS = "EPSG:32633", 14.0, 3
SAR_TURN_DEG, SAR_SHIFT_PX = -3.6, (18.0, -11.0)
"""How far the radar image's georeferencing is off, in its own pixels."""
SWATH_TURN_DEG = -8.0
HISTOLOGY_UM, FLUORESCENCE_UM = 2.0, 3.1
SLIDE_TURN_DEG, SLIDE_SHIFT_UM = 35.0, (23.0, -14.0)
OME_UUID = "00000000-0000-4000-8000-000000000000"
"""The format wants one; a constant keeps the files the same from run to run."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    truth = {
        "pixel_origin": "corner",
        "direction": "moving_to_fixed",
        "tie_points_columns": ["fixed_x", "fixed_y", "moving_x", "moving_y"],
        "pairs": [
            landscape_pair(folder, optical_size=(640, 560), sar_size=(480, 440)),
            tissue_pair(folder, fixed_size=(520, 460), moving_size=(400, 380)),
        ],
    }
    text = json.dumps(truth, indent=1)
    one_line_a_row = re.sub(r"\[\s+([^][]*?)\s+\]", lambda row: "[" + re.sub(r"\s+", " ", row[1]) + "]", text)
    (folder / "truth.json").write_text(one_line_a_row + "\n")


def landscape_pair(folder: Path, optical_size, sar_size, scene_of=landscape) -> dict:
    """Write optical.tif and sar.tif; sizes are (width, height) px, `scene_of(rng, shape)` draws the scene.

    Returns the pair's entry in truth.json.
    """
    rng = np.random.default_rng(SEED)
    sar_affine = _declared_sar_affine(optical_size, sar_size)
    misplaced = about(np.array(sar_size) / 2, turned(SAR_TURN_DEG)) @ shifted(SAR_SHIFT_PX)
    to_fixed = _similarity_of_declared(sar_affine, sar_size) @ misplaced

    fixed_to_grid, shape = _scene_grid(to_fixed, optical_size, sar_size, OPTICAL_M / GRID_M)
    scene: Landscape = scene_of(rng, shape)
    optical = sampled(optical_reflectance(scene, rng), fixed_to_grid, optical_size)
    sar = sampled(radar_sigma0(scene, rng)[None], fixed_to_grid @ to_fixed, sar_size)
    valid = _swath(sar_size)
    _write_optical(folder / "optical.tif", _camera(optical, rng))
    _write_sar(folder / "sar.tif", _speckled_amplitude(sar[0], valid, rng), sar_affine)
    return _truth("optical.tif", "sar.tif", to_fixed, optical_size, valid)


def tissue_pair(folder: Path, fixed_size, moving_size, scene_of=tissue) -> dict:
    """Write histology.ome.tif and fluorescence.ome.tif; returns the pair's entry in truth.json."""
    rng = np.random.default_rng(SEED)
    scale = np.diag([FLUORESCENCE_UM / HISTOLOGY_UM] * 2 + [1.0])
    centre = np.array(fixed_size) / 2 + np.array(SLIDE_SHIFT_UM) / HISTOLOGY_UM
    to_fixed = shifted(centre) @ turned(SLIDE_TURN_DEG) @ scale @ shifted(-np.array(moving_size) / 2)

    fixed_to_grid, shape = _scene_grid(to_fixed, fixed_size, moving_size, HISTOLOGY_UM / GRID_UM)
    scene = scene_of(rng, shape)
    histology = sampled(brightfield_rgb(scene, rng), fixed_to_grid, fixed_size)
    glow = sampled(fluorescence(scene, rng), fixed_to_grid @ to_fixed, moving_size)
    histology = (255 * (histology + rng.normal(0, 0.004, histology.shape))).round().clip(0, 255).astype(np.uint8)
    # About 300 photons from a bright nucleus, 4 counts each, above the camera's offset.
    photons = rng.poisson(300 * glow.clip(0)) * 4 + rng.normal(100, 2, glow.shape)
    _write_ome(folder / "histology.ome.tif", np.moveaxis(histology, 0, -1), "YXS", HISTOLOGY_UM, None)
    glow16 = photons.round().clip(0, 65535).astype(np.uint16)
    _write_ome(folder / "fluorescence.ome.tif", glow16, "CYX", FLUORESCENCE_UM, ["DAPI", "cytokeratin"])
    valid = np.ones(moving_size[::-1], bool)
    return _truth("histology.ome.tif", "fluorescence.ome.tif", to_fixed, fixed_size, valid)


# Geometry. All matrices (3, 3), pixels counted from the corner of the first one.


def shifted(by) -> np.ndarray:
    return np.array([[1.0, 0.0, by[0]], [0.0, 1.0, by[1]], [0.0, 0.0, 1.0]])


def turned(angle_deg: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def about(centre, matrix: np.ndarray) -> np.ndarray:
    return shifted(centre) @ matrix @ shifted(-np.asarray(centre))


def matrix_of(affine: Affine) -> np.ndarray:
    return np.array(affine).reshape(3, 3)


def mapped(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return np.asarray(xy) @ matrix[:2, :2].T + matrix[:2, 2]


def corners(size) -> np.ndarray:
    return np.array([[0, 0], [size[0], 0], size, [0, size[1]]], float)


def sampled(layers: np.ndarray, to_grid: np.ndarray, size) -> np.ndarray:
    """(C, H, W) layers of the scene through a sensor whose pixels lie at `to_grid`(px), blurred by its aperture."""
    scale = np.sqrt(np.linalg.det(to_grid[:2, :2]))
    centred = shifted((-0.5, -0.5)) @ to_grid @ shifted((0.5, 0.5))  # OpenCV counts from pixel centres
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    blurred = (cv2.GaussianBlur(layer, (0, 0), 0.42 * scale) for layer in layers.astype(np.float32))
    return np.stack(
        [cv2.warpAffine(b, centred[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for b in blurred]
    )


def _scene_grid(
    to_fixed: np.ndarray, fixed_size, moving_size, cells_per_px: float
) -> tuple[np.ndarray, tuple[int, int]]:
    """Matrix fixed px -> cells of a grid that holds both images, and that grid's (rows, columns)."""
    seen = np.vstack([corners(fixed_size), mapped(to_fixed, corners(moving_size))])
    margin = 8 * np.ones(2)
    origin, end = np.floor(seen.min(axis=0) - margin), np.ceil(seen.max(axis=0) + margin)
    columns, rows = ((end - origin) * cells_per_px).astype(int)
    return np.diag([cells_per_px, cells_per_px, 1.0]) @ shifted(-origin), (int(rows), int(columns))


def _declared_sar_affine(optical_size, sar_size) -> Affine:
    """North up in the next UTM zone, its middle on the optical image's."""
    x, y = mapped(matrix_of(OPTICAL_AFFINE), np.array(optical_size) / 2)
    [x], [y] = reproject(OPTICAL_CRS, SAR_CRS, [x], [y])
    west, north = np.round((x - SAR_M * sar_size[0] / 2, y + SAR_M * sar_size[1] / 2))
    return Affine(SAR_M, 0, west, 0, -SAR_M, north)


def _similarity_of_declared(sar_affine: Affine, sar_size) -> np.ndarray:
    """The similarity nearest to the map SAR px -> optical px that the two georeferencings declare."""
    px = np.stack(np.meshgrid(*(np.linspace(0, n, 9) for n in sar_size)), axis=-1).reshape(-1, 2)
    xy = np.array(reproject(SAR_CRS, OPTICAL_CRS, *mapped(matrix_of(sar_affine), px).T))
    target = mapped(matrix_of(~OPTICAL_AFFINE), xy.T)
    a, b = ((p - p.mean(axis=0)) @ (1, 1j) for p in (px, target))
    turn = (b * a.conj()).sum() / (abs(a) ** 2).sum()
    linear = np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0], [0, 0, 1]])
    return shifted(target.mean(axis=0)) @ linear @ shifted(-px.mean(axis=0))


def _swath(size) -> np.ndarray:
    """(H, W) bool, True inside the turned strip that the radar saw."""
    inset = about(np.array(size) / 2, turned(SWATH_TURN_DEG) @ np.diag([0.93, 0.91, 1.0]))
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(mask, mapped(inset, corners(size)).round().astype(np.int32), 1)
    return mask.astype(bool)


def _truth(fixed: str, moving: str, to_fixed: np.ndarray, fixed_size, valid: np.ndarray) -> dict:
    """The entry of one pair, with tie points on a lattice, where both images show something."""
    lattice = np.stack(np.meshgrid(*((np.arange(9) + 0.5) * n / 9 for n in fixed_size)), axis=-1).reshape(-1, 2)
    there = mapped(np.linalg.inv(to_fixed), lattice)
    column, row = np.floor(there).astype(int).T
    seen = (column >= 0) & (row >= 0) & (column < valid.shape[1]) & (row < valid.shape[0])
    seen[seen] = valid[row[seen], column[seen]]
    ties = np.hstack([lattice, there])[seen].round(4).tolist()
    return {"fixed": fixed, "moving": moving, "moving_to_fixed": to_fixed.tolist(), "tie_points": ties}


# Detectors and files.


def _camera(reflectance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint16, reflectance x 2500 in 12 bits: a lens slightly darker towards its corners, shot and read noise."""
    _, height, width = reflectance.shape
    y, x = np.mgrid[0:height, 0:width]
    off_axis = np.hypot(x / width - 0.5, y / height - 0.5)
    seen = reflectance.clip(0) * (1 - 0.16 * off_axis**2)
    noisy = seen + rng.normal(0, 1, seen.shape) * np.sqrt(2e-6 * seen + 1e-7)
    return (2500 * noisy).round().clip(1, 4095).astype(np.uint16)


def _speckled_amplitude(sigma0: np.ndarray, valid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint16 amplitude under multilook speckle (gamma distributed intensity), above the noise floor; 0 outside."""
    intensity = (sigma0.clip(0) + 10**-2.6) * rng.gamma(SAR_LOOKS, 1 / SAR_LOOKS, sigma0.shape)
    return np.where(valid, (2500 * np.sqrt(intensity)).round().clip(1, 65535), 0).astype(np.uint16)


def _write_optical(path: Path, pixels: np.ndarray) -> None:
    _write_cog(
        path, pixels, OPTICAL_CRS, OPTICAL_AFFINE, ("Blue", "Green", "Red", "NIR"), {"SCALE": "reflectance x 2500"}
    )


def _write_sar(path: Path, pixels: np.ndarray, affine: Affine) -> None:
    _write_cog(path, pixels[None], SAR_CRS, affine, ("VV",), {"SCALE": "amplitude, linear"}, nodata=0)


def _write_cog(path: Path, pixels: np.ndarray, crs: str, affine: Affine, bands, tags: dict, nodata=None) -> None:
    count, height, width = pixels.shape
    layout = {"driver": "COG", "compress": "DEFLATE", "level": 9, "predictor": 2, "blocksize": 256}
    with rasterio.open(
        path,
        "w",
        width=width,
        height=height,
        count=count,
        dtype="uint16",
        crs=crs,
        transform=affine,
        nodata=nodata,
        **layout,
    ) as file:
        file.descriptions = bands
        file.update_tags(**tags)
        file.write(pixels)


def _write_ome(path: Path, pixels: np.ndarray, axes: str, pixel_um: float, channels: list[str] | None) -> None:
    spacing = {
        "PhysicalSizeX": pixel_um,
        "PhysicalSizeY": pixel_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeYUnit": "µm",
    }
    coding = {"compression": "jpeg", "compressionargs": {"level": 90}}  # as slide scanners write colour
    if axes != "YXS":
        coding = {"compression": "zlib", "compressionargs": {"level": 9}, "predictor": True}
    names = {"Channel": {"Name": channels}} if channels else {}
    tifffile.imwrite(
        path,
        pixels,
        ome=True,
        photometric="rgb" if axes == "YXS" else "minisblack",
        **coding,
        tile=(256, 256),
        metadata={"axes": axes, "UUID": OME_UUID, **spacing, **names},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
