"""A made-up section of glandular tissue, and what a brightfield and a fluorescence microscope see of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from noise import fractal, smooth_noise, smoothstep
from scipy.spatial import cKDTree

GRID_UM = 1.0
"""Pixel size of the section's grid, micrometres."""

HAEMATOXYLIN, EOSIN = np.array([0.644, 0.717, 0.267]), np.array([0.093, 0.954, 0.283])
"""Optical density of the stains in R, G, B (Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23, 2001)."""


@dataclass
class Tissue:
    """What lies on the slide, before staining. All layers (H, W) float32 in [0, 1], GRID_UM apart."""

    section: np.ndarray
    """1 where there is tissue, 0 on bare glass, in lumina and in fat."""
    epithelium: np.ndarray
    muscle: np.ndarray
    blood: np.ndarray
    wall: np.ndarray
    """Walls of vessels and membranes of fat cells."""
    fibres: np.ndarray
    """Texture of the connective tissue."""
    chromatin: np.ndarray
    """Nuclei as haematoxylin stains them."""
    dna: np.ndarray
    """The same nuclei as DAPI stains them; the two amounts are only loosely related."""


def tissue(rng: np.random.Generator, shape: tuple[int, int]) -> Tissue:
    """A ragged piece of tissue with glands, vessels, muscle, fat and a cluster of lymphocytes."""
    x, y = _from_middle(shape)
    section, muscle, fat = _regions(rng, x, y)
    layers = {name: np.zeros(shape, np.float32) for name in ("epithelium", "blood", "wall", "chromatin", "dna", "hole")}

    taken = (section < 0.9) | (muscle > 0.1) | (fat > 0.1)
    for centre in _spaced(rng, ~cv2.dilate(taken.astype(np.uint8), np.ones((61, 61))).astype(bool), 108):
        _draw_gland(rng, layers, centre)
    solid = (section > 0.9) & (fat < 0.1)
    for centre in _spaced(rng, solid & (layers["epithelium"] + layers["hole"] == 0), 210)[:9]:
        _draw_vessel(rng, layers, centre)
    membranes, cells = _fat_cells(rng, shape)
    layers["wall"] = np.maximum(layers["wall"], membranes * (fat > 0.5))
    layers["hole"] = np.maximum(layers["hole"], cells * (fat > 0.5))

    flow = 2.2 * smooth_noise(rng, shape, 170) + muscle * 0.4
    stroma = solid & (layers["epithelium"] < 0.1) & (layers["hole"] < 0.1)
    cluster = np.hypot(x - 0.17 * shape[1], y + 0.14 * shape[0]) < 52 + 12 * smooth_noise(rng, shape, 40)
    for centre in _spaced(rng, stroma & ~cluster, 15):
        length = rng.uniform(4.0, 7.5)
        _draw_nucleus(rng, layers, centre, (length, rng.uniform(1.5, 2.4)), np.degrees(flow[centre[1], centre[0]]))
    for centre in _spaced(rng, stroma & cluster, 7.5):
        _draw_nucleus(rng, layers, centre, (2.9, 2.6), 0.0)
    fibres = _streaks(rng, shape, flow)
    hole = cv2.GaussianBlur(layers.pop("hole"), (0, 0), 0.8)
    return Tissue(section * (1 - hole), muscle=muscle, fibres=fibres, **layers)


