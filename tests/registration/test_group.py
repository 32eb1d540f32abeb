"""Several images onto one: which pairs are registered, what loops say, and what becomes of each image."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from memory_source import MemorySource
from scenes import FIXED_AT, SIDE, ground, optical, placed, seen, to_fixed, write

from xmatch.coords import corners
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.geometry import compose, similarity, translation
from xmatch.geometry.outlines import nodes_over
from xmatch.io import open_source
from xmatch.registration import pipeline
from xmatch.registration.group import GroupOptions, pairs_of, register_group
from xmatch.registration.options import RegisterOptions
from xmatch.result import Registration, Verdict

POSES = [similarity(), similarity(3, 1.02, (6, -4)), similarity(-5, 1.0, (-8, 3)), similarity(8, 0.97, (2, 9))]
"""Each image's px -> px of the first."""
SPOTS = nodes_over(64, 48, 4) * 0.8 + 5


def image(number: int) -> MemorySource:
    return MemorySource(np.arange(48 * 64).reshape(48, 64) % 251 + 1, path=f"date{number}.tif")


@pytest.fixture
def group(monkeypatch):
    """Register images 0..3 with pairs that say the truth, apart from what `says` has of some (fixed, moving): a shift
    of the map, "refused", "failed" or the probability of its verdict."""

    def run(says=None, count=4, **options):
        names = [f"date{k}.tif" for k in range(count)]

        def register(fixed, moving, asked, progress=None):
            pair = (names.index(fixed.header.path), names.index(moving.header.path))
            said = (says or {}).get(pair)
            if said == "failed":
                raise InputError("the images do not overlap")
            shift = said if isinstance(said, tuple) else (0, 0)
            probability = said if isinstance(said, float) else 0.95
            transform = compose(POSES[pair[1]], POSES[pair[0]].inverse, translation(*shift))
            verdict = Verdict(said != "refused", probability, "made up", 1.0, matcher="sift", calibration="sift")
            points = Correspondences(transform(SPOTS), SPOTS, np.ones(len(SPOTS)))
            return Registration({}, {}, transform, points, np.ones(len(SPOTS), bool), np.zeros(len(SPOTS)), verdict)

        monkeypatch.setattr("xmatch.registration.pipeline.register", register)
        monkeypatch.setattr("xmatch.io.file_digest", lambda path: "sha256:none")
        return register_group([image(k) for k in range(count)], GroupOptions(**options))

    return run


def states(found) -> dict[tuple[int, int], str]:
    return {(pair.fixed, pair.moving): pair.state for pair in found.pairs if pair.state != "used"}


def accepted(found) -> list[bool]:
    return [image.verdict.accepted for image in found.images]


def test_few_images_are_all_registered_with_each_other():
    assert sorted(pairs_of(4, None, 0)) == list(combinations(range(4), 2))


def test_the_reference_is_fixed_in_its_pairs():
    assert set(pairs_of(3, None, 1)) == {(1, 0), (1, 2), (0, 2)}


def test_of_many_each_is_registered_with_its_neighbours_and_some_further_on():
    found = pairs_of(40, None, 0)
    assert len(found) == 39 + 38 + 36 + 32 and (7, 8) in found and (7, 15) in found and (7, 16) not in found
    assert pairs_of(40, 1, 0) == [(k, k + 1) for k in range(39)]


def test_true_pairs_put_every_image_where_it_is(group):
    found = group()
    assert accepted(found) == [True] * 4 and states(found) == {}
    for registration, pose in zip(found.images, POSES, strict=True):
        assert np.allclose(registration.transform(corners(64, 48)), pose(corners(64, 48)), atol=1e-6)
        assert registration.inliers.all()
    assert len(found.loops) == 4 and max(loop.off_px for loop in found.loops) < 1e-6
    assert all("loops confirm" in one.verdict.reason for one in found.images[1:])


