"""Peers that look at content find what they must: two views of one ground by one sensor."""

import cv2
import numpy as np
import pytest
from scenes import ground, optical, placed, seen

from xmatch.evaluation.peers import keypoints
from xmatch.evaluation.peers.base import PeerSettings
from xmatch.evaluation.peers.registry import load_peer
from xmatch.metrics import corner_error_px

FIXED_SIZE, SIZE = (110, 100), (100, 104)


def scene(folder, angle_deg, scale):
    """(fixed, moving, truth) with a shift of a few px as well."""
    land = ground(5)
    views = placed(size=FIXED_SIZE), placed(angle_deg, scale, (4, -3), SIZE)
    paths = folder / "fixed.png", folder / "moving.png"
    for path, view, size in zip(paths, views, (FIXED_SIZE, SIZE), strict=True):
        cv2.imwrite(str(path), optical(seen(land, view, size)))
    return *paths, views[0].inverse.after(views[1])


@pytest.fixture(scope="module", params=[(0, 1.0), (24, 1.15), (160, 0.9)], ids=str)
def turned(request, tmp_path_factory):
    return scene(tmp_path_factory.mktemp("turned"), *request.param)


@pytest.mark.parametrize(("name", "within_px"), [("sift", 1.0), ("orb", 2.0), ("phase-correlation", 2.0)])
def test_a_view_of_the_same_sensor_is_found(turned, name, within_px):
    fixed, moving, truth = turned
    found = load_peer(name)(fixed, moving, PeerSettings())
    assert found.reason is None
    assert corner_error_px(found.transform, truth, *SIZE) < within_px


def test_sift_finds_a_homography_when_asked(turned):
    fixed, moving, truth = turned
    found = load_peer("sift")(fixed, moving, PeerSettings(transform="homography"))
    assert found.transform.kind == "homography" and 4 < found.inliers <= found.correspondences
    assert corner_error_px(found.transform, truth, *SIZE) < 2


def test_mutual_information_finds_a_turned_view_and_the_same_twice(tmp_path):
    fixed, moving, truth = scene(tmp_path, 24, 1.1)
    peer = load_peer("mutual-information")
    found, again = (peer(fixed, moving, PeerSettings(seed=3)) for _ in range(2))
    assert corner_error_px(found.transform, truth, *SIZE) < 0.5
    assert (found.transform.matrix == again.transform.matrix).all()


def test_xmatch_itself_runs_with_any_of_its_matchers(tmp_path):
    fixed, moving, truth = scene(tmp_path, 24, 1.1)
    found = load_peer("xmatch")(fixed, moving, PeerSettings(matcher="sift"))
    assert corner_error_px(found.transform, truth, *SIZE) < 1
    assert 0 < found.inliers <= found.correspondences


def test_akaze_finds_it_or_says_that_this_opencv_lacks_it(turned):
    fixed, moving, truth = turned
    found = load_peer("akaze")(fixed, moving, PeerSettings())
    if keypoints.DETECTORS["akaze"][0]() is None:
        assert found.transform is None and "contrib" in found.reason
    else:
        assert corner_error_px(found.transform, truth, *SIZE) < 3


@pytest.mark.parametrize("name", ["sift", "orb", "phase-correlation", "mutual-information", "xmatch"])
def test_an_image_that_shows_nothing_is_a_reason_not_an_error(tmp_path, name):
    fixed, moving, _ = scene(tmp_path, 0, 1.0)
    cv2.imwrite(str(moving), np.full((60, 60), 77, np.uint8))
    found = load_peer(name)(fixed, moving, PeerSettings(matcher="sift"))
    assert found.transform is None and found.reason


def test_keypoints_that_agree_on_nothing_are_counted_and_no_transform_is_made_of_them(tmp_path):
    fixed, moving, _ = scene(tmp_path, 0, 1.0)
    cv2.imwrite(str(moving), np.random.default_rng(0).integers(0, 255, (100, 100), np.uint8))
    found = load_peer("sift")(fixed, moving, PeerSettings())
    assert found.transform is None and "explains" in found.reason and found.correspondences is not None


def test_a_scale_that_nobody_believes_is_a_failure(tmp_path):
    fixed, moving, _ = scene(tmp_path, 0, 1.3)
    for name in ("sift", "phase-correlation"):
        found = load_peer(name)(fixed, moving, PeerSettings(max_scale=1.1))
        assert found.transform is None and "beyond what is believed" in found.reason


@pytest.mark.parametrize(
    "wrong", [{"transform": "tps"}, {"pixel_origin": "middle"}, {"direction": "back"}, {"max_scale": 1.0}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PeerSettings(**wrong)
