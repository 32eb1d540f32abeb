"""Detectors of keypoints, and what matches them: positions, masks, and the numbers of the published code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from kornia.feature import XFeat
from made_views import scene

from xmatch.networks.keypoints import BORDER_PX, MutualNearest
from xmatch.networks.lightglue.config import LightGlueConfig
from xmatch.networks.lightglue.network import Glue
from xmatch.networks.lightglue.runner import LightGlueRunner
from xmatch.networks.registry import ARCHITECTURES, WITHOUT_WEIGHTS
from xmatch.networks.sift.detector import SiftDetector
from xmatch.networks.superpoint.detector import LEAST_HEAT, MARGIN_PX
from xmatch.networks.weights import fetched, published
from xmatch.networks.xfeat.detector import detect

DETECTORS = [entry for entry in (*ARCHITECTURES.values(), *WITHOUT_WEIGHTS.values()) if entry.detector is not None]
IMAGE = scene(128, 96)
EVERYWHERE = np.ones_like(IMAGE, bool)
sift_detector = SiftDetector("cpu")


@pytest.fixture(scope="module", params=DETECTORS, ids=lambda entry: entry.name)
def detector(request):
    entry = request.param
    torch.manual_seed(0)
    return entry.detector(entry.build(entry.config(None, {})), "cpu")


def test_keypoints_lie_in_what_is_valid_and_off_its_border(detector):
    valid = EVERYWHERE.copy()
    valid[:, :30] = False
    found = detector(np.where(valid, IMAGE, 0), valid)
    assert found.size == (IMAGE.shape[1], IMAGE.shape[0]) and len(found.xy) > 10
    assert found.xy[:, 0].min() > 30 + BORDER_PX - 1 and (found.xy < found.size).all()
    np.testing.assert_allclose(found.descriptors.norm(dim=1), 1.0, atol=1e-4)


def test_nothing_valid_has_no_keypoints(detector):
    assert len(detector(np.zeros_like(IMAGE), ~EVERYWHERE).xy) == 0


@pytest.mark.parametrize("size", [(96, 128), (77, 101)])
def test_a_size_that_is_no_multiple_of_anything_keeps_its_pixels(detector, size):
    found = detector(np.ascontiguousarray(np.resize(IMAGE, size)), np.ones(size, bool))
    assert (found.xy > 0).all() and (found.xy < (size[1], size[0])).all()


def test_xfeat_finds_and_describes_what_its_published_code_does():
    torch.manual_seed(0)
    published = XFeat(top_k=50, detection_threshold=0.0).eval()
    image = torch.from_numpy(IMAGE)[None, None]
    (theirs,) = published.detectAndCompute(image)
    ours, _ = detect(published.net, image, torch.ones_like(image, dtype=torch.bool), 50)
    np.testing.assert_array_equal(ours.xy[0], theirs["keypoints"])
    torch.testing.assert_close(ours.score[0], theirs["scores"], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.descriptors[0], theirs["descriptors"], atol=1e-4, rtol=0)


def test_superpoint_finds_and_describes_what_transformers_does():
    from transformers import SuperPointConfig, SuperPointForKeypointDetection

    torch.manual_seed(0)
    theirs = SuperPointForKeypointDetection(SuperPointConfig(keypoint_threshold=LEAST_HEAT)).eval()
    for parameter in theirs.parameters():  # as drawn, all px are alike
        torch.nn.init.normal_(parameter, std=2 / max(1, parameter[0].numel()) ** 0.5)
    entry = ARCHITECTURES["superpoint"]
    ours = entry.build(entry.config(None, {}))
    ours.load_state_dict(dict(zip(_published_names(), theirs.state_dict().values(), strict=True)))
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(IMAGE)[None, None].expand(-1, 3, -1, -1))
    found = entry.detector(ours, "cpu")(IMAGE, EVERYWHERE)
    width, height = found.size
    xy = expected.keypoints[0].numpy() * [width, height]  # transformers gives shares of the sides
    order = expected.scores[0].argsort(descending=True, stable=True).numpy()
    # It takes the image for eight times as large where it leaves out the border on the right and below.
    order = order[(xy[order] < [width - MARGIN_PX - 0.5, height - MARGIN_PX - 0.5]).all(1)]
    assert len(order) > 100
    np.testing.assert_allclose(found.xy - 0.5, xy[order], atol=1e-3)
    np.testing.assert_allclose(found.descriptors, expected.descriptors[0][order], atol=1e-4)


def _published_names() -> list[str]:
    """In the order in which transformers has the same tensors."""
    layers = [f"conv{level}{part}" for level in (1, 2, 3, 4) for part in "ab"] + [
        "convPa",
        "convPb",
        "convDa",
        "convDb",
    ]
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_mutual_nearest_keypoints_of_a_shifted_image_are_as_far_apart():
    fixed, moving = IMAGE[8:, 12:], IMAGE[:-8, :-12]
    network = MutualNearest(sift_detector, least_similarity=0.85)
    found = network.match(*(network.describe(np.ascontiguousarray(i), np.ones(i.shape, bool)) for i in (fixed, moving)))
    off = found.moving_xy - found.fixed_xy
    assert len(found) > 10 and (np.abs(off - (12, 8)) < 0.5).all(axis=1).mean() > 0.9
    assert (found.certainty >= 0).all() and (found.certainty <= 1).all()


def test_a_similarity_that_is_wanted_leaves_out_what_has_less():
    network, picky = MutualNearest(sift_detector), MutualNearest(sift_detector, least_similarity=1.1)
    seen = network.describe(IMAGE, EVERYWHERE)
    assert len(network.match(seen, seen)) == len(seen.xy) and len(picky.match(seen, seen)) == 0


def test_lightglue_gives_the_keypoints_it_was_given():
    torch.manual_seed(0)
    network = Glue(LightGlueConfig(input=128, width=16, layers=2, heads=1))
    network.conf.filter_threshold = 0.0
    runner = LightGlueRunner(network, "cpu", sift_detector)
    seen = runner.describe(IMAGE, EVERYWHERE)
    found = runner.match(seen, seen)
    assert len(found) and {tuple(xy) for xy in found.fixed_xy} <= {tuple(xy) for xy in seen.xy}
    empty = runner.describe(np.zeros_like(IMAGE), ~EVERYWHERE)
    assert len(runner.match(seen, empty)) == 0


def test_training_sees_the_assignment_that_matching_uses():
    """`assignments` is kornia's forward pass without its shortcuts."""
    torch.manual_seed(0)
    network = Glue(LightGlueConfig(input=8, width=16, layers=2, heads=1), adaptive=False).eval()
    xy, size = 64 * torch.rand(1, 20, 2), torch.tensor([[64.0, 64.0]])
    first, second = torch.rand(2, 1, 20, 8)
    sides = [{"keypoints": xy, "descriptors": each, "image_size": size} for each in (first, second)]
    theirs = network({"image0": sides[0], "image1": sides[1]})["log_assignment"]
    ours = network.assignments(first, second, *[xy / 32 - 1] * 2)
    torch.testing.assert_close(ours[-1], theirs, atol=1e-5, rtol=0)


