"""One pair as the files of a shard, and back.

KEY.fixed.png, KEY.moving.png                8-bit, one or three channels
KEY.fixed_valid.png, KEY.moving_valid.png    255 where the px shows the scene
KEY.covisible.png                            255 where moving shows what fixed shows there
KEY.json                                     truth, sensors, origin
KEY.warp.npz                                 only where the truth is no homography: `moving_xy` / `per_px` are the
                                             places in moving of fixed's px centres, px
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from xmatch.coords import from_normalised, pixel_centres
from xmatch.errors import InputError

if TYPE_CHECKING:
    from xmatch.synth.pairs import TrainingPairs

Files = dict[str, bytes]
"""Ending of a member's name ("fixed.png") -> content."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One stored pair."""

    fixed: np.ndarray
    """(H, W) or (H, W, 3) uint8, red first."""
    moving: np.ndarray
    fixed_valid: np.ndarray
    """(H, W) bool."""
    moving_valid: np.ndarray
    covisible: np.ndarray
    """(H, W) bool."""
    moving_xy: np.ndarray
    """(H, W, 2) float32: place in moving of each px centre of fixed, px, first centre at (0.5, 0.5)."""
    facts: dict[str, Any]
    """`moving_to_fixed` (3x3, px, or null), `pixel_origin`, `modalities`, `origin`, ..."""


def encode(pairs: TrainingPairs, number: int, facts: dict[str, Any]) -> Files:
    """The files of pair `number` of a batch; `facts` join its JSON."""
    size = pairs.fixed.shape[-1]
    matrix = None if pairs.matrices is None else pairs.matrices[number]
    parametric = matrix is not None and bool(np.isfinite(matrix).all())
    truth = np.linalg.inv(_in_px(matrix, size)) if matrix is not None and parametric else None
    document = {
        "moving_to_fixed": None if truth is None else (truth / truth[2, 2]).tolist(),
        "pixel_origin": "corner",
        "modalities": list(pairs.modalities[number]),
        "origin": pairs.origins[number] if pairs.origins else "",
        "covisible_share": round(float(pairs.covisible[number].float().mean()), 4),
        **facts,
    }
    files = {
        "fixed.png": _png(_bytes(pairs.fixed[number])),
        "moving.png": _png(_bytes(pairs.moving[number])),
        "fixed_valid.png": _png(_mask(pairs.fixed_valid[number, 0])),
        "moving_valid.png": _png(_mask(pairs.moving_valid[number, 0])),
        "covisible.png": _png(_mask(pairs.covisible[number])),
        "json": json.dumps(document, allow_nan=False).encode(),
    }
    if not parametric:
        files["warp.npz"] = _npz(from_normalised(pairs.warp[number].cpu().numpy(), size, size), size)
    return files


def decode(files: Files, name: str) -> Sample:
    """The pair that `encode` made.

    Raises:
        InputError: a file is missing or damaged; `name` says of what.
    """
    try:
        facts = json.loads(files["json"])
        fixed, moving = (_image(files[f"{side}.png"]) for side in ("fixed", "moving"))
        fixed_valid, moving_valid, covisible = (
            _image(files[f"{kind}.png"]) > 127 for kind in ("fixed_valid", "moving_valid", "covisible")
        )
        if facts["moving_to_fixed"] is None:
            with np.load(io.BytesIO(files["warp.npz"]), allow_pickle=False) as stored:
                moving_xy = stored["moving_xy"].astype(np.float32) / float(stored["per_px"])
        else:
            height, width = fixed.shape[:2]
            places = pixel_centres(width, height)
            gone = np.dstack([places, np.ones((height, width))]) @ np.linalg.inv(facts["moving_to_fixed"]).T
            # Behind the horizon the third coordinate is not positive: far outside.
            gone[gone[..., 2] <= 1e-3] = (-1e4, -1e4, 1.0)
            moving_xy = (gone[..., :2] / gone[..., 2:]).astype(np.float32)
    except (KeyError, ValueError, TypeError, OSError, cv2.error, np.linalg.LinAlgError) as error:
        raise InputError(f"a damaged pair: {error}", hint="make this shard again", path=name) from None
    return Sample(fixed, moving, fixed_valid, moving_valid, covisible, moving_xy, facts)


def _in_px(matrix: np.ndarray, size: int) -> np.ndarray:
    """A map between normalised coordinates of two images of `size` px as one between their px."""
    to_px = np.array([[size / 2, 0, size / 2], [0, size / 2, size / 2], [0, 0, 1]])
    return to_px @ matrix @ np.linalg.inv(to_px)


def _bytes(image) -> np.ndarray:
    """(C, H, W) in [0, 1] -> (H, W) or (H, W, 3) uint8."""
    pixels = (image * 255).round().clamp(0, 255).byte().cpu().numpy()
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


def _mask(mask) -> np.ndarray:
    return mask.cpu().numpy().astype(np.uint8) * 255


def _png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return data.tobytes()


def _image(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("not a PNG")
    return image[..., ::-1] if image.ndim == 3 else image


def _npz(moving_xy: np.ndarray, size: int) -> bytes:
    """Whole numbers of 1/64 px or, for large images, of what 16 bits allow; places far outside are clipped."""
    per_px = min(64, 2 ** int(np.log2(2**15 / (2 * size))))
    whole = np.round(moving_xy * per_px).clip(-(2**15), 2**15 - 1).astype(np.int16)
    out = io.BytesIO()
    np.savez_compressed(out, moving_xy=whole, per_px=np.int64(per_px))
    return out.getvalue()
