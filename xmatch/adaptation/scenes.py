"""Pairs as views on one grid: moving warped onto fixed by the truth, or by a guess that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmatch.adaptation.pairs import Pair, Unusable
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.tiles import tile_windows
from xmatch.coords import pixel_centres
from xmatch.errors import InputError, XmatchError
from xmatch.geometry import Transform
from xmatch.io import Source, Window, open_source
from xmatch.raster import View
from xmatch.registration.views import framing, make_view
from xmatch.resampling.kernels import sample

LEAST_SHARE = 0.1
"""Of a view that must show something in both images. Not tuned."""
LEAST_SPREAD = 2.0
"""Standard deviation of grey levels (of 255) below which there is nothing to learn from. About the noise of
eight-bit images. Not tuned."""
LATTICE = 9
"""Nodes a side of the lattice that a window's outline in moving is found by. Not tuned."""


@dataclass(frozen=True, eq=False)
class PairScene:
    """A pair, or a tile of one, as views of one size."""

    name: str
    """Of the pair."""
    fixed: np.ndarray
    """(h, w) uint8."""
    fixed_valid: np.ndarray
    """(h, w) bool."""
    moving: np.ndarray
    """(h, w) uint8: warped onto fixed."""
    moving_valid: np.ndarray
    labelled: bool
    """Warped by a truth that may be learned from: each px of fixed shows what the same px of moving shows."""
    places: np.ndarray | None = None
    """(h, w, 2) float32: px of the warped moving image where each px of fixed truly lies. Of unlabelled pairs whose
    truth is known: for the report alone."""


def scenes_of(pair: Pair, moving_to_fixed: Transform, labelled: bool, recipe: AdaptRecipe) -> list[PairScene]:
    """A pair as scenes, one a tile.

    Args:
        moving_to_fixed: moving px -> fixed px; the truth, or a guess.
        labelled: whether it is the truth.

    Raises:
        InputError: the files cannot be read, or show nothing in common under that map.
    """
    found = []
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        header = fixed.header
        windows = tile_windows(header.width, header.height, recipe.tiles, recipe.seed)
        for window in windows:
            scene = _scene(pair, fixed, moving, window, moving_to_fixed, labelled, recipe.view_px)
            if scene is not None:
                found.append(scene)
    if not found:
        raise InputError(
            "fixed and moving show nothing in common where " + ("the truth" if labelled else "a guess") + " lays them"
        )
    return found


def read_scenes(
    pairs: Sequence[tuple[Pair, Transform]], labelled: bool, recipe: AdaptRecipe
) -> tuple[list[PairScene], list[Unusable]]:
    """Scenes of all pairs that can be read, and what is wrong with the others."""
    scenes, unusable = [], []
    for pair, moving_to_fixed in pairs:
        try:
            scenes += scenes_of(pair, moving_to_fixed, labelled, recipe)
        except XmatchError as error:
            unusable.append(Unusable(pair.where, str(error)))
    return scenes, unusable


def _scene(
    pair: Pair, fixed: Source, moving: Source, window: Window, moving_to_fixed: Transform, labelled: bool, view_px: int
) -> PairScene | None:
    """One tile; None where the two images have nothing in common there."""
    x0, y0, width, height = window
    longest = view_px * np.sqrt(max(width, height) / min(width, height))
    frame = framing(window, longest)
    back = moving_to_fixed.inverse
    seen = _window_in_moving(back, window, moving)
    if seen is None:
        return None
    moving_window, moving_per_fixed = seen
    factor = frame.size[0] / width
    try:
        view = make_view(fixed, frame)
        other = make_view(moving, framing(moving_window, max(moving_window[2:]) * min(1.0, factor / moving_per_fixed)))
    except InputError:
        return None  # nothing valid in this tile
    px = pixel_centres(view.width, view.height).reshape(-1, 2)
    here = _mapped(view.to_pixel, px)
    values, valid = _looked_up(other, back(here), (view.height, view.width))
    both = view.valid & valid
    if both.mean() < LEAST_SHARE or min(view.image[both].std(), values[both].std()) * 255 < LEAST_SPREAD:
        return None
    places = None
    if not labelled and pair.truth is not None:
        landed = _mapped(np.linalg.inv(view.to_pixel), moving_to_fixed(pair.truth.inverse(here)))
        places = landed.reshape(view.height, view.width, 2).astype(np.float32)
    return PairScene(pair.name, _grey(view.image), view.valid, _grey(values), valid, labelled, places)


def _window_in_moving(back: Transform, window: Window, moving: Source) -> tuple[Window, float] | None:
    """What of moving lies in a window of fixed, and how many of its px there are to one of fixed's."""
    x0, y0, width, height = window
    header = moving.header
    lattice = np.stack(np.meshgrid(np.linspace(0, width, LATTICE), np.linspace(0, height, LATTICE)), -1)
    nodes = np.asarray(back(lattice.reshape(-1, 2) + (x0, y0)))
    nodes = nodes[np.isfinite(nodes).all(axis=1)]
    if len(nodes) < LATTICE:
        return None
    low = np.clip(np.floor(nodes.min(0)) - 2, 0, (header.width, header.height)).astype(int)
    high = np.clip(np.ceil(nodes.max(0)) + 2, 0, (header.width, header.height)).astype(int)
    if (high - low).min() < 8:
        return None
    middle = np.array([[x0 + width / 2, y0 + height / 2]])
    step = np.array([[1.0, 0.0], [0.0, 1.0]])
    turned = (np.asarray(back(middle + step)) - np.asarray(back(middle))).T
    per_fixed = float(np.sqrt(abs(np.linalg.det(turned))))
    if not np.isfinite(per_fixed) or per_fixed < 1e-6:
        return None
    return (int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])), per_fixed


def _looked_up(view: View, moving_xy: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Values and validity of a view at (N, 2) px of its file, as images of `shape`."""
    at = _mapped(np.linalg.inv(view.to_pixel), moving_xy).T.reshape(2, *shape)
    values, valid = sample(view.image[None], view.valid, at, "bilinear")
    return values[0], valid


def _mapped(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return xy @ matrix[:2, :2].T + matrix[:2, 2]


def _grey(image: np.ndarray) -> np.ndarray:
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)