def test_published_aliked_finds_what_it_found_before():
    """The first keypoints of a sample image, where its weights were fetched."""
    from tests.networks.make_aliked_golden import GOLDEN, WEIGHTS, found, golden

    if not fetched(published()[WEIGHTS][0]).is_file():
        pytest.skip(f"xmatch models fetch {WEIGHTS}")
    before, now = json.loads(GOLDEN.read_text()), golden(found())
    np.testing.assert_allclose(now["xy"], before["xy"], atol=0.01)
    np.testing.assert_allclose(now["descriptors"], before["descriptors"], atol=1e-3)


def test_sift_gives_keypoints_no_direction():
    """None lies twice in one place for having two, and the same place upside down is described otherwise."""
    found = sift_detector(IMAGE, EVERYWHERE)
    assert len({tuple(xy) for xy in found.xy.round(3)}) > 0.9 * len(found.xy)
    turned = sift_detector(np.ascontiguousarray(IMAGE[::-1, ::-1]), EVERYWHERE)
    partners = np.abs(found.xy[:, None] - (np.array(found.size) - turned.xy)[None]).max(-1)
    i, j = np.nonzero(partners < 0.3)
    assert len(i) > 0.5 * len(found.xy)
    assert float((found.descriptors[i] * turned.descriptors[j]).sum(1).median()) < 0.85
