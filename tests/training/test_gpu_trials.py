"""What the trials on a GPU are judged by, how scenes are shared, and what is done where one fails."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_views import scene

from benchmarks import gpu_side_by_side
from benchmarks.gpu_real import OBJECTIVES, fitted, keypoints
from benchmarks.gpu_trial import Shared
from benchmarks.gpu_trials import WARM_UP, Tournament, mixed, stage_of
from xmatch.errors import ModelError
from xmatch.io.weights.files import load_state, load_weights
from xmatch.networks.registry import load_objective
from xmatch.networks.weights import find_weights
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


@pytest.mark.parametrize("name", ["xmatch-aliked", "xmatch-sparse"])
def test_keypoints_of_what_ships_are_matched_where_they_lie_in_the_other_image(name):
    path = find_weights(name)
    tensors, metadata = load_weights(path)
    model = load_objective(OBJECTIVES[metadata.architecture]).build(metadata.config).eval()
    load_state(model, tensors, path)
    whole = torch.from_numpy(scene(136, 136)).float()
    images = torch.stack([whole[:128, :128], whole[:128, 8:]])[None]  # moving shows what is 8 px further right
    with torch.no_grad():
        z, w, sure = keypoints(model, images, torch.ones_like(images, dtype=torch.bool))
    right = (w - (z - 8)).abs() < 2
    assert ((sure >= 0) & (sure <= 1.001)).all() and (sure > 0).sum() > 30
    assert (sure * right).sum() > 0.8 * sure.sum()


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


@pytest.mark.parametrize("bad", [None, 2])
def test_a_step_to_warm_up_that_is_not_finite_is_told(bad):
    asked, done = [], []
    run = SimpleNamespace(skipped=0)

    def advance(batch, phases, while_busy):
        done.append(batch)
        run.skipped = int(batch == bad)
        while_busy()

    run.advance = advance
    tournament = SimpleNamespace(
        trial=lambda path: SimpleNamespace(name="mixed", run=run),
        session=SimpleNamespace(options=SimpleNamespace(trials=["mixed.yaml"])),
        feed=SimpleNamespace(take=lambda number: number, prepare=asked.append),
        phases=None,
    )
    if bad is None:
        Tournament.warm_up(tournament)
        assert done == list(range(WARM_UP)) and asked == list(range(1, WARM_UP + 1))
    else:
        with pytest.raises(ModelError, match="step 2 of mixed"):
            Tournament.warm_up(tournament)


def test_what_ends_early_is_begun_again_without_the_service(monkeypatch, tmp_path):
    begun = []

    def run(folders, options, deadline, names):
        begun.append((sorted(recipe.stem for recipe in folders), bool(names)))
        for recipe, folder in folders.items():
            folder.mkdir()
            (folder / "log").write_text("device-side assert")
            if names == {} or recipe.stem == "good":
                (folder / "trials.json").write_text(json.dumps({"winner": recipe.stem, "best": {}}))

    monkeypatch.setattr(gpu_side_by_side, "run", run)
    monkeypatch.setattr(gpu_side_by_side, "service", lambda folder: {"CUDA_MPS_PIPE_DIRECTORY": "pipe"})
    monkeypatch.setattr(gpu_side_by_side, "stop", lambda names: None)
    words = ["gpu_side_by_side", "good.yaml", "bad.yaml", "-o", str(tmp_path), "--data", ".", "--init", "w"]
    monkeypatch.setattr(sys, "argv", words)
    assert gpu_side_by_side.main() == 0
    assert begun == [(["bad", "good"], True), (["bad"], False)]
    told = json.loads((tmp_path / "trials.json").read_text())
    assert told["first_logs"] == {"bad": "device-side assert"}
    assert {name: one["winner"] for name, one in told["runs"].items()} == {"good": "good", "bad": "bad"}
