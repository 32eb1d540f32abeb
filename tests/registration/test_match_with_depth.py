"""Two views of a scene with depth: correspondences on epipolar lines, whatever their distance."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from made_views import scene

from xmatch.correspondences import Correspondences
from xmatch.errors import UsageError
from xmatch.io import open_source
from xmatch.matchers import registry
from xmatch.matchers.base import Matches, PlanStage
from xmatch.registration.epipolar import match_with_depth
from xmatch.registration.options import RegisterOptions

SIFT = RegisterOptions(matcher="sift", threads=1)
"""A matcher with correspondences of its own."""


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Paths of two views: what stands in the lower half is nearer, and moves three times as far to the right."""
    folder, rng = tmp_path_factory.mktemp("views"), np.random.default_rng(2)
    image = np.rint(255 * scene(360, 300)).astype(np.uint8) // 2 + rng.integers(0, 120, (300, 360), dtype=np.uint8)
    far, near = image[:150, 30:330], image[150:, 30:330]
    moved = np.vstack([image[:150, 18:318], image[150:, 0:300]])
    for name, pixels in (("fixed", np.vstack([far, near])), ("moving", moved)):
        tifffile.imwrite(folder / f"{name}.tif", pixels)
    return folder / "fixed.tif", folder / "moving.tif"


def matched(paths, options=SIFT, geometry="fundamental", focal_px=None):
    with open_source(paths[0]) as fixed, open_source(paths[1]) as moving:
        return match_with_depth(fixed, moving, options, geometry, focal_px)


def test_both_distances_are_inliers_where_a_map_has_one_of_them(views):
    found = matched(views)
    shift = (found.correspondences.moving_xy - found.correspondences.fixed_xy)[found.inliers]
    assert found.verdict.accepted and found.transform is None and np.isnan(found.verdict.probability)
    assert (np.abs(shift - (12, 0)) < 1).all(axis=1).sum() > 15 and (np.abs(shift - (30, 0)) < 1).all(axis=1).sum() > 15
    assert "lie on the lines of one fundamental matrix" in found.verdict.reason
    assert any("no map of the plane" in note for note in found.notes)


def test_an_image_and_noise_show_no_geometry(views, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", noise)
    assert not matched((views[0], tmp_path / "noise.tif")).verdict.accepted


def test_an_essential_matrix_wants_focal_lengths_and_a_matcher_single_places(views):
    assert matched(views, geometry="essential", focal_px=(400.0, 400.0)).provenance["matrix"] is not None
    for geometry, focal_px in (("essential", None), ("fundamental", (400.0, 400.0))):
        with pytest.raises(UsageError, match="focal"):
            matched(views, geometry=geometry, focal_px=focal_px)
    with pytest.raises(UsageError, match="structural finds whole maps"):
        matched(views, RegisterOptions(matcher="structural", threads=1))


class Found:
    """A matcher that finds these points, and says that it was asked."""

    wants_colour = False

    def __init__(self, name, points, asked):
        self.name, self._points, self._asked = name, points, asked

    def __call__(self, fixed, moving, within, **kwargs):
        self._asked.append(self.name)
        return Matches(correspondences=self._points)


def points_of(shifts):
    """Points of a lattice, each shifted along x by its own distance, in turns."""
    at = np.stack(np.meshgrid(np.arange(20, 280, 20.0), np.arange(20, 280, 20.0)), -1).reshape(-1, 2)
    return Correspondences(at, at + np.resize(shifts, len(at))[:, None] * (1.0, 0.0), np.ones(len(at)))


@pytest.mark.parametrize(
    ("first", "asked_of", "stands"),
    [("right", ["first"], "first"), ("noise", ["first", "second"], "second")],
)
def test_the_second_matcher_is_asked_where_the_first_one_is_not_to_be_trusted(
    views, monkeypatch, first, asked_of, stands
):
    right = points_of((4.0, 12.0, 9.0, 17.0))
    rng = np.random.default_rng(3)
    noise = Correspondences(rng.uniform(0, 300, (60, 2)), rng.uniform(0, 300, (60, 2)), np.ones(60))
    asked: list[str] = []
    matchers = [Found("first", {"right": right, "noise": noise}[first], asked), Found("second", right, asked)]
    monkeypatch.setattr(registry, "load_depth_plan", lambda *args: tuple(PlanStage.ready(each) for each in matchers))
    found = matched(views, RegisterOptions(threads=1))
    assert asked == asked_of and found.verdict.accepted and found.verdict.matcher == stands


def test_of_two_that_are_not_to_be_trusted_the_one_less_likely_by_chance_is_told(views, monkeypatch):
    rng = np.random.default_rng(3)
    noise = Correspondences(rng.uniform(0, 300, (60, 2)), rng.uniform(0, 300, (60, 2)), np.ones(60))
    some = points_of((4.0, 12.0, 9.0, 17.0))[np.arange(0, 169, 17)]
    matchers = [Found("some", some, []), Found("noise", noise, [])]
    monkeypatch.setattr(registry, "load_depth_plan", lambda *args: tuple(PlanStage.ready(each) for each in matchers))
    found = matched(views, RegisterOptions(threads=1))
    assert not found.verdict.accepted and found.verdict.matcher == "some"


def test_auto_asks_keypoints_and_then_those_taught_across_sensors():
    assert [stage.name for stage in registry.load_depth_plan("auto")] == ["sift", registry.TAUGHT_KEYPOINTS]
    assert [stage.name for stage in registry.load_depth_plan("sift")] == ["sift"]
