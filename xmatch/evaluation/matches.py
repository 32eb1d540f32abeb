"""Correspondences beside the predictions: one .npz a pair, in a folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import numpy as np

from xmatch.correspondences import Correspondences

FIELDS = ("fixed_xy", "moving_xy", "certainty")


def matches_folder(predictions: Path) -> Path:
    """Where the correspondences of a file of predictions lie."""
    return predictions.with_suffix(".matches")


def save_matches(folder: Path, pair_id: str, matches: Correspondences) -> None:
    """Write (N, 2), (N, 2) and (N,) as float32, px of the files."""
    folder.mkdir(exist_ok=True)
    np.savez_compressed(_file(folder, pair_id), **{name: np.float32(getattr(matches, name)) for name in FIELDS})


def load_matches(folder: Path, pair_id: str) -> Correspondences | None:
    """What was saved; None when nothing was, or the file was cut short."""
    try:
        with np.load(_file(folder, pair_id)) as arrays:
            return Correspondences(*(np.float64(arrays[name]) for name in FIELDS))
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _file(folder: Path, pair_id: str) -> Path:
    # Slashes of an id would be folders.
    return folder / f"{quote(pair_id, safe=' ')}.npz"
