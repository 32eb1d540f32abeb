"""What the trials on a GPU are judged by, and how scenes are shared."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.gpu_real import fitted
from benchmarks.gpu_trials import Shared, mixed, stage_of
from xmatch.synth.recipe import SourceSpec
from xmatch.training.recipe import PretrainRecipe, Stage


def test_a_similarity_is_found_among_wrong_cells():
    host = np.random.default_rng(0)
    z = torch.from_numpy(host.uniform(0, 256, (2, 600)) + 1j * host.uniform(0, 256, (2, 600)))
    a, b = torch.tensor([1.1 + 0.2j, 0.9 - 0.1j]), torch.tensor([5 - 20j, -30 + 4j])
    right = a[:, None] * z + b[:, None]
    wrong = torch.from_numpy(host.uniform(0, 256, (2, 600)) + 1j * host.uniform(0, 256, (2, 600)))
    w = torch.where(torch.arange(600) % 3 == 0, right, wrong)
    weight = torch.full((2, 600), 0.5, dtype=torch.float64)
    found_a, found_b, agreement = fitted(z, w, weight)
    assert (found_a - a).abs().max() < 2e-3 and (found_b - b).abs().max() < 0.5
    assert agreement.tolist() == pytest.approx([100, 100], abs=3)


def test_cells_that_agree_on_nothing_give_no_answer():
    host = np.random.default_rng(0)
    z, w = (torch.from_numpy(host.uniform(0, 256, (1, 5)) + 1j * host.uniform(0, 256, (1, 5))) for _ in range(2))
    assert fitted(z, w, torch.ones((1, 5), dtype=torch.float64))[2] == 0


def test_a_scene_is_made_once():
    made = []
    scene = SimpleNamespace(to=lambda device: "scene")
    maker = SimpleNamespace(ahead=0, ask=lambda job: None, take=lambda job: made.append(job) or scene)
    shared = Shared(maker, torch.device("cpu"))
    assert [shared.take("job") for _ in range(3)] == ["scene"] * 3
    assert made == ["job"]


def test_weights_are_mixed_and_counters_taken():
    old, new = ({"w": torch.tensor([x]), "n": torch.tensor(n)} for x, n in ((0.0, 1), (4.0, 9)))
    found = mixed(old, new, 0.25)
    assert found["w"].item() == 1.0 and found["n"].item() == 9


def test_the_last_run_goes_through_the_stages_by_its_share_of_time():
    stages = tuple(Stage(steps=steps, size=size, batch=1) for steps, size in ((40, 192), (35, 256), (25, 320)))
    recipe = PretrainRecipe(data=(SourceSpec(kind="worlds"),), stages=stages)
    shares = (0, 0.39, 0.41, 0.74, 0.76, 0.999, 1.0)
    assert [stage_of(share, recipe).size for share in shares] == [192, 192, 256, 256, 320, 320, 320]
