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
    np.savez_compressed(
        _file(folder, pair_id),
        fixed_xy=matches.fixed_xy.astype(np.float32),
        moving_xy=matches.moving_xy.astype(np.float32),
        certainty=matches.certainty.astype(np.float32),
    )


def load_matches(folder: Path, pair_id: str) -> Correspondences | None:
    """What was saved; None when nothing was, or the file was cut short."""
    try:
        with np.load(_file(folder, pair_id)) as arrays:
            fixed_xy, moving_xy, certainty = (arrays[name].astype(np.float64) for name in FIELDS)
            return Correspondences(fixed_xy, moving_xy, certainty)
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _file(folder: Path, pair_id: str) -> Path:
    # Slashes of an id would be folders.
    return folder / f"{quote(pair_id, safe=' ')}.npz"
