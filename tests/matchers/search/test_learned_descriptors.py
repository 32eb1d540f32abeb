"""Fields of a network in the search that hand-made ones are searched by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import corner_error_px, inverted, pose, scene, seen_from, view

from xmatch.matchers.base import SearchRange
from xmatch.matchers.search.fourier import search
from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
from xmatch.networks.fieldnet.cells import STRIDE
from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.fieldnet.network import FieldNet
from xmatch.verification.judge import ProposalJudge
from xmatch.verification.judge_settings import LEARNED, NAMES

SETTINGS = {"side_px": 150, "angle_step_deg": 6.0, "scale_step": 1.12, "keep": 3}


@pytest.fixture(scope="module")
def learned() -> LearnedDescriptor:
    torch.manual_seed(0)
    model = FieldNet(FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0,) * 4, maps=2))
    model.log_weights.data[2:] = -2  # an untrained network's maps are noise, but noise of the image
    return LearnedDescriptor(model)


@pytest.mark.parametrize("shape", [(48, 64), (49, 63), (17, 30)])
def test_images_of_any_size_are_drawn_in_cells(learned, shape):
    found = learned(scene(shape[1], shape[0]), np.ones(shape, bool))
    assert found.planes.shape[:2] == found.valid.shape == (-(-shape[0] // STRIDE), -(-shape[1] // STRIDE))
    assert found.planes.shape[2] == 2 * len(found.orders)


@pytest.mark.parametrize(("turn_deg", "scale"), [(0, 1.0), (47, 1.0), (-130, 0.8), (180, 1.25)])
def test_turned_and_rescaled_views_of_another_contrast_are_found(learned, turn_deg, scale):
    image = scene(160, 160)
    truth = pose(160, 160, turn_deg=turn_deg, scale=scale, shift=(7, -4))
    moving = seen_from(inverted(image), truth)
    within = SearchRange(min_scale=0.75, max_scale=1.34)
    found = search(view(image), moving, within, **SETTINGS, descriptor=learned)
    assert corner_error_px(found[0].matrix, truth, moving) < 12


def test_the_right_pose_measures_best_by_drawn_fields(learned):
    image = scene(160, 120)
    truth = pose(160, 120, turn_deg=40, shift=(5, 3))
    moving = seen_from(inverted(image), truth)
    judge = ProposalJudge(view(image), moving, learned)
    right, wrong = judge(truth), judge(pose(160, 120, turn_deg=-75, shift=(5, 3)))
    assert set(right) == {*NAMES, *LEARNED}
    assert all(right[name] > wrong[name] for name in LEARNED) and right["drawn_gain"] > 0
    assert judge.log_odds(right) > judge.log_odds(wrong)
    assert judge(pose(160, 120, shift=(1000, 0))) == dict.fromkeys((*NAMES, *LEARNED), 0.0)
