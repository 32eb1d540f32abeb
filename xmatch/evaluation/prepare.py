"""From the files of a task to those that are matched: as published, filled, cropped, warped, or changed by a sweep."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from xmatch.datasets.tapvid import frame
from xmatch.errors import InputError
from xmatch.evaluation.border import write_filled
from xmatch.evaluation.cropping import write_cropped
from xmatch.evaluation.prepared import PreparedPair
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.sweeps import write_changed
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import cut
from xmatch.evaluation.warping import write_warped

CONVERTED = (".ppm", ".pgm", ".bmp")
"""Formats of published data sets that `xmatch.io` leaves alone; they are handed on as PNG, to every matcher."""


def prepare(task: Task, recipe: EvalRecipe, folder: Path) -> PreparedPair:
    """The pair in the recipe's form; what has to be written goes into `folder`.

    Raises:
        InputError: an image cannot be read, or nothing is left of it.
    """
    names = ("fixed", "moving")
    if task.frames is None:
        paths = (task.fixed, task.moving)
        fixed, moving = (_readable(path, folder / name) for path, name in zip(paths, names, strict=True))
    else:
        video, *numbers = task.frames
        frames = (frame(Path(task.fixed), video, number) for number in numbers)
        fixed, moving = (_written(pixels, folder / name) for pixels, name in zip(frames, names, strict=True))
    if task.warp is not None:
        fixed, moving = write_warped(fixed, moving, task.warp, folder)
    truth = task.truth
    if task.change is not None:
        return write_changed(PreparedPair(fixed, moving, truth), task.change, folder)
    if recipe.fill == "crop":
        path, (x0, y0, _, _) = write_cropped(folder / "cropped.tif", moving)
        moving, truth = os.fspath(path), cut(truth, x0, y0)
    elif recipe.fill != "none":
        moving = os.fspath(write_filled(folder / "filled.tif", moving, recipe.fill, task.filler, recipe.seed))
    return PreparedPair(fixed, moving, truth)


def _readable(path: str, stem: Path) -> str:
    if Path(path).suffix.lower() not in CONVERTED:
        return path
    import cv2

    pixels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError("is missing, or cannot be read as an image", path=path)
    cv2.imwrite(f"{stem}.png", pixels)
    return f"{stem}.png"


def _written(pixels: np.ndarray, stem: Path) -> str:
    """(H, W, 3) RGB as a file."""
    import cv2

    cv2.imwrite(f"{stem}.png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return f"{stem}.png"
