"""Which of two maps stands, by what the verdict says of each: maps and images are stand-ins here."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from xmatch.correspondences import Correspondences
from xmatch.geometry import affine, translation
from xmatch.matchers.base import Matches
from xmatch.registration import attempts
from xmatch.registration.attempts import Attempt
from xmatch.registration.bend_choice import follows_better, may_bend
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pose_selection import BENT_FURTHER
from xmatch.result import Verdict

FRAME = SimpleNamespace(fixed=None, moving=None)


ALIGNMENT = SimpleNamespace(best=SimpleNamespace(matrix=np.eye(3)), rivals=())


def attempt(probability: float, regions_share: float, *, accepted: bool = False) -> Attempt:
    verdict = Verdict(accepted, probability, "", evidence={"regions_share": regions_share})
    return Attempt("told", FRAME, verdict, alignment=ALIGNMENT)


@pytest.fixture
def refined(monkeypatch):
    """(what was found, what each refined map would be) -> what stands."""

    def choose(found, *others):
        monkeypatch.setattr(attempts, "refined_alignments", lambda *args, **kwargs: iter(others))
        return attempts._refined(found, Matches(), None, RegisterOptions(), lambda matcher, frame, candidate: candidate)

    return choose


def test_of_two_refused_maps_the_likelier_one_stands_however_little_lies_on_it(refined):
    found, likelier, less_likely = attempt(0.03, 0.14), attempt(0.28, 0.22), attempt(0.01, 0.6)
    assert refined(found, likelier) is likelier
    assert refined(found, less_likely) is found


def test_a_refined_map_that_hardly_anything_lies_on_is_not_accepted(refined):
    found, narrow, wide = attempt(0.03, 0.14), attempt(0.99, 0.29, accepted=True), attempt(0.95, 0.4, accepted=True)
    assert refined(found, narrow) is found
    assert refined(found, narrow, wide) is wide


def test_an_accepted_map_gives_way_only_to_one_that_half_of_the_image_lies_on(refined):
    found, refused, settled = (
        attempt(0.9, 0.4, accepted=True),
        attempt(0.95, 0.8),
        attempt(0.95, 0.6, accepted=True),
    )
    assert refined(found, refused) is found
    assert refined(found, attempt(0.99, 0.45, accepted=True)) is found
    assert refined(found, settled) is settled


def test_where_no_pose_leads_anywhere_the_map_that_tie_points_made_is_refined(monkeypatch):
    frame = SimpleNamespace(
        fixed=None, moving=SimpleNamespace(width=90, height=60), between_views=lambda transform, xy: transform(xy)
    )
    tied = affine([[1.1, 0.2, 3.0], [0.0, 0.9, -2.0]])
    refused = Verdict(False, 0.2, "", evidence={"regions_share": 0.2})
    found = Attempt("told", frame, refused, ALIGNMENT, SimpleNamespace(transform=tied))
    settled = attempt(0.95, 0.8, accepted=True)

    def refine(fixed, moving, matches, alignment, refiner, starts, **kwargs):
        return iter([settled] if np.allclose(starts, [tied.matrix]) else [])

    monkeypatch.setattr(attempts, "refined_alignments", refine)
    options = RegisterOptions()
    assert attempts._refined(found, Matches(), None, options, lambda matcher, frame, candidate: candidate) is settled


AS_IT_IS = translation(0.0, 0.0)
BEND = translation(5.0, 0.0)
"""Stands for one: all that counts is where a map puts points."""


def ties(with_bend: int, with_stiff: int, neither: int) -> Correspondences:
    """Tie points that agree with the one map, the other, or none of them."""
    off = [(5, 0)] * with_bend + [(0, 0)] * with_stiff + [(-9, 9)] * neither
    at = np.random.default_rng(0).uniform(0, 300, (len(off), 2))
    return Correspondences(at + np.array(off), at, np.ones(len(off)))


@pytest.mark.parametrize(
    ("agree", "is_better"),
    [
        ((16, 8, 30), False),  # radar, unbent: twice as many of few
        ((49, 24, 27), False),  # leaning roofs, unbent: twice as many, half of all
        ((45, 10, 9), True),  # seven in ten, and four times as many
        ((38, 14, 3), True),  # the same
        ((41, 12, 7), True),  # less than seven in ten, but it leaves two thirds of the error
        ((34, 9, 18), True),  # infrared, bent: more than half, and nearly four times as many
        ((17, 2, 41), False),
        ((11, 0, 42), False),
    ],
)
def test_a_bend_wants_most_tie_points_or_little_of_the_error(agree, is_better):
    accepted = Verdict(True, 0.99, "")
    assert follows_better(BEND, AS_IT_IS, ties(*agree), accepted, RegisterOptions()) is is_better


@pytest.mark.parametrize(("further", "stands"), [(BEND, 1), (translation(-9.0, 9.0), 0)], ids=["nearer", "no nearer"])
def test_a_bend_that_was_taken_goes_on_as_long_as_tie_points_are_nearer(monkeypatch, further, stands):
    """A first field on the way to the bend, then one that is there or leads elsewhere."""
    first = translation(4.0, 0.0)
    points = ties(40, 0, 0)
    candidates = [
        SimpleNamespace(
            best=SimpleNamespace(to_fixed=each, made_by=made_by),
            ties=points,
            forward_backward_px=np.zeros(len(points)),
        )
        for each, made_by in ((first, "refined"), (further, BENT_FURTHER))
    ]
    monkeypatch.setattr(attempts, "bent_alignments", lambda *args, **kwargs: iter(candidates))
    frame = SimpleNamespace(fixed=None, moving=None, between_views=lambda transform, xy: transform(xy))
    accepted = Verdict(True, 0.99, "", evidence={"regions_share": 0.9})

    def weigh(matcher, frame, candidate):
        return Attempt(matcher, frame, accepted, candidate, SimpleNamespace(transform=candidate.best.to_fixed))

    stiff = SimpleNamespace(best=SimpleNamespace(to_fixed=AS_IT_IS))
    found = Attempt("told", frame, accepted, stiff, SimpleNamespace(transform=AS_IT_IS))
    assert attempts._bent(found, Matches(), RegisterOptions(), weigh).alignment is candidates[stands]


@pytest.mark.parametrize(
    ("probability", "regions_px", "inlier_share", "ties", "looks"),
    [
        (0.5, 3.0, 0.3, 60, True),
        (0.5, 1.0, 0.3, 60, False),  # regions lie where the map puts them
        (0.99, 1.0, 0.9, 60, True),  # but most tie points agree, so that a px is much
        (0.05, 9.0, 0.1, 60, False),  # most likely the map is wrong altogether
        (0.5, 3.0, 0.3, 20, False),  # too few would be steady around whatever was found
    ],
)
def test_a_bend_is_looked_for_where_regions_lie_off_a_map_that_may_be_right(
    probability, regions_px, inlier_share, ties, looks
):
    evidence = {"regions_px": regions_px, "inlier_share": inlier_share}
    assert may_bend(Verdict(False, probability, "", evidence=evidence), ties) is looks
