"""Words and signs on maps: a small bank of stamps, drawn once."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

STAMP_PX = (28, 84)
"""Height and width of a stamp."""
STAMPS = 48
"""Drawn once and kept: enough that a map seldom shows one twice."""


@lru_cache(maxsize=1)
def stamps() -> np.ndarray:
    """(STAMPS, h, w) float32 in [0, 1]: words in several scripts, sizes and turns, numbers, pins and shields."""
    rng = np.random.default_rng(20)
    return np.stack([_stamp(number, rng) for number in range(STAMPS)]).astype(np.float32) / 255


def _stamp(number: int, rng: np.random.Generator) -> np.ndarray:
    height, width = STAMP_PX
    canvas = np.zeros(STAMP_PX, np.uint8)
    middle = (width // 2, height // 2)
    kind = number % 4
    if kind == 0:
        word = "".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(3, 9))).capitalize()
        fonts = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
        _write(canvas, word, fonts[number // 4 % 3], rng.uniform(0.32, 0.6))
    elif kind == 1:
        _write(canvas, str(rng.integers(1, 400)), cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.3, 0.5))
    elif kind == 2:  # square characters of a few strokes each
        size = int(rng.integers(6, 11))
        for left in range(4, 4 + (size + 1) * int(rng.integers(3, 8)), size + 1):
            for _ in range(rng.integers(4, 7)):
                ends = rng.integers(0, size, 2)
                level = int(rng.integers(0, size))
                line = (
                    [(ends[0], level), (ends[1], level)] if rng.random() < 0.5 else [(level, ends[0]), (level, ends[1])]
                )
                points = [(left + int(x), 9 + int(y)) for x, y in line]
                cv2.line(canvas, points[0], points[1], 255, 1, cv2.LINE_AA)
    else:
        radius = int(rng.integers(4, 8))
        cv2.circle(canvas, middle, radius, 255, -1 if rng.random() < 0.7 else 1, cv2.LINE_AA)
        if rng.random() < 0.5:
            tip = np.array([[middle[0] - radius, 15], [middle[0] + radius, 15], [middle[0], 15 + 2 * radius]])
            cv2.fillPoly(canvas, [tip.astype(np.int32)], 255, cv2.LINE_AA)
        cv2.circle(canvas, middle, max(1, radius // 3), 0, -1, cv2.LINE_AA)
    angle = float(rng.choice([0.0, 0.0, rng.uniform(-20, 20)]))
    return cv2.warpAffine(canvas, cv2.getRotationMatrix2D(middle, angle, 1.0), (width, height), flags=cv2.INTER_AREA)


def _write(canvas: np.ndarray, word: str, font: int, scale: float) -> None:
    (wide, tall), _ = cv2.getTextSize(word, font, scale, 1)
    place = ((canvas.shape[1] - wide) // 2, (canvas.shape[0] + tall) // 2)
    cv2.putText(canvas, word, place, font, scale, 255, 1, cv2.LINE_AA)


def words(like: Tensor, rng: torch.Generator, most: int) -> Tensor:
    """(B, 1, H, W) in [0, 1]: up to `most` stamps an image, anywhere, the same way up or lying on their side."""
    batch, _, height, width = like.shape
    bank = torch.from_numpy(stamps()).to(like.device)
    picked = torch.randint(0, STAMPS, (batch, most), generator=rng, device=like.device)
    ink = bank[picked] * (torch.rand((batch, most, 1, 1), generator=rng, device=like.device) < 0.6)
    tall, wide = STAMP_PX
    y = torch.rand((batch, most, 1, 1), generator=rng, device=like.device) * (height + tall) - tall
    x = torch.rand((batch, most, 1, 1), generator=rng, device=like.device) * (width + wide) - wide
    rows = y.floor() + torch.arange(tall, device=like.device)[:, None]
    columns = x.floor() + torch.arange(wide, device=like.device)
    ink = ink * ((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
    place = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    out = torch.zeros_like(like).flatten(1)
    out.scatter_reduce_(1, place.to(torch.int64).flatten(1), ink.flatten(1), "amax")
    return out.reshape(like.shape)
