"""What a matcher is: two views in, guesses of the whole alignment and correspondences out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.raster import View

if TYPE_CHECKING:
    from xmatch.matchers.search.descriptors import Describe


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One guess of where the moving view lies on the fixed view."""

    matrix: np.ndarray
    """(3, 3) moving view px -> fixed view px, corner-counted; a similarity, mirrored or not."""
    score: float
    """Higher is better; comparable among the hypotheses of one matcher on one pair only."""

    @property
    def scale(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))


@dataclass(frozen=True, eq=False)
class SearchRange:
    """Where to look."""

    centre: np.ndarray = field(default_factory=lambda: np.eye(3))
    """(3, 3) moving view px -> fixed view px: the prior, from georeferencing, spacing or nothing. Its turn and scale
    are the middle of the range; its shift means something only when `near` is set."""
    max_angle_deg: float = 180.0
    min_scale: float = 0.5
    """Smallest scale tried, relative to the centre's."""
    max_scale: float = 2.0
    mirror: bool = False
    near: bool = False
    """The shift of `centre` is to be believed within `max_shift` of the fixed view's longest side."""
    max_shift: float = 0.35

    @property
    def key(self) -> tuple:
        """Equal where the ranges are."""
        return (self.centre.tobytes(), *(value for name, value in vars(self).items() if name != "centre"))

    def holds(self, turn_deg, scale, *, slack_deg: float = 0.0, slack_scale: float = 1.0):
        """Whether turns and scales (of moving as seen from the matched side) lie in the range, give or take a slack."""
        axis = self.centre[:2, 0]
        middle, unit = np.degrees(np.arctan2(axis[1], axis[0])), np.sqrt(abs(np.linalg.det(self.centre[:2, :2])))
        off = np.abs((turn_deg - middle + 180.0) % 360.0 - 180.0)
        relative = scale / unit
        return (
            (off <= self.max_angle_deg + slack_deg)
            & (relative >= self.min_scale / slack_scale)
            & (relative <= self.max_scale * slack_scale)
        )

    def allows(self, matrix: np.ndarray, fixed: View, moving: View) -> bool:
        """Whether a similarity (3, 3), moving view px -> fixed view px, lies in the range, rounding forgiven."""
        mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
        # Seen from the other side, moving's x axis points the other way.
        axis = matrix[:2, 0] * (-1 if mirrored else 1)
        turn, scale = np.degrees(np.arctan2(axis[1], axis[0])), np.hypot(*axis)
        middle = np.array([moving.width / 2, moving.height / 2, 1.0])
        away = np.linalg.norm(((matrix - self.centre) @ middle)[:2])
        near_enough = not self.near or away <= self.max_shift * max(fixed.width, fixed.height)
        return bool(self.holds(turn, scale, slack_deg=2.0, slack_scale=1.05) and near_enough)


@dataclass(frozen=True, eq=False)
class Matches:
    hypotheses: tuple[Hypothesis, ...] = ()
    """Best first; may be empty."""
    correspondences: Correspondences = field(default_factory=Correspondences.empty)
    """In view px; matchers that find whole poses only leave it empty."""
    fields: Describe | None = None
    """Draws further fields by which the hypotheses can be told apart, if the matcher has such."""


MIN_SIDE_PX = 24
"""Views with fewer valid pixels than this squared say too little to place them."""


def says_something(view: View) -> bool:
    """Whether a view has enough valid pixels, and any difference between them."""
    return bool(view.valid.sum() >= MIN_SIDE_PX**2 and np.ptp(view.image[view.valid]) > 1e-6)


class Matcher(Protocol):
    """May also have `otherwise`, which builds the matcher to ask where a result of this one is not to be trusted."""

    name: str

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int, threads: int) -> Matches:
        """Match two views. Nothing to match is an empty result, not an error."""
