"""Image files as small uint8 arrays in a bounded cache."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from xmatch.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".jp2")
LONGEST_SIDE_PX = 512
LEAST_SIDE_PX = 32
"""Smaller images show nothing to match."""
LEAST_SPREAD = 2.0
"""Standard deviation of grey levels (of 255) below which an image is flat."""


class Part(Protocol):
    """A file, or a window of one. `pathlib.Path` is one."""

    @property
    def name(self) -> str: ...

    def __hash__(self) -> int: ...


Decode = Callable[[Any], np.ndarray]
"""Each takes the kind of part that its source lists.

A part as (H, W) or (H, W, 3) uint8, red first; InputError when it is not a usable image."""


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Image files below `folder` by their names' endings, sorted; hidden ones are left out. Of a file: itself.

    Raises:
        InputError: no such folder, or no image in it.
    """
    root = Path(folder)
    if root.is_file() and root.name.lower().endswith(SUFFIXES):
        return [root]
    if not root.is_dir():
        what = "is neither a folder nor an image" if root.exists() else "no such folder"
        raise InputError(what, hint="name a folder of images", path=root)
    found = []
    for path, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(path)
        found += [here / n for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
    if not found:
        raise InputError("no images in this folder", hint=f"wanted: {', '.join(SUFFIXES)}", path=root)
    return sorted(found)


def decode(path: Path, longest_px: int = LONGEST_SIDE_PX) -> np.ndarray:
    """An image as OpenCV reads it: (H, W) uint8 if grey, else (H, W, 3), red first; at most `longest_px` long.

    Deeper values are stretched between their 1st and 99th percentile.

    Raises:
        InputError: not an image, too small, or without texture.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread fails silently, and on names that are not UTF-8
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    if not len(data):
        raise InputError("an empty file", path=path)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise InputError(f"cannot be decoded: {error.err}", path=path) from None
    if image is None:
        raise InputError("not an image that OpenCV can decode", path=path)
    return prepared(image[..., ::-1] if image.ndim == 3 else image, path, longest_px)


def prepared(image: np.ndarray, path: str | os.PathLike, longest_px: int = LONGEST_SIDE_PX) -> np.ndarray:
    """(H, W) or (H, W, 3) of any type as a training image: uint8, small, with something in it.

    Raises:
        InputError: too small, or without texture.
    """
    height, width = image.shape[:2]
    if min(height, width) < LEAST_SIDE_PX:
        raise InputError(f"{width} x {height} px is too small", hint=f"wanted: {LEAST_SIDE_PX} px or more", path=path)
    factor = longest_px / max(height, width)
    if factor < 1:
        size = (max(LEAST_SIDE_PX, round(width * factor)), max(LEAST_SIDE_PX, round(height * factor)))
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    if image.dtype != np.uint8:
        image = _stretched(image)
    if image[::3, ::3].std() < LEAST_SPREAD:
        raise InputError("a flat image: nothing to match", path=path)
    if image.ndim == 3 and (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all():
        image = image[..., 0]
    return np.ascontiguousarray(image)


def _stretched(image: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (1, 99))
    return ((values - low) / max(high - low, 1e-12) * 255).clip(0, 255).astype(np.uint8)


class Images:
    """Decoded images by path. Once more than `max_bytes` are held, those not used for longest go.

    Args:
        decode: reads one part.
        parts: what a file falls into; by default it is used as a whole.
        max_bytes: bound of the memory held.
    """

    def __init__(
        self,
        decode: Decode = decode,
        parts: Callable[[Path], Sequence[Part]] = lambda path: (path,),
        max_bytes: int = 512 * 2**20,
    ) -> None:
        self._decode = decode
        self._parts = parts
        self._max_bytes = max_bytes
        self._held: OrderedDict[Part, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._listed: dict[str, list[Part]] = {}
        self.rejected: dict[Part, str] = {}
        """Parts that turned out unusable, and why."""

    def listed(self, folder: str | os.PathLike) -> list[Part]:
        """The parts of all images below a folder; a file that cannot be taken apart stays whole.
        The folder is looked at once: what comes into it later is not seen.

        Raises:
            InputError: no such folder, or no image in it.
        """
        key = os.fspath(folder)
        if key in self._listed:
            return list(self._listed[key])
        found: list[Part] = []
        for path in list_images(folder):
            try:
                found += self._parts(path)
            except InputError as error:
                self.rejected[path] = error.message
                found.append(path)
        self._listed[key] = found
        return list(found)

    def __getitem__(self, path: Part) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8.

        Raises:
            InputError: the file is unusable; asking again raises again.
        """
        if path in self._held:
            self._held.move_to_end(path)
            return self._held[path]
        if path in self.rejected:
            raise InputError(self.rejected[path], path=str(path))
        try:
            image = self._decode(path)
        except InputError as error:
            self.rejected[path] = error.message
            raise
        self._held[path] = image
        self._bytes += image.nbytes
        while self._bytes > self._max_bytes and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1].nbytes
        return image

    def pick(
        self, groups: Sequence[tuple[Part, ...]], host: np.random.Generator
    ) -> tuple[tuple[Part, ...], list[np.ndarray]]:
        """One group of files, drawn evenly, and its images; a group with an unusable file is passed over for good.

        Raises:
            InputError: no usable group is left.
        """
        for _ in range(2 * len(groups)):
            group = groups[int(host.integers(len(groups)))]
            try:
                return group, [self[path] for path in group]
            except InputError:
                continue
        raise InputError(
            f"none of {len(groups)} images is usable: {next(iter(self.rejected.values()), 'nothing was read')}",
            hint="check one of them",
            path=str(next(iter(self.rejected), "")) or None,
        )
