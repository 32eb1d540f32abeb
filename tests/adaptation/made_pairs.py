"""Folders of small pairs with a known transform: blobs seen by one sensor, and inverted by another one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from tests.networks.test_xmatch import TINY
from xmatch.coords import to_centre_matrix
from xmatch.geometry import Linear, similarity
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.xmatch.network import XMatch

SIDE = 72


def scene(seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side) uint8 of blobs without symmetry."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.random((12, 12)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.random((side, side)).astype(np.float32), (0, 0), 1.5)
    mixed = coarse + 2 * (fine - 0.5)
    return cv2.normalize(mixed, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def other_sensor(image: np.ndarray) -> np.ndarray:
    """Dark where the first is bright, and not linearly so."""
    return (255 * (1 - image / 255.0) ** 1.5).astype(np.uint8)


def truth_of(number: int) -> Linear:
    """Moving px -> fixed px of pair `number`: a small turn and shift, another one for each."""
    rng = np.random.default_rng(100 + number)
    return similarity(float(rng.uniform(-6, 6)), 1.0, tuple(rng.uniform(-3, 3, 2)))


def write_pair(folder: Path, number: int, side: int = SIDE) -> tuple[Path, Path]:
    """NN_fixed.png and NN_moving.png."""
    folder.mkdir(parents=True, exist_ok=True)
    image = scene(number, side)
    back = np.linalg.inv(truth_of(number).matrix)
    moving = cv2.warpAffine(
        other_sensor(image), to_centre_matrix(back)[:2], (side, side), borderMode=cv2.BORDER_REFLECT
    )
    paths = folder / f"{number:02d}_fixed.png", folder / f"{number:02d}_moving.png"
    for path, pixels in zip(paths, (image, moving), strict=True):
        cv2.imwrite(str(path), pixels)
    return paths


def write_pairs(folder: Path, count: int, labelled: int) -> Path:
    """`count` pairs with a pairs.jsonl in which the first `labelled` carry their truth."""
    rows = []
    for number in range(count):
        fixed, moving = write_pair(folder, number)
        row = {"fixed": fixed.name, "moving": moving.name}
        if number < labelled:
            row |= {"moving_to_fixed": truth_of(number).matrix.tolist(), "pixel_origin": "corner"}
        rows.append(json.dumps(row))
    (folder / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def write_tiny(path: Path, seed: int = 0) -> Path:
    """Weights of an untrained tiny network."""
    torch.manual_seed(seed)
    config = dataclasses.replace(
        TINY, refine_strides=(8, 4), refine_channels=(8, 8), refine_hidden=(16, 8), refine_blocks=(1, 1), radius=(2, 1)
    )
    metadata = WeightsMetadata(
        "tiny", "xmatch", "Apache-2.0", config=json.loads(json.dumps(dataclasses.asdict(config)))
    )
    save_weights(path, XMatch(config).state_dict(), metadata, overwrite=True)
    return path