def test_a_wrong_pair_is_named_and_its_loops_do_not_close(group):
    found = group({(1, 2): (15, 4)})
    assert states(found) == {(1, 2): "disagrees"} and accepted(found) == [True] * 4
    assert np.allclose(found.images[2].transform(SPOTS), POSES[2](SPOTS), atol=1e-6)
    open_loops = [loop.images for loop in found.loops if loop.off_px > 5]
    assert open_loops == [(0, 1, 2), (1, 2, 3)]


def test_a_loop_makes_a_doubtful_chain_trusted(group):
    """0.8 each: two of them in a row are less than is asked of one."""
    chain = {(0, 1): 0.8, (1, 2): 0.8}
    alone = group(chain | {(0, 2): "refused"}, count=3)
    assert accepted(alone) == [True, True, False] and "in a row" in alone.images[2].verdict.reason
    looped = group(chain | {(0, 2): 0.8}, count=3)
    assert accepted(looped) == [True] * 3


def test_a_refused_pair_is_never_used_though_it_agrees(group):
    found = group({(0, 3): "refused", (1, 3): "refused", (2, 3): "refused"})
    assert accepted(found) == [True, True, True, False]
    assert "None of its 3 pairs is trusted" in found.images[3].verdict.reason
    among = group({(1, 2): "refused"})
    pair = next(pair for pair in among.pairs if pair.state == "refused")
    assert pair.off_px == pytest.approx(0, abs=1e-6) and not pair.in_loop


def test_a_pair_that_cannot_be_registered_stops_nothing(group):
    found = group({(2, 3): "failed"})
    assert states(found) == {(2, 3): "failed"} and accepted(found) == [True] * 4


def test_word_against_word_places_neither(group):
    found = group({(0, 2): (20, 0)}, count=3)
    assert accepted(found) == [True, False, False]
    assert "no further loop says which" in found.images[1].verdict.reason


def test_an_image_that_hangs_with_others_but_not_with_the_reference_is_refused(group):
    found = group({(0, 2): "refused", (1, 2): "refused", (0, 3): "refused", (1, 3): "refused"})
    assert accepted(found) == [True, True, False, False] and states(found)[2, 3] == "apart"
    assert "lead to date3.tif" in found.images[2].verdict.reason


def test_another_image_may_be_the_reference(group):
    found = group(reference=2)
    assert np.allclose(found.images[2].transform(SPOTS), SPOTS)
    assert np.allclose(found.images[0].transform(SPOTS), POSES[2].inverse(SPOTS), atol=1e-6)


def test_images_come_together_within_half_a_px_whatever_one_pair_says(tmp_path, monkeypatch):
    """The whole way, of files: four dates of one place, and one pair of them 12 px off."""
    land = ground(5)
    poses = [FIXED_AT, placed(4, 1.0, (5, -6)), placed(-6, 1.03, (-9, 4)), placed(2, 0.98, (7, 8))]
    shades = [optical(seen(land, pose) ** power) for pose, power in zip(poses, (1, 0.7, 1.4, 0.9), strict=True)]
    paths = [write(tmp_path / f"date{k}.tif", shade) for k, shade in enumerate(shades)]
    own = pipeline.register

    def register(fixed, moving, options, progress=None):
        found = own(fixed, moving, options)
        planted = (fixed.header.path, moving.header.path) == (str(paths[1]), str(paths[3]))
        return replace(found, transform=compose(found.transform, translation(12, 0))) if planted else found

    monkeypatch.setattr(pipeline, "register", register)
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(path)) for path in paths]
        found = register_group(
            sources, GroupOptions(RegisterOptions(matcher="sift", transform="similarity", threads=1))
        )
    assert accepted(found) == [True] * 4 and states(found) == {(1, 3): "disagrees"}
    for registration, pose in zip(found.images, poses, strict=True):
        xy = nodes_over(SIDE, SIDE, 5)
        assert np.linalg.norm(registration.transform(xy) - to_fixed(pose)(xy), axis=1).max() < 0.5
