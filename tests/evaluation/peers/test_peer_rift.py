"""RIFT finds what brightness hides: the same ground, darkened where it was bright, turned at will."""

import cv2
import numpy as np
import pytest
from scenes import SIDE, ground, optical, placed, seen, to_fixed, write

from xmatch.evaluation.peers import rift
from xmatch.evaluation.peers.base import PeerSettings
from xmatch.evaluation.peers.images import Grey
from xmatch.evaluation.peers.registry import load_peer
from xmatch.evaluation.peers.rift import CELL_PX, MARGIN_PX, Described, congruency
from xmatch.metrics import corner_error_px

LAND = ground(7)
ALL = np.ones((SIDE, SIDE), bool)


def inverted(land):
    """(H, W) uint8: dark where `optical` is bright, with another curve."""
    return optical((1 - land) ** 2)


def scene(folder, angle_deg=0.0, scale=1.0, shift_px=(6, -9), valid=None, behind=0):
    """(fixed, moving, truth); what is not `valid` (H, W) of moving shows `behind`."""
    at = placed(angle_deg, scale, shift_px)
    moving = inverted(seen(LAND, at))
    if valid is not None:
        moving = np.where(valid, moving, behind).astype(np.uint8)
    fixed_path = write(folder / "fixed.tif", optical(seen(LAND, placed())))
    return fixed_path, write(folder / "moving.tif", moving, valid), to_fixed(at)


@pytest.mark.parametrize(("angle_deg", "scale"), [(0, 1.0), (100, 1.0), (-135, 1.05)])
def test_a_turned_view_with_inverted_brightness_is_found(tmp_path, angle_deg, scale):
    fixed, moving, truth = scene(tmp_path, angle_deg, scale)
    found = load_peer("rift")(fixed, moving, PeerSettings())
    assert found.reason is None and 4 < found.inliers <= found.correspondences
    assert found.transform.kind == "similarity"
    # 135 degrees are as far from the turns that are tried as can be.
    assert corner_error_px(found.transform, truth, SIDE, SIDE) < (3 if angle_deg == -135 else 1.5)


def test_a_homography_is_found_when_asked_and_the_same_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(rift, "TURNS", 2)
    fixed, moving, truth = scene(tmp_path, 30)
    found, again = (load_peer("rift")(fixed, moving, PeerSettings(transform="homography", seed=4)) for _ in range(2))
    assert found.transform.kind == "homography"
    assert corner_error_px(found.transform, truth, SIDE, SIDE) < 4
    assert (found.transform.matrix == again.transform.matrix).all() and found.inliers == again.inliers


def test_what_is_invalid_has_no_say(tmp_path):
    """Behind the mask lies black, or bright noise: not one bit of the answer may change."""
    corner = np.array([[0, 0], [130, 0], [0, 110]], np.int32)
    valid = cv2.fillPoly(np.ones((SIDE, SIDE), np.uint8), [corner], 0) > 0
    answers = []
    for behind in (0, np.random.default_rng(0).integers(0, 256, valid.shape)):
        fixed, moving, truth = scene(tmp_path, 20, valid=valid, behind=behind)
        answers.append(load_peer("rift")(fixed, moving, PeerSettings()))
    assert answers[0].inliers == answers[1].inliers
    assert (answers[0].transform.matrix == answers[1].transform.matrix).all()
    assert corner_error_px(answers[0].transform, truth, SIDE, SIDE) < 2


def test_no_keypoint_lies_near_what_is_invalid_or_beyond_the_border():
    valid = ALL.copy()
    valid[100:140, 90:150] = False
    image = np.where(valid, optical(seen(LAND, placed())), 0).astype(np.uint8)
    found = Described.of(Grey(image, valid))
    near = cv2.distanceTransform(np.pad(valid, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    x, y = found.xy.T
    assert len(found.xy) > 100
    assert near[y, x].min() >= 0.95 * MARGIN_PX >= 0.95 * CELL_PX


def test_the_hole_itself_is_no_edge():
    """On featureless ground there is nothing to answer but the hole."""
    valid = ALL.copy()
    valid[100:140, 90:150] = False
    slope = np.tile(np.linspace(60, 200, SIDE), (SIDE, 1))
    found = congruency(Grey(np.where(valid, slope, 0).astype(np.uint8), valid))
    around = cv2.dilate((~valid).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & valid
    edge = congruency(Grey(np.where(valid, slope, 0).astype(np.uint8), ALL)).edges[around].max()
    assert found.edges[around].max() < 0.2 * edge


@pytest.mark.parametrize("orientation", range(6))
def test_waves_are_indexed_by_where_they_run(orientation):
    y, x = np.mgrid[:100, :100]
    angle = np.pi * orientation / 6
    wave = 128 + 100 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / 8)
    index = congruency(Grey(wave.astype(np.uint8), np.ones(wave.shape, bool))).index
    assert (index[30:70, 30:70] == orientation).all()


def test_a_quarter_turn_turns_the_descriptors_and_nothing_else():
    image = optical(seen(LAND, placed()))
    upright, turned = Described.of(Grey(image, ALL)), Described.of(Grey(np.rot90(image, -1).copy(), ALL))
    # Clockwise, that is from x towards y: (x, y) goes to (SIDE - 1 - y, x).
    same = Described(np.stack([SIDE - 1 - upright.xy[:, 1], upright.xy[:, 0]], -1), turned.cells)
    likeness = (upright.descriptors(3) * same.descriptors(0)).sum(axis=1)
    assert np.median(likeness) > 0.98
    assert np.median((upright.descriptors(0) * same.descriptors(0)).sum(axis=1)) < 0.9


@pytest.mark.parametrize(("side", "value"), [(60, 77), (5, None), (30, None)])
def test_an_image_without_anything_to_go_by_is_a_reason(tmp_path, side, value):
    fixed, moving, _ = scene(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (side, side)).astype(np.uint8)
    write(moving, noise if value is None else np.full_like(noise, value))
    found = load_peer("rift")(fixed, moving, PeerSettings())
    assert found.transform is None and "moving" in found.reason and not found.failed
