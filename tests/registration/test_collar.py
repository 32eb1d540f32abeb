"""Undeclared black collars are found, dark content is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xmatch.registration.collar import collar


def scene(size: int = 160) -> np.ndarray:
    noise = np.random.default_rng(3).uniform(40, 220, (size // 8, size // 8)).astype(np.float32)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC).clip(30, 255).astype(np.uint8)


def turned_in_its_canvas(image: np.ndarray, angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    size = image.shape[0]
    turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle_deg, 1.0)
    inside = cv2.warpAffine(np.ones_like(image), turn, (size, size), flags=cv2.INTER_NEAREST) > 0
    return cv2.warpAffine(image, turn, (size, size)), ~inside


@pytest.mark.parametrize("angle_deg", [7, 33, 45, 80])
@pytest.mark.parametrize("jpeg", [False, True])
def test_collar_of_a_turned_image_is_masked(angle_deg, jpeg):
    image, truth = turned_in_its_canvas(scene(), angle_deg)
    if jpeg:
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_GRAYSCALE)
    found = collar(image[None])
    assert found is not None
    # The tips of thin triangles are one px wide there, at the edge of the canvas where no structure is read anyway.
    assert (found & truth).sum() > 0.97 * truth.sum()
    assert (found & ~truth).sum() < 0.08 * truth.size


def test_an_image_without_collar_has_none():
    assert collar(scene()[None]) is None


def test_a_dark_bay_at_the_border_is_content():
    image = scene()
    cv2.circle(image, (0, 80), 45, 0, -1)
    assert collar(image[None]) is None


def test_black_in_one_band_only_is_content():
    image, _ = turned_in_its_canvas(scene(), 30)
    assert collar(np.stack([image, scene(), scene()])) is None


def test_an_all_black_image_has_no_collar():
    assert collar(np.zeros((1, 50, 50), np.uint8)) is None
