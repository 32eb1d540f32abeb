"""What controls score on pairs whose truth is known."""

import cv2
import numpy as np
import pytest
from scenes import ground, optical, placed, seen

from xmatch.coords import to_centre_matrix
from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.registry import PEERS, load_peer
from xmatch.geometry import similarity
from xmatch.metrics import auc, corner_error_px

SIZE = (120, 100)


def write(path, image):
    cv2.imwrite(str(path), image)
    return path


def turned_inside(image, angle_deg, scale=1.0, shift_px=(0.0, 0.0)):
    """The image turned about its centre inside its own canvas, black around it, and the map from there back to it."""
    height, width = image.shape
    turn = similarity(-angle_deg, scale)
    middle = np.array([[width / 2, height / 2]])
    shift = (middle + shift_px - turn(middle))[0]
    there = similarity(-angle_deg, scale, tuple(shift))
    return cv2.warpAffine(image, to_centre_matrix(there.matrix)[:2], (width, height)), there.inverse


@pytest.fixture(scope="module")
def bright():
    """Content without black of its own."""
    return np.maximum(optical(seen(ground(3), placed(size=SIZE), SIZE)), 40)


def test_every_peer_is_built_under_its_own_name():
    assert {name: load_peer(name).name for name in PEERS} == {name: name for name in PEERS}


def test_an_unknown_peer_is_a_usage_error_that_names_the_known_ones():
    with pytest.raises(UsageError, match="phase-correlation"):
        load_peer("sfit")


def test_found_is_a_transform_or_a_reason_never_both_nor_neither():
    for transform, reason in ((None, None), (None, ""), (similarity(), "why")):
        with pytest.raises(ValueError, match="reason"):
            Found(transform, reason)


def test_the_truth_scores_a_hundred_and_is_not_to_be_had_without_it(tmp_path, bright):
    path = write(tmp_path / "a.png", bright)
    truth = similarity(33, 1.2, (4, -7))
    found = load_peer("truth")(path, path, PeerSettings(truth=truth))
    error = corner_error_px(found.transform, truth, *SIZE)
    assert error == 0 and auc([error], [3]) == pytest.approx([100])
    with pytest.raises(UsageError, match="truth"):
        load_peer("truth")(path, path, PeerSettings())


def test_identity_moves_nothing_and_centre_lays_middle_on_middle(tmp_path):
    fixed = write(tmp_path / "fixed.png", np.full((60, 100), 99, np.uint8))
    moving = write(tmp_path / "moving.png", np.full((30, 25), 99, np.uint8))
    points = np.array([[12.5, 15.0], [0.0, 0.0]])
    assert load_peer("identity")(fixed, moving, PeerSettings()).transform(points) == pytest.approx(points)
    # Twice as large fills the height: 25 px become 50 in the middle of 100.
    laid = load_peer("centre")(fixed, moving, PeerSettings()).transform(points)
    assert laid == pytest.approx(np.array([[50, 30], [25, 0]]))


@pytest.mark.parametrize(
    ("angle_deg", "scale", "shift_px"),
    [(12, 1.0, (0, 0)), (47, 1.0, (0, 0)), (81, 1.0, (0, 0)), (30, 0.7, (0, 0)), (20, 0.6, (9, -5))],
)
def test_border_fit_reads_the_turn_off_the_black_frame_without_any_content(
    tmp_path, bright, angle_deg, scale, shift_px
):
    """Fixed is another, empty image of the same size: nothing but the frame can have told."""
    moving, truth = turned_inside(bright, angle_deg, scale, shift_px)
    fixed = write(tmp_path / "fixed.png", np.full_like(bright, 128))
    found = load_peer("border-fit")(fixed, write(tmp_path / "moving.png", moving), PeerSettings())
    assert corner_error_px(found.transform, truth, *SIZE) < 1.5


def test_border_fit_reads_the_frame_of_the_fixed_image_too(tmp_path, bright):
    fixed, back = turned_inside(bright, -35)
    plain = write(tmp_path / "plain.png", bright)
    found = load_peer("border-fit")(write(tmp_path / "fixed.png", fixed), plain, PeerSettings())
    assert corner_error_px(found.transform, back.inverse, *SIZE) < 1.5


def test_dark_content_that_touches_the_frame_does_not_hide_it(tmp_path, bright):
    night = bright.copy()
    cv2.fillPoly(night, [np.array([[75, 0], [119, 0], [119, 30]], np.int32)], 0)
    moving, truth = turned_inside(night, 40)
    found = load_peer("border-fit")(
        write(tmp_path / "fixed.png", bright), write(tmp_path / "moving.png", moving), PeerSettings()
    )
    assert corner_error_px(found.transform, truth, *SIZE) < 1.5


def test_border_fit_has_nothing_to_say_without_a_border(tmp_path, bright):
    path = write(tmp_path / "a.png", bright)
    upright = bright.copy()
    upright[:15] = 0
    black = write(tmp_path / "black.png", np.zeros_like(bright))
    for moving in (path, black):
        found = load_peer("border-fit")(path, moving, PeerSettings())
        assert found.transform is None and "border" in found.reason
