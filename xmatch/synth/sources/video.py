"""Two frames of a video, connected hop by hop: motion as it really is, without annotation.

Between neighbouring frames optical flow is easy; between distant ones it is not. So short hops are chained into a long
one, there and back, and only px that come back to where they left are believed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from xmatch.coords import pixel_centres
from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.crops import to_tensor
from xmatch.synth.sources.files import SUFFIXES, Images, decode
from xmatch.synth.sources.sensors import Sensors
from xmatch.synth.sources.squares import both, random_square, square_around, steady

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
CLIP_FRAMES = 24
"""Frames that are read at once."""
FRAME_SIDE_PX = 384
"""Longest side of a frame."""
MOST_HOPS = 6
HOP_FRAMES = (1, 3)
"""Frames from one end of a hop to the other."""
RETURN_PX = 1.5
"""How far from its start a px may come back, frame px."""
LEAST_LIKENESS = 0.5
"""Correlation of the surroundings of a px and of its partner."""
LIKENESS_PX = 9
LEAST_SEEN = 0.1
"""Share of px that come back; below, another pair of frames is tried."""
TRIES = 6


@dataclass(frozen=True)
class Clip:
    """Some frames in a row, of a file or of a folder of images."""

    path: Path
    start: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.path.name}#{self.start}"

    def __str__(self) -> str:
        return f"{self.path}#{self.start}"


class Videos:
    """Squares of two frames of a video, with the flow between them.

    Args:
        clips: what to draw from.
        sensors: which sensors see them.
        max_bytes: bound of the memory that frames take.

    Raises:
        InputError: no clip.
    """

    def __init__(self, clips: Sequence[Clip], sensors: Sensors, max_bytes: int = 512 * 2**20) -> None:
        if not clips:
            raise InputError("no video", hint="wanted: video files, or folders of frames")
        self._clips = [(clip,) for clip in clips]
        self._sensors = sensors
        self._frames = Images(decode=read_clip, max_bytes=max_bytes)

    @classmethod
    def below(cls, folder: str | Path, sensors: Sensors) -> Videos:
        """All videos and folders of frames below a folder."""
        return cls(find_clips(folder), sensors)

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        drawn = [self._pair(size, host) for _ in range(count)]
        first = to_tensor([pair[0] for pair in drawn], rng.device)
        second = to_tensor([pair[1] for pair in drawn], rng.device)
        flow = torch.from_numpy(np.stack([pair[2] for pair in drawn])).to(rng.device)
        seen = torch.from_numpy(np.stack([pair[3] for pair in drawn])).to(rng.device)
        first, second, names = self._sensors.see_views(first, second, rng, host, difficulty.gap)
        origins = tuple(pair[4] for pair in drawn)
        return Aligned(first, second, everywhere(first), everywhere(second), names, origins, flow, seen)

    def _pair(self, size: int, host: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
        """The better of a few tries: two squares, flow (S, S, 2), seen (S, S), the clip's name."""
        best, most = None, -1.0
        for _ in range(TRIES):
            (clip,), (frames,) = self._frames.pick(self._clips, host)
            stride = int(host.integers(HOP_FRAMES[0], HOP_FRAMES[1] + 1))
            hops = int(host.integers(1, MOST_HOPS + 1))
            hops = max(1, min(hops, (len(frames) - 1) // stride))
            start = int(host.integers(len(frames) - min(hops * stride, len(frames) - 1)))
            chain = frames[start : start + hops * stride + 1 : stride]
            if host.random() < 0.5:
                chain = chain[::-1]
            pair = _squares(chain, size, host)
            if (share := float(pair[3].mean())) > most:
                best, most = (*pair, clip.name), share
            if most >= LEAST_SEEN:
                break
        return best  # type: ignore[return-value]


def chained(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the px of the first of (T, H, W[, 3]) uint8 frames lie in the last.

    Returns:
        (H, W, 2) places, px, first centre at (0.5, 0.5), and (H, W) bool: the way back ends where it began.
    """
    grey = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) if f.ndim == 3 else f for f in frames]
    there, kept = _followed(grey)
    back, kept_back = _followed(grey[::-1])
    home = _sampled(back, there)
    came_back = np.hypot(*np.moveaxis(home - _own(grey[0]), -1, 0)) < RETURN_PX
    kept &= came_back & (_sampled(kept_back.astype(np.float32), there) > 0.99)
    # Flow fills what was covered on the way smoothly, and comes back from there too: what is seen must agree as well.
    return there, kept & (_likeness(grey[0], _sampled(grey[-1], there)) > LEAST_LIKENESS)


def read_clip(clip: Clip) -> np.ndarray:
    """(T, H, W, 3) or (T, H, W) uint8, red first, at most `FRAME_SIDE_PX` long.

    Raises:
        InputError: fewer than two frames can be read.
    """
    frames = _frames_of_folder(clip) if clip.path.is_dir() else _frames_of_file(clip)
    if len(frames) < 2 or len({frame.shape for frame in frames}) > 1:
        raise InputError("fewer than two frames of one size can be read", path=clip.path)
    return np.stack(frames)


def find_clips(folder: str | Path) -> list[Clip]:
    """Clips of all video files below a folder, and of all folders of at least two images.

    Raises:
        InputError: none.
    """
    root = Path(folder)
    if root.is_file():
        return _clips_of(root)
    if not root.is_dir():
        raise InputError("no such folder", path=root)
    found: list[Clip] = []
    for path, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(path)
        for name in sorted(names):
            if name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith("."):
                found += _clips_of(here / name)
        if (count := len(_images_in(here))) > 1:
            found += _split(here, count)
    if not found:
        raise InputError("no videos here", hint="wanted: video files, or folders of frames", path=root)
    return found


def _clips_of(path: Path) -> list[Clip]:
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    # A file that cannot be opened stays a clip: reading it says why.
    return _split(path, count) or [Clip(path, 0, CLIP_FRAMES)]


def _split(path: Path, count: int) -> list[Clip]:
    clips = [Clip(path, start, min(CLIP_FRAMES, count - start)) for start in range(0, count, CLIP_FRAMES)]
    return [clip for clip in clips if clip.count > 1]


def _images_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _frames_of_folder(clip: Clip) -> list[np.ndarray]:
    return [_small(decode(path)) for path in _images_in(clip.path)[clip.start : clip.start + clip.count]]


def _frames_of_file(clip: Clip) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(clip.path))
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, clip.start)
        frames = []
        for _ in range(clip.count):
            good, frame = capture.read()
            if not good:
                break
            frames.append(_small(frame[..., ::-1]))
    finally:
        capture.release()
    return frames


def _small(frame: np.ndarray) -> np.ndarray:
    factor = FRAME_SIDE_PX / max(frame.shape[:2])
    if factor >= 1:
        return np.ascontiguousarray(frame)
    size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
    return cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA)


def _squares(chain: np.ndarray, size: int, host: np.random.Generator):
    places, seen = chained(chain)
    shape = places.shape[:2]
    square = random_square(shape, host)
    own = square.places(size)
    there = _sampled(places, own)
    believed = _sampled(seen.astype(np.float32), own) > 0.99
    centre = np.median(there[believed], axis=0) if believed.any() else np.array(shape[::-1]) / 2
    target = square_around(centre, shape, host)
    flow = target.normalised(there).clip(-1e3, 1e3)
    believed &= both(np.abs(flow) <= 1) & steady((flow + 1) * (size / 2))
    return square.cut(chain[0], size), target.cut(chain[-1], size), flow.astype(np.float32), believed


def _followed(grey: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Places in the last frame of the px of the first, and which never left the image."""
    # Dense inverse search (Kroeger et al. 2016): quick, and good between neighbouring frames.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    places = own = _own(grey[0])
    kept = np.ones(grey[0].shape, bool)
    limit = np.array(grey[0].shape[::-1], np.float32)
    for before, after in zip(grey[:-1], grey[1:], strict=True):
        step = search.calc(before, after, None)  # type: ignore[call-overload] # None: no flow to begin with
        places = places + (step if places is own else _sampled(step, places))
        kept &= both((places > 0) & (places < limit))
    return places, kept


def _likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W) normalised correlation over windows of `LIKENESS_PX`; 1 where neither has any texture."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    mean = [cv2.blur(image, (LIKENESS_PX, LIKENESS_PX)) for image in (a, b, a * a, b * b, a * b)]
    flat = 4.0  # grey levels squared: less is noise
    variances = (mean[2] - mean[0] ** 2 + flat) * (mean[3] - mean[1] ** 2 + flat)
    return (mean[4] - mean[0] * mean[1] + flat) / np.sqrt(np.maximum(variances, flat))


def _own(image: np.ndarray) -> np.ndarray:
    return pixel_centres(image.shape[1], image.shape[0]).astype(np.float32)


def _sampled(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(H, W[, C]) looked up bilinearly at (..., 2) px places; beyond the border the border repeats."""
    at = (places - 0.5).astype(np.float32)  # OpenCV counts from the centre of the first px
    return cv2.remap(
        field.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
