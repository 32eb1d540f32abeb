"""What a matcher is: two views in, proposals of the whole alignment and correspondences out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from xmatch.coords import Floats, Mask
from xmatch.correspondences import Correspondences
from xmatch.geometry import Linear
from xmatch.geometry.matrices import scale_of
from xmatch.raster import View

if TYPE_CHECKING:
    from xmatch.matchers.search.descriptors import Descriptor


@dataclass(frozen=True, eq=False)
class Proposal:
    """One guess of where the moving view lies on the fixed view."""

    matrix: Floats
    """(3, 3) moving view px -> fixed view px, corner-counted; a similarity, mirrored or not."""
    score: float
    """Higher is better; comparable among the proposals of one matcher on one pair only."""

    @property
    def scale(self) -> float:
        return scale_of(self.matrix)


@dataclass(frozen=True, eq=False)
class ProposedMap:
    """One guess of a whole map that no similarity is: seen from aside, or stretched."""

    to_fixed: Linear
    """Moving view px -> fixed view px, corner-counted; an affine map or a homography."""
    score: float
    """As that of a `Proposal`, and comparable with it."""


@dataclass(frozen=True, eq=False)
class SearchRange:
    """Where to look."""

    centre: Floats = field(default_factory=lambda: np.eye(3))
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
    """Not tuned: a third of the image is far more than a georeferencing is off."""

    @property
    def middle_scale(self) -> float:
        return scale_of(self.centre)

    @property
    def middle_angle_deg(self) -> float:
        return float(np.degrees(np.arctan2(self.centre[1, 0], self.centre[0, 0])))

    def holds(self, turn_deg: ArrayLike, scale: ArrayLike, *, slack_deg: float = 0.0, slack_scale: float = 1.0) -> Mask:
        """Whether turns and scales (one of each, or N), of moving as seen from the matched side, lie in the range, give
        or take a slack."""
        off = np.abs((np.asarray(turn_deg) - self.middle_angle_deg + 180.0) % 360.0 - 180.0)
        relative = np.asarray(scale) / self.middle_scale
        held: Mask = (
            (off <= self.max_angle_deg + slack_deg)
            & (relative >= self.min_scale / slack_scale)
            & (relative <= self.max_scale * slack_scale)
        )
        return held

    def allows(self, matrix: Floats, fixed: View, moving: View) -> bool:
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
    """What a matcher finds in two views."""

    proposals: tuple[Proposal, ...] = ()
    """Best first; may be empty."""
    correspondences: Correspondences = field(default_factory=Correspondences.empty)
    """In view px; matchers that find whole poses only leave it empty. Where there is no proposal or map, a similarity
    is fitted to them."""
    maps: tuple[ProposedMap, ...] = ()
    """Guesses that are no similarities, best first."""
    descriptor: Descriptor | None = None
    """Of the matcher's own, by which the proposals can be told apart, if it has one."""
    edge_proposals: tuple[Proposal, ...] | None = None
    """What a search by edges found, if there was one: a later stage need not make it again."""
    notes: tuple[str, ...] = ()
    """What a user should know of how they were found."""
    is_faint: bool = False
    """So little agrees that it is not worth verifying by itself where another stage follows, which will weigh it among
    its own."""


MIN_SIDE_PX = 24
"""Views with fewer valid pixels than this squared say too little to place them. Not tuned."""


def has_texture(view: View) -> bool:
    """Whether a view has enough valid pixels, and any difference between them."""
    return bool(view.valid.sum() >= MIN_SIDE_PX**2 and np.ptp(view.image[view.valid]) > 1e-6)


class Matcher(Protocol):
    """Finds out how two views lie on each other."""

    name: str
    """As `xmatch.matchers.registry` and `xmatch.verification.calibration` know it."""
    wants_colour: bool
    """Whether it reads `View.colour`, which is made for those alone that do."""

    def __call__(
        self,
        fixed: View,
        moving: View,
        within: SearchRange,
        *,
        seed: int = 0,
        threads: int = 1,
        earlier: Matches | None = None,
    ) -> Matches:
        """Match two views. Nothing to match is an empty result, not an error.

        Args:
            within: where to look.
            seed: of whatever is drawn by chance; the same seed finds the same.
            threads: at most so many.
            earlier: what the stages before found in the same views and range, whose result is not to be trusted.
                Their proposals and maps are weighed with the new ones without the matcher's help.
        """


@dataclass(frozen=True)
class PlanStage:
    """A matcher of a plan, built where it is asked only."""

    name: str
    build: Callable[[], Matcher]
    wants_colour: bool = False
    """As `Matcher.wants_colour`."""

    @staticmethod
    def ready(matcher: Matcher) -> PlanStage:
        return PlanStage(matcher.name, lambda: matcher, matcher.wants_colour)


Plan: TypeAlias = tuple[PlanStage, ...]
"""Matchers to ask one after the other, each where the result of those before it is not to be trusted."""
