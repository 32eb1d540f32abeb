from __future__ import annotations

import pytest
import torch
from stubs import tiny_entry

from xmatch.networks.registry import ARCHITECTURES
from xmatch.training.pretrain import Options, pretrain

RECIPE = """\
model: {{objective: tiny, config: {{{config}}}}}
data: [{{kind: shapes, names: [visible, curves]}}]
stages: [{{steps: 4, size: 32, batch: 2}}, {{steps: {last}, size: 64, batch: 2}}]
optimiser: {{lr: 1e-2, warmup_steps: 2}}
validation: {{every: 3, pairs: 3}}
log_every: 3
feed: {feed}
{more}
"""


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_entry())
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe of 8 steps and give its path."""

    def write(name: str = "tiny.yaml", *, feed: str = "inline", config: str = "", last: int = 4, more: str = ""):
        path = tmp_path / name
        path.write_text(RECIPE.format(feed=feed, config=config, last=last, more=more))
        return path

    return write


@pytest.fixture
def session(tmp_path):
    """Train in tmp_path/<run>: session(recipe, run="a", max_minutes=0) takes one step."""

    def start(path, run: str = "run", **options):
        options = {"device": "cpu", "threads": 1, **options}
        return pretrain(Options(path, tmp_path / run, **options))

    return start
