"""Where memory does not suffice, matchers do with less and say so; where the least is too much, they say that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import corner_error_px, scene, view

from xmatch.errors import ResourceError, is_out_of_memory
from xmatch.matchers.base import SearchRange
from xmatch.matchers.correspondence import CorrespondenceMatcher
from xmatch.matchers.dense import DenseMatcher
from xmatch.networks.keypoints import MutualNearest
from xmatch.networks.registry import ARCHITECTURES
from xmatch.networks.sift.detector import SiftDetector
from xmatch.networks.xmatch.runner import Network

IMAGE = scene(360, 360)
NO_MEMORY = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."
)


class Greedy:
    """Keypoints, but of images of up to `most_px` squared only."""

    def __init__(self, most_px: int, error: BaseException = NO_MEMORY) -> None:
        self._network = MutualNearest(SiftDetector("cpu"), least_similarity=0.85)
        self._most_px, self._error, self.match = most_px, error, self._network.match

    def describe(self, image, valid):
        if image.size > self._most_px**2:
            raise self._error
        return self._network.describe(image, valid)


@pytest.mark.parametrize("error", [NO_MEMORY, MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_smaller_look_finds_the_map_and_says_that_it_was_smaller(error):
    found = CorrespondenceMatcher("sift", Greedy(200, error), side_px=360)(view(IMAGE), view(IMAGE), SearchRange())
    assert found.notes == ("memory did not suffice: images seen with 180 x 180 px at most",)
    every = [p.matrix for p in found.proposals] + [m.to_fixed.matrix for m in found.maps]
    assert min(corner_error_px(matrix, np.eye(3), view(IMAGE)) for matrix in every) < 0.5


def test_what_was_said_of_one_pair_is_said_of_the_next_too():
    matcher = CorrespondenceMatcher("sift", Greedy(200), side_px=360)
    first, second = (matcher(view(IMAGE), view(IMAGE), SearchRange()).notes for _ in range(2))
    assert first == second and len(first) == 1


def test_where_the_least_is_too_much_it_is_said_and_other_faults_stay_what_they_are():
    with pytest.raises(ResourceError, match="also with less: memory did not suffice: .* 180 x 180"):
        CorrespondenceMatcher("sift", Greedy(10), side_px=360)(view(IMAGE), view(IMAGE), SearchRange())
    with pytest.raises(RuntimeError, match="shapes"):
        greedy = Greedy(10, RuntimeError("shapes do not fit"))
        CorrespondenceMatcher("sift", greedy, side_px=360)(view(IMAGE), view(IMAGE), SearchRange())


def test_a_dense_matcher_does_without_its_finer_looks(monkeypatch):
    entry = ARCHITECTURES["xmatch"]
    small = {"channels": [8, 8, 16, 16], "heads": 1, "attention_layers": 1, "blocks": [1] * 4, "coarse_channels": 16}
    network, sides = Network(entry.build(entry.config(None, small))), []
    encode = network.encode

    def greedy(images, masks, **more):
        sides.append(max(images[0].shape))
        if sides[-1] > 200:
            raise NO_MEMORY
        return encode(images, masks, **more)

    monkeypatch.setattr(network, "encode", greedy)
    found = DenseMatcher("xmatch-small", network)(view(IMAGE), view(IMAGE), SearchRange(max_angle_deg=5.0))
    assert [note.rpartition("seen with ")[2] for note in found.notes] == [
        "384 x 384 px at most",
        "256 x 256 px at most",
        "128 x 128 px at most",
    ]
    assert found.proposals and sides[-1] == 128


def test_what_is_no_want_of_memory_is_not_taken_for_it():
    assert is_out_of_memory(NO_MEMORY) and is_out_of_memory(
        np._core._exceptions._ArrayMemoryError((9,), np.dtype("f4"))
    )
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(OSError("cannot allocate memory"))
