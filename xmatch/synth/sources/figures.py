"""Figures with limbs, drawn part by part: a kind says which parts there are, each figure of the kind looks its own way.

Every place on a part has the same name in all figures of a kind (its position along and across the part), so that what
corresponds between two of them is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xmatch.coords import pixel_centres
from xmatch.synth.worlds.drawn import drawing

TURN_DEG = 30.0
"""How far a figure leans."""
BEND_DEG = 22.0
"""Standard deviation of the angle at a joint."""
GROWTH = 0.15
"""Standard deviation of the logarithm of a part's length and width."""
PATTERN = 0.18
"""Contrast of what a part is marked with; its shade has all of [0, 1]."""


@dataclass(frozen=True)
class Part:
    """An ellipse; lengths are shares of the figure's size, angles in radians."""

    parent: int
    """Number of the part that it hangs on; its own for the first."""
    at: tuple[float, float]
    """Where: along and across the parent, each from -1 to 1."""
    angle: float
    """From the parent's direction to its own."""
    length: float
    width: float
    waves: tuple[float, float]
    """Of its marks, along and across."""
    layer: int
    """What is drawn later covers what is drawn before."""


@dataclass(frozen=True, eq=False)
class Pose:
    """How a figure stands; P parts."""

    scale_px: float
    middle_xy: np.ndarray
    """(2,) px."""
    angles: np.ndarray
    """(P,) how far each part is turned from where its kind has it, radians; of the first, the figure's lean."""
    growth: np.ndarray
    """(P, 2) factors of each part's length and width."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a figure and its ground look like."""

    ground: np.ndarray
    """(S, S) float32 in [0, 1]."""
    light: np.ndarray
    """(2,) change of shade from the middle of a part to its ends, along and across."""
    shades: dict[int, float]
    """Of each part."""


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure in its picture of S x S px."""

    image: np.ndarray
    """(S, S) float32 in [0, 1]."""
    part: np.ndarray
    """(S, S) number of the part that a px shows; -1: the ground."""
    place: np.ndarray
    """(S, S, 2) along and across that part."""
    to_px: np.ndarray
    """(P, 2, 3) place on each part -> px."""
    ground_xy: np.ndarray
    """(2,) px that the ground has moved by."""


def make_kind(host: np.random.Generator) -> tuple[Part, ...]:
    """The parts of a kind: trunk, head with two eyes, perhaps ears, legs in two pieces, a tail."""
    parts: list[Part] = []

    def add(parent: int, at: tuple[float, float], angle: float, length: float, width: float, layer: int) -> int:
        waves = (float(host.uniform(1.5, 6.0)), float(host.uniform(1.0, 4.0)))
        parts.append(Part(parent, at, angle, length, width, waves, layer))
        return len(parts) - 1

    trunk = add(0, (0.0, 0.0), 0.0, host.uniform(0.4, 0.6), host.uniform(0.16, 0.32), 2)
    head = add(trunk, (0.8, -0.4), host.uniform(-1.2, 0.3), host.uniform(0.18, 0.3), host.uniform(0.12, 0.22), 3)
    for side in (-1.0, 1.0):
        add(head, (0.35, 0.4 * side), 0.0, 0.05, 0.05, 5)
    if host.random() < 0.7:
        add(head, (-0.5, -0.8), host.uniform(-2.2, -1.2), host.uniform(0.08, 0.2), host.uniform(0.05, 0.09), 4)
    if host.random() < 0.7:
        add(trunk, (-0.95, -0.3), host.uniform(2.4, 3.6), host.uniform(0.2, 0.4), host.uniform(0.04, 0.08), 1)
    wide = host.uniform(0.06, 0.11)
    for along in np.linspace(-0.75, 0.75, int(host.integers(2, 5))):
        upper = add(trunk, (float(along), 0.7), np.pi / 2 + host.normal(0, 0.15), host.uniform(0.16, 0.24), wide, 1)
        add(upper, (0.9, 0.0), host.normal(0, 0.3), host.uniform(0.14, 0.24), 0.8 * wide, 0)
    return tuple(parts)


def draw_figure(kind: tuple[Part, ...], size: int, host: np.random.Generator) -> Figure:
    """One figure of a kind before a ground of drawn shapes."""
    pose = draw_pose(kind, size, host)
    return shown(kind, pose, draw_look(kind, size, host), size)


def draw_pose(kind: tuple[Part, ...], size: int, host: np.random.Generator) -> Pose:
    """A pose somewhere in the middle of a picture of `size` px."""
    scale = size * host.uniform(0.7, 1.0)
    middle = size * (0.5 + host.uniform(-0.08, 0.08, 2)) - (0, 0.08 * scale)
    angles, growth = [], []
    for number, part in enumerate(kind):
        growth.append(np.exp([host.normal(0, GROWTH), host.normal(0, GROWTH)]))
        lean = number == part.parent
        angles.append(np.deg2rad(host.uniform(-TURN_DEG, TURN_DEG) if lean else host.normal(0, BEND_DEG)))
    return Pose(scale, middle, np.array(angles), np.stack(growth))


def draw_look(kind: tuple[Part, ...], size: int, host: np.random.Generator) -> Look:
    """A look with a ground of `size` px."""
    ground = cv2.GaussianBlur(drawing(size, host), (0, 0), host.uniform(0.5, 3.0)).astype(np.float32) / 255
    light = host.normal(0, 0.15, 2)
    return Look(ground, light, {number: host.uniform(0.1, 0.9) for number in _from_below(kind)})


def shown(
    kind: tuple[Part, ...], pose: Pose, look: Look, size: int, ground_xy: tuple[float, float] = (0.0, 0.0)
) -> Figure:
    """A picture of `size` px.

    Args:
        ground_xy: px that the ground has moved by from where its middle is that of the picture.
    """
    to_px = _placed(kind, pose)
    border = (look.ground.shape[0] - size) / 2
    onto = np.array([[1.0, 0.0, ground_xy[0] - border], [0.0, 1.0, ground_xy[1] - border]])
    image: np.ndarray = cv2.warpAffine(look.ground, onto, (size, size), borderMode=cv2.BORDER_REFLECT)
    part = np.full((size, size), -1)
    place = np.zeros((size, size, 2))
    pixels = np.dstack([pixel_centres(size, size), np.ones((size, size))])
    for number in _from_below(kind):
        along, across = np.moveaxis(pixels @ _inverse(to_px[number]).T, -1, 0)
        own = along**2 + across**2 <= 1
        waves = kind[number].waves
        marks = np.sin(waves[0] * along + 0.5) * np.cos(waves[1] * across)
        shade = look.shades[number] + PATTERN * marks + look.light[0] * along + look.light[1] * across
        image = np.where(own, shade, image)
        part[own] = number
        place[own] = np.stack([along, across], -1)[own]
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.7)
    return Figure(image.clip(0, 1), part, place, to_px, np.array(ground_xy))


def between(first: Figure, second: Figure) -> tuple[np.ndarray, np.ndarray]:
    """(S, S, 2) px of the second figure where the places of the first's px lie, and (S, S) bool: both show them."""
    size = len(first.part)
    onto = second.to_px[np.maximum(first.part, 0)]
    there = np.einsum("hwij,hwj->hwi", onto[..., :2], first.place) + onto[..., 2]
    column, row = (np.floor(there[..., i]).astype(int) for i in (0, 1))
    inside = (column >= 0) & (row >= 0) & (column < size) & (row < size)
    shown = second.part[row.clip(0, size - 1), column.clip(0, size - 1)]
    return there, (first.part >= 0) & inside & (shown == first.part)


def _from_below(kind: tuple[Part, ...]) -> list[int]:
    """Numbers of the parts in the order in which they are drawn."""
    return sorted(range(len(kind)), key=lambda number: kind[number].layer)


def _placed(kind: tuple[Part, ...], pose: Pose) -> np.ndarray:
    """(P, 2, 3) place on each part -> px."""
    angles: list[float] = []
    found: list[np.ndarray] = []
    for number, part in enumerate(kind):
        length, width = pose.growth[number] * pose.scale_px * (part.length, part.width) / 2
        angle, centre = float(pose.angles[number]), pose.middle_xy
        if number != part.parent:
            angle += angles[part.parent] + part.angle
            hinge = found[part.parent] @ (*part.at, 1.0)
            centre = hinge + 0.85 * length * np.array([np.cos(angle), np.sin(angle)])
        c, s = np.cos(angle), np.sin(angle)
        angles.append(angle)
        found.append(np.array([[c * length, -s * width, centre[0]], [s * length, c * width, centre[1]]]))
    return np.stack(found)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """(2, 3) of the inverse of an affine (2, 3)."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])
