"""The engine on a GPU."""

import pytest
import torch

from xmatch.recipe import load_recipe
from xmatch.training.feed import Inline, batches
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.state import load_newest

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_drawing_ahead_in_another_stream_changes_nothing(recipe, tmp_path):
    device = torch.device("cuda", 0)
    loaded = load_recipe(recipe(), PretrainRecipe)
    draw = batches(loaded, tmp_path, 0, device)
    feed = Inline(batches(loaded, tmp_path, 0, device), device)
    for number in range(6):
        pairs = feed.take(number)
        if number % 2:
            feed.prepare(number + 1)
        busy = torch.randn(2000, 2000, device=device)
        for _ in range(20):
            busy = busy @ busy / 2000
        expected = draw(number)
        assert torch.equal(pairs.fixed, expected.fixed) and torch.equal(pairs.warp, expected.warp)


def test_a_run_goes_on_in_bf16_and_learns(recipe, session, tmp_path):
    path = recipe(last=400, config="dropout: 0.0")
    first = session(path, device="cuda", max_minutes=0)
    assert first.step == 1
    outcome = session(path, device="cuda")
    state = load_newest(tmp_path / "run", print)[0]
    assert outcome.step == 404 and state["model"]["head.weight"].dtype == torch.float32
    assert outcome.losses["total"] < 0.3
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    shares = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert sum(float(value) for name, value in shares.items() if name.endswith("_share")) == pytest.approx(1, abs=0.01)
