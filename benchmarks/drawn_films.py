"""Films of a drawn figure that moves its limbs before a moving ground: where each point goes, and when it hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.synth.sources.figures import Figure, draw_look, draw_pose, make_kind, shown

PAN = 0.2
"""Most that the ground moves by in the whole film, share of the side."""


def draw_film(size: int, count: int, host: np.random.Generator) -> list[Figure]:
    """`count` frames, 2 at least, of `size` px: one figure on its way from one pose to another."""
    kind = make_kind(host)
    start, end = (draw_pose(kind, size, host) for _ in range(2))
    look = draw_look(kind, round(size * (1 + 2 * PAN)), host)
    pan = size * host.uniform(-PAN, PAN, 2)
    frames = []
    for t in np.linspace(0, 1, count):
        pose = replace(
            start,
            scale_px=(1 - t) * start.scale_px + t * end.scale_px,
            middle_xy=(1 - t) * start.middle_xy + t * end.middle_xy,
            angles=(1 - t) * start.angles + t * end.angles,
        )
        frames.append(shown(kind, pose, look, size, tuple(t * pan)))
    return frames


def followed(first: Figure, later: Figure, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points of one frame are in another of the same film.

    Args:
        xy: (N, 2) px of `first`.

    Returns:
        (N, 2) px of `later`, of hidden points too, and (N,) bool: it shows them.
    """
    size = len(first.part)
    part, own = _at(first, xy)
    inverse = np.linalg.inv(first.to_px[own, :, :2])
    place = np.einsum("nij,nj->ni", inverse, xy - first.to_px[own, :, 2])
    on_figure = np.einsum("nij,nj->ni", later.to_px[own, :, :2], place) + later.to_px[own, :, 2]
    there = np.where((part >= 0)[:, None], on_figure, xy + later.ground_xy - first.ground_xy)
    inside = ((there >= 0) & (there < size)).all(1)
    return there, inside & (_at(later, there)[0] == part)


def _at(figure: Figure, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) what is seen at the px of places (N, 2), the nearest one outside, and 0 in place of the ground's -1."""
    column, row = np.floor(xy).astype(int).clip(0, len(figure.part) - 1).T
    part = figure.part[row, column]
    return part, np.maximum(part, 0)
