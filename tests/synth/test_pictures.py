"""Real images as stored scenes."""

import cv2
import numpy as np
import pytest

from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.recipe import SourceSpec, build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.pictures import ANCHORS, Pictures


@pytest.fixture
def pair(tmp_path):
    """An image and its negative, as optical and radar."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (96, 120), np.uint8), (0, 0), 3)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    (tmp_path / "optical-sar").mkdir()
    for side, content in (("a", image), ("b", 255 - image)):
        cv2.imwrite(str(tmp_path / f"optical-sar/x_{side}.png"), content)
    return tmp_path


def test_a_partner_is_cut_as_the_image_is(pair):
    source = Pictures.below(pair, ["edges"], pool=4, side=64)
    source.go_to(0, 1)
    source.draw(1, 64, device_rng("cpu", 0), Difficulty())
    scene = next(iter(source._pool.values()))
    assert scene.sensors == ("visible",) * ANCHORS + ("edges", "sar", "sar")
    planes = scene.planes.double().flatten(1).numpy()
    assert np.corrcoef(planes[0], planes[ANCHORS + 1])[0, 1] < -0.8


def test_scenes_are_a_function_of_their_number(pair):
    def drawn(first):
        mixture = build_mixture([SourceSpec("pictures", folder=".", pool=4, side=64)], pair)
        for number in first:
            mixture.go_to(number, 1)
            found = mixture.sources[0].draw(3, 64, device_rng("cpu", number), Difficulty())
        return found

    assert drawn([0, 1, 2]).first.equal(drawn([2]).first)


def test_singles_need_no_partner(pair):
    source = Pictures.below(pair / "optical-sar/x_a.png", ["edges", "sar"], pool=4, side=64)
    source.go_to(0, 1)
    found = source.draw(8, 64, device_rng("cpu", 0), Difficulty())
    assert {name for names in found.names for name in names} <= {"visible", "edges", "sar"}


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no images"):
        Pictures.below(tmp_path)
