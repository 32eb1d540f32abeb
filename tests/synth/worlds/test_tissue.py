"""Bodies: bone shines in CT and is dark in MR, nothing is around the body, a tracer map is coarse."""

from __future__ import annotations

import pytest
import torch

from xmatch.synth.modalities.filters import slopes
from xmatch.synth.worlds.tissue import BONE, CORTEX, FLUID, OUTSIDE, SENSORS, make_body


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def body():
    return make_body(12, 96, rng(4))


def mean(image, where):
    return (image * where).sum((1, 2, 3)) / where.sum((1, 2, 3))


def test_bone_is_brighter_than_the_rest_of_the_body_in_ct_and_darker_in_mr(body):
    bone, rest = body.organ == BONE, (body.organ != BONE) & (body.organ != OUTSIDE)
    assert bone.any((1, 2, 3)).all()
    ct, mr = SENSORS["ct"](body, rng(1)), SENSORS["mr"](body, rng(1))
    assert (mean(ct, bone) > mean(ct, rest)).all()
    assert (mean(mr, bone) < mean(mr, rest)).float().mean() > 0.7  # rest may be dark by its own draw


def test_nothing_is_around_the_body(body):
    outside = body.organ == OUTSIDE
    share = outside.float().mean((1, 2, 3))
    assert 0.15 < share.mean() < 0.75
    assert torch.equal(outside, body.depth <= 0)
    assert mean(SENSORS["mr"](body, rng(2)), outside).max() < 0.15


def test_some_bodies_are_heads_with_folds_and_some_are_trunks_without(body):
    folded = ((body.organ == CORTEX) | (body.organ == FLUID)).any(1).any(1).any(1)
    assert folded.any() and not folded.all()


def test_a_tracer_shows_less_detail_than_mr(body):
    def detail(image):
        x, y = slopes(image)
        return (x.square() + y.square()).mean((1, 2, 3)).sqrt() / image.std((1, 2, 3))

    # Large enough for the blur, which is in px.
    large = make_body(4, 160, rng(5))
    assert detail(SENSORS["pet"](large, rng(3))).mean() < 0.8 * detail(SENSORS["mr"](large, rng(3))).mean()
