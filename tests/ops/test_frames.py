"""Images of unlike sizes in frames are filtered, resized and looked up as OpenCV does each alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from xmatch.ops.frames import Frames, affine_looked_up, along_both, gradients, resizing, shrunk

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
pytestmark = pytest.mark.parametrize(
    "device", [torch.device("cpu"), pytest.param(torch.device("cuda"), marks=NEEDS_GPU)], ids=str
)
SIZES = np.array([(37, 50), (64, 33), (18, 70)])


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(tuple(size), dtype=np.float32) for size in SIZES]


def framed(device: torch.device, shape: tuple[int, int]) -> torch.Tensor:
    """(3, 1, *shape)."""
    stacked = torch.zeros(3, 1, *shape)
    for frame, image in zip(stacked, images(), strict=True):
        frame[0, : image.shape[0], : image.shape[1]] = torch.from_numpy(image)
    return stacked.to(device)


def assert_each(found: torch.Tensor, expected: list[np.ndarray], atol: float = 1e-5) -> None:
    """Equal in its place, and nothing beyond."""
    for frame, image in zip(found.cpu().numpy(), expected, strict=True):
        height, width = image.shape
        np.testing.assert_allclose(frame[:height, :width], image, atol=atol)
        assert not frame[height:].any() and not frame[:, width:].any()


@pytest.mark.parametrize("sigma", [1.0, 3.5, 16.0])
def test_gaussians_are_mirrored_at_the_border_of_each(sigma, device):
    """The widest one reaches several times across the smallest image."""
    frames = Frames.around(SIZES, device)
    found = frames.smoothed(framed(device, frames.shape), sigma)[:, 0]
    assert_each(found, [cv2.GaussianBlur(image, (0, 0), sigma) for image in images()])


def test_each_is_made_smaller_by_areas_or_larger_bilinearly(device):
    to, shrinks = np.array([(20, 30), (90, 40), (17, 31)]), np.array([True, False, True])
    given, wanted = Frames.around(SIZES, device).shape, Frames.around(to, device).shape
    rows, columns = (
        resizing(SIZES[:, axis], to[:, axis], given[axis], wanted[axis], shrinks, device) for axis in (0, 1)
    )
    expected = [
        cv2.resize(image, (int(width), int(height)), interpolation=cv2.INTER_AREA if less else cv2.INTER_LINEAR)
        for image, (height, width), less in zip(images(), to, shrinks, strict=True)
    ]
    assert_each(along_both(rows, framed(device, given), columns)[:, 0], expected)


def test_affine_maps_of_each_are_looked_up_bilinearly(device):
    maps = np.array([[[0.9, -0.3, 4.3], [0.3, 0.9, -7.1]], [[-1.1, 0.0, 30.0], [0.2, 0.8, 2.5]]])
    onto_source = torch.from_numpy(np.stack([[cv2.invertAffineTransform(one) for one in maps]] * 3)).to(device)
    found = affine_looked_up(framed(device, (64, 70)), onto_source, (40, 45))
    for k, one in enumerate(maps):
        expected = [cv2.warpAffine(image, one, (45, 40), flags=cv2.INTER_LINEAR) for image in images()]
        assert_each(found[:, 0, k], expected, atol=2e-5)


def test_gradients_are_those_of_scharr_away_from_borders(device):
    for found, axis in zip(gradients(framed(device, (64, 70))[:, 0]), ((1, 0), (0, 1)), strict=True):
        for frame, image in zip(found.cpu().numpy(), images(), strict=True):
            inside = np.s_[1 : image.shape[0] - 1, 1 : image.shape[1] - 1]
            np.testing.assert_allclose(frame[inside], cv2.Scharr(image, cv2.CV_32F, *axis)[inside], atol=1e-5)


def test_a_rim_goes_at_holes_and_at_the_border(device):
    valid = torch.ones(1, 9, 12, device=device)
    valid[0, 4, 8] = 0
    expected = cv2.erode(valid[0].cpu().numpy(), np.ones((5, 5)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    assert_each(shrunk(valid, 2), [expected])
