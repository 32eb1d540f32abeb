"""TAP-Vid-DAVIS: tracked points of 30 videos (Doersch et al., NeurIPS 2022), the first frame against every later one.

`tapvid_davis.pkl`: {video: {"video": (T, H, W, 3) uint8, "points": (N, T, 2), "occluded": (N, T) bool}}. Points are
x, y as fractions of the image, counted from its corner, so that a multiplication by W and H makes them ours. Points
that are not seen in the first frame are left out. The file is read by an unpickler that runs nothing.

There are no image files: every sample's fixed and moving are the pickle itself. `fixed_frame` is 0 and `moving_frame`
the later frame of the video that `group` names; `frame` gives the pixels.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from xmatch.datasets.safe_pickle import load_pickle
from xmatch.datasets.sample import DataSet, Sample, TrackTruth
from xmatch.errors import InputError

FILE = "tapvid_davis.pkl"


def read(path: Path) -> list[Sample]:
    """All later frames of all videos, by name; `path` is the folder or the pickle itself.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    file = path if path.is_file() else path / FILE
    videos = _videos(file)
    return [sample for name in sorted(videos) for sample in _samples(file, name, videos[name])]


def frame(file: Path, video: str, number: int) -> np.ndarray:
    """(H, W, 3) uint8: one frame of a video. The file last read is kept in memory.

    Raises:
        InputError: the file has changed and no longer holds it.
    """
    try:
        return np.asarray(_kept(file, file.stat().st_mtime_ns)[video]["video"])[number]
    except (OSError, KeyError, IndexError) as error:
        raise InputError(f"has no frame {number} of {video}", path=file) from error


@lru_cache(maxsize=1)
def _kept(file: Path, changed_ns: int) -> dict[str, dict]:
    return _videos(file)


def _videos(file: Path) -> dict[str, dict]:
    content = load_pickle(file)
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise InputError("is not a dictionary of videos", path=file)
    return content


def _samples(file: Path, name: str, content: dict) -> list[Sample]:
    try:
        frames, height, width = np.shape(content["video"])[:3]
        points = np.asarray(content["points"], dtype=np.float64) * (width, height)
        seen = ~np.asarray(content["occluded"], dtype=bool)
        if points.shape != (*seen.shape, 2) or seen.shape[1] != frames:
            raise ValueError(f"points {points.shape} and occluded {seen.shape} for {frames} frames")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} is not a video with video, points and occluded: {error!r}", path=file) from error
    points, seen = points[seen[:, 0]], seen[seen[:, 0]]
    return [
        Sample(f"{name}/{t:04d}", name, file, file, TrackTruth(points[:, 0], points[:, t], seen[:, t]), 0, t)
        for t in range(1, frames)
    ]


DATASET = DataSet(
    name="tapvid-davis",
    task="tracking",
    layout=f"{FILE}, or the file itself",
    source="https://github.com/google-deepmind/tapnet (TAP-Vid: CC BY 4.0; DAVIS has terms of its own)",
    read=read,
)