def _from_middle(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    return x - shape[1] / 2, y - shape[0] / 2


def _regions(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ragged outline, and within it a band of muscle below and fat at the left."""
    shape = x.shape
    reach = np.hypot(x / 1.18, y) / (0.27 * min(shape))
    ragged = 0.13 * fractal(rng, shape, 0.25 * min(shape), 5) + 0.10 * np.sin(np.arctan2(y, x) * 2 + 1)
    section = smoothstep(1.02, 0.98, reach + ragged)
    muscle = smoothstep(0.0, 0.05, reach - 0.62 + 0.05 * smooth_noise(rng, shape, 120))
    muscle = muscle * (y > 0.25 * np.abs(x)) * section
    fat = smoothstep(0.0, 0.03, reach - 0.55 + 0.06 * smooth_noise(rng, shape, 90))
    fat = fat * (x < -0.2 * shape[1] + 0.5 * y) * section * (1 - muscle)
    return section, muscle, fat


def _spaced(rng: np.random.Generator, allowed: np.ndarray, spacing: float) -> np.ndarray:
    """(N, 2) integer (x, y) of scattered places in `allowed`, none much closer to another than `spacing` px."""
    places = np.argwhere(allowed)[:, ::-1]
    if len(places) == 0:
        return places
    places = places[rng.permutation(len(places))[: int(9 * len(places) / spacing**2) + 1]]
    near = cKDTree(places).query_ball_point(places, spacing)
    kept = np.zeros(len(places), bool)
    for i, others in enumerate(near):
        kept[i] = not kept[others].any()
    return places[kept]


def _draw_nucleus(rng, layers, centre, semi_axes, angle_deg: float) -> None:
    chromatin, dna = rng.uniform(0.55, 1.0), rng.uniform(0.3, 1.0)
    centre16, axes16 = (tuple(int(round(16 * v)) for v in pair) for pair in (centre, semi_axes))
    for layer, value in (("chromatin", chromatin), ("dna", dna)):
        cv2.ellipse(layers[layer], centre16, axes16, float(angle_deg), 0, 360, float(value), -1, cv2.LINE_8, 4)


def _draw_gland(rng: np.random.Generator, layers: dict[str, np.ndarray], centre: np.ndarray) -> None:
    """A ring of columnar cells round a lumen, their nuclei at the outer side."""
    theta = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    shape = 1 + sum(rng.normal(0, 0.17 / k) * np.cos(k * theta + rng.uniform(0, 7)) for k in (2, 3, 4, 5))
    outer = rng.uniform(32, 47) * shape
    cells = rng.uniform(15, 19)
    ring = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    _fill(layers["epithelium"], centre + outer[:, None] * ring, 1.0)
    lumen = np.maximum(outer - cells - 3, 2) * (1 + 0.08 * rng.standard_normal(90))
    _fill(layers["epithelium"], centre + lumen[:, None] * ring, 0.0)
    _fill(layers["hole"], centre + lumen[:, None] * ring, 1.0)
    for t in np.arange(0, 2 * np.pi, 7.2 / outer.mean()):
        radius = np.interp(t, theta, outer) - rng.uniform(4.0, 6.5)
        place = centre + radius * np.array([np.cos(t), np.sin(t)])
        _draw_nucleus(rng, layers, place, (rng.uniform(3.6, 4.8), rng.uniform(2.2, 2.8)), np.degrees(t))


def _draw_vessel(rng: np.random.Generator, layers: dict[str, np.ndarray], centre: np.ndarray) -> None:
    axes, angle, thickness = rng.uniform(9, 26, 2), rng.uniform(0, 180), rng.uniform(3, 8)
    place = tuple(int(v) for v in centre)
    for layer, grow, value in (
        ("wall", thickness, 1.0),
        ("wall", 0, 0.0),
        ("hole", 0, 1.0),
        ("hole", -3, 0.35),
        ("blood", -3, 1.0),
    ):
        size = tuple(int(max(2, a + grow)) for a in axes)
        cv2.ellipse(layers[layer], place, size, angle, 0, 360, value, -1)
    for t in np.arange(0, 2 * np.pi, 11 / axes.mean()):
        turn = np.radians(angle)
        c, s = np.cos(turn), np.sin(turn)
        offset = np.array([[c, -s], [s, c]]) @ ((axes + 2) * (np.cos(t), np.sin(t)))
        _draw_nucleus(rng, layers, centre + offset, (3.8, 1.4), np.degrees(t + turn) + 90)


def _fill(layer: np.ndarray, outline: np.ndarray, value: float) -> None:
    cv2.fillPoly(layer, [(outline * 16).round().astype(np.int32)], value, cv2.LINE_8, 4)


def _fat_cells(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Membranes and empty insides of a foam of round cells."""
    seeds = _spaced(rng, np.ones(shape, bool), 42)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    near = cKDTree(seeds).query(
        np.stack([x, y], axis=-1) + 2.0 * np.stack([smooth_noise(rng, shape, 14)] * 2, axis=-1), k=2
    )[0]
    edge = (near[..., 1] - near[..., 0]).astype(np.float32)
    return smoothstep(4.5, 2.5, edge), smoothstep(3.0, 5.0, edge)


def _streaks(rng: np.random.Generator, shape: tuple[int, int], flow: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1]: wavy fibres along the directions `flow`, by line integral convolution of white noise."""
    noise = rng.random(shape).astype(np.float32)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    right, down = np.cos(flow).astype(np.float32), np.sin(flow).astype(np.float32)
    total = sum(
        cv2.remap(noise, x + s * right, y + s * down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        for s in range(-9, 10, 2)
    )
    return smoothstep(0.3, 0.7, 0.5 + (total / 10 - 0.5) * 2.2)


def brightfield_rgb(scene: Tissue, rng: np.random.Generator) -> np.ndarray:
    """(3, H, W) float32 in [0, 1]: haematoxylin and eosin, light absorbed as Beer and Lambert say."""
    shape = scene.section.shape
    uneven = 1 + 0.10 * fractal(rng, shape, 250, 3)
    stroma = scene.section * (1 - scene.epithelium)
    grain = 1 + 0.18 * smooth_noise(rng, shape, 3)
    eosin = 0.12 * scene.section + stroma * (0.06 + 0.22 * scene.fibres) + 0.32 * scene.muscle * scene.section
    eosin += (
        0.26 * scene.epithelium * grain
        + 0.85 * scene.blood * (0.6 + 0.4 * smooth_noise(rng, shape, 5).clip(-1, 1))
        + 0.40 * scene.wall
    )
    haema = 1.15 * cv2.GaussianBlur(scene.chromatin, (0, 0), 0.7) * (1 + 0.15 * smooth_noise(rng, shape, 2))
    haema += 0.13 * scene.epithelium + 0.05 * scene.section
    density = (haema * uneven)[None] * HAEMATOXYLIN[:, None, None] + (eosin * uneven)[None] * EOSIN[:, None, None]
    lamp = np.array([0.955, 0.945, 0.955])[:, None, None] * (1 + 0.012 * smooth_noise(rng, shape, 500))
    return (lamp * 10 ** -density.clip(0)).astype(np.float32)


def fluorescence(scene: Tissue, rng: np.random.Generator) -> np.ndarray:
    """(2, H, W) float32, photons relative to a bright nucleus: DAPI, and an antibody against cytokeratin."""
    shape = scene.section.shape
    own = 0.035 * scene.section * (0.5 + scene.fibres) + 0.06 * scene.blood + 0.05 * scene.wall
    dna = scene.dna * (1 + 0.25 * smooth_noise(rng, shape, 3))
    dapi = 0.85 * cv2.GaussianBlur(dna, (0, 0), 1.0) + 0.22 * cv2.GaussianBlur(dna, (0, 0), 9) + 0.4 * own
    stained = scene.epithelium * (1 - 0.75 * (scene.dna > 0)) * (0.75 + 0.25 * fractal(rng, shape, 60, 3)).clip(0.1)
    keratin = 0.75 * cv2.GaussianBlur(stained, (0, 0), 1.2) + 0.18 * cv2.GaussianBlur(stained, (0, 0), 10) + own
    return np.stack([dapi, keratin]).astype(np.float32)
