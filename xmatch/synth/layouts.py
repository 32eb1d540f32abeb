"""What a folder of training data holds, told by its layout."""

from __future__ import annotations

import os
from pathlib import Path

from xmatch.datasets import megadepth, pf, spair
from xmatch.synth.recipe import SourceKind
from xmatch.synth.sources.aligned_pairs import find_pairs
from xmatch.synth.sources.cameras import is_scene
from xmatch.synth.sources.files import SUFFIXES
from xmatch.synth.sources.video import VIDEO_SUFFIXES


def kind_of(folder: str | os.PathLike[str]) -> SourceKind:
    """What a folder (or a file) holds, by its layout; single images in case of doubt, so also frames of a video."""
    root = Path(folder)
    if (root / "manifest.jsonl").is_file():
        return "shards"
    if root.suffix.lower() in VIDEO_SUFFIXES:
        return "video"
    if not root.is_dir():
        return "singles"
    if any(is_scene(path) for path in (root, *root.iterdir()) if path.is_dir()) or megadepth.has_training(root):
        return "multiview"
    if spair.has_training(root) or pf.has_training(root):
        return "keypoints"
    if find_pairs(root, required=False):
        return "pairs"
    names = [path.suffix.lower() for path in root.iterdir()]
    videos, images = (any(name in known for name in names) for known in (VIDEO_SUFFIXES, SUFFIXES))
    return "video" if videos and not images else "singles"
