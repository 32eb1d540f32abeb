"""Several processes are one run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stubs import Tiny

from xmatch.errors import UsageError
from xmatch.recipe import load_recipe
from xmatch.training.distributed import Processes, choose_device, joined
from xmatch.training.feed import batches
from xmatch.training.phases import Phases
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.run import Run

HERE = Path(__file__).parent
CPU = torch.device("cpu")


class Both(Tiny):
    """Every step on the two ranks' batches in one go."""

    def __init__(self, recipe):
        super().__init__()
        self.draws = [batches(recipe, ".", rank, CPU) for rank in (0, 1)]
        self.number = 0

    def step(self, model, batch, *, finest=1):
        parts = [draw(self.number) for draw in self.draws]
        self.number += 1
        both = {name: torch.cat([getattr(p, name) for p in parts]) for name in ("fixed", "moving", "warp")}
        return super().step(model, type("Batch", (), both))


def test_two_processes_do_as_one_with_the_double_batch(recipe, tmp_path):
    path = recipe(config="norm: false, dropout: 0.0")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    subprocess.run([*command, HERE / "two_processes.py", path, tmp_path / "two.pt"], env=env, check=True, timeout=100)
    two = torch.load(tmp_path / "two.pt")
    loaded = load_recipe(path, PretrainRecipe)
    one = Run(loaded, Both(loaded), Tiny().config(None, loaded.model.config), CPU, Processes())
    for _ in range(3):
        one.advance(None, Phases(CPU))
    for name, value in one.model.state_dict().items():
        assert torch.allclose(two["model"][name], value, atol=1e-6), name
    assert two["losses"]["total"] == pytest.approx(one.means()["total"], rel=1e-5)
    assert two["asked"] == [[False], [False], [True]]


def test_alone_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(CPU) as processes:
        assert processes == Processes() and processes.writes
        assert not torch.distributed.is_initialized()
        values = torch.ones(2)
        assert processes.averaged(values) is values


def test_devices_are_chosen_by_name():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("abacus", "cuda:99", "meta"):
        with pytest.raises(UsageError, match=name):
            choose_device(name)
