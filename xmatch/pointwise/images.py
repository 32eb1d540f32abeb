"""What features see of files and videos: three channels at a size that they take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from xmatch.coords import AnyArray, Image, Mask, as_image
from xmatch.errors import InputError, UsageError
from xmatch.io import ReadOptions, Source, open_source
from xmatch.networks.matcha.config import Task
from xmatch.registration.views import colour, where_seen
from xmatch.synth.sources.files import SUFFIXES
from xmatch.synth.sources.video import VIDEO_SUFFIXES

SNAP_PX = 32
"""Sides of what features see are multiples of it, as the published evaluation has them."""
SQUARE_PX = 512
"""Semantic and temporal: everything is resized to this square, as in the published evaluation."""
LONGEST_PX = 1024
"""Geometric: the size of the file up to this longest side. The authors take any size; memory does not."""


@dataclass(frozen=True, eq=False)
class Seen:
    """An image as features see it."""

    name: str
    image: Image
    """(h, w, 3) in [0, 1], red first; 0 where not valid."""
    valid: Mask
    """(h, w)."""
    size_px: tuple[int, int]
    """(width, height) of the file or frame."""


def seen_size(size_px: tuple[int, int], task: Task, side_px: int | None = None) -> tuple[int, int]:
    """(width, height) that an image of `size_px` is seen at.

    Args:
        side_px: of the square; geometric: the longest side at most. Default: `SQUARE_PX`, `LONGEST_PX`.

    Raises:
        UsageError: the side is no multiple of `SNAP_PX`.
    """
    if side_px is not None and (side_px < SNAP_PX or side_px % SNAP_PX):
        raise UsageError(f"--feature-side {side_px} is not a multiple of {SNAP_PX} px", hint="--feature-side 512")
    if task != "geometric":
        return (side_px or SQUARE_PX,) * 2
    factor = min(1.0, (side_px or LONGEST_PX) / max(size_px))
    width, height = (max(1, round(side * factor / SNAP_PX)) * SNAP_PX for side in size_px)
    return width, height


def see_file(source: Source, task: Task, side_px: int | None = None) -> Seen:
    """
    Raises:
        InputError: nothing in it is valid, or it is damaged.
        UsageError: as `seen_size`.
    """
    header = source.header
    size = seen_size((header.width, header.height), task, side_px)
    raster = source.read(size=(min(size[0], header.width), min(size[1], header.height)))
    valid = where_seen(raster)
    if not valid.any():
        raise InputError("no valid pixels", hint="--nodata and --moving-nodata say which value means no data",
                         path=header.path)  # fmt: skip
    image = _resized(colour(raster), size)
    mask = cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return Seen(header.path, image, mask, (header.width, header.height))


def is_video(path: str | Path) -> bool:
    """Whether a path names a folder of frames, or a video by its suffix."""
    return Path(path).is_dir() or Path(path).suffix.lower() in VIDEO_SUFFIXES


def see_frames(
    path: str | Path, options: ReadOptions, side_px: int | None = None, like: tuple[int, int] | None = None
) -> Iterator[Seen]:
    """The frames of a video, of a folder of images in the order of their names (2 before 10), or one image.

    Args:
        like: (width, height) px that all of them must have; default the first one's.

    Raises:
        InputError: no frames, one that cannot be read, or frames of different sizes.
    """
    own = Path(path)
    found = _of_folder(own, options, side_px) if own.is_dir() else _of_file(own, options, side_px)
    empty = True
    for frame in found:
        empty = False
        if like is not None and frame.size_px != like:
            width, height = frame.size_px
            said = f"a frame of {width} x {height} px among frames of {like[0]} x {like[1]} px"
            raise InputError(said, hint="points are tracked through frames of one size", path=frame.name)
        like = frame.size_px
        yield frame
    if empty:
        raise InputError("no frames", hint=f"wanted: a video, or a folder of {', '.join(SUFFIXES)}", path=own)


def _of_folder(folder: Path, options: ReadOptions, side_px: int | None) -> Iterator[Seen]:
    names = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    for path in sorted(names, key=_in_order):
        with open_source(path, options) as source:
            yield see_file(source, "temporal", side_px)


def _in_order(path: Path) -> list[tuple[int, int, str]]:
    """Numbers in names count as numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name) if part]


def _of_file(path: Path, options: ReadOptions, side_px: int | None) -> Iterator[Seen]:
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        with open_source(path, options) as source:
            yield see_file(source, "temporal", side_px)
        return
    if not path.is_file():
        raise InputError("no such file", path=path)
    capture = cv2.VideoCapture(str(path))
    try:
        number = 0
        while True:
            good, frame = capture.read()
            if not good:
                break
            height, width = frame.shape[:2]
            size = seen_size((width, height), "temporal", side_px)
            image = _resized(frame[..., ::-1].astype(np.float32) / np.float32(255), size)
            yield Seen(f"{path.name}#{number}", image, np.ones(image.shape[:2], bool), (width, height))
            number += 1
    finally:
        capture.release()
    if not number:
        raise InputError("not a video that OpenCV can decode", hint="a folder of its frames works too", path=path)


def _resized(image: AnyArray, size: tuple[int, int]) -> Image:
    if image.shape[1::-1] == size:
        return as_image(image)
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return as_image(cv2.resize(np.ascontiguousarray(image), size, interpolation=how))
