"""What a GPU may round is what the recipe says; asked of the settings, which are there without one."""

from __future__ import annotations

import pytest
import torch

from xmatch.training.session import set_up


@pytest.fixture(autouse=True)
def settings_given_back():
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.allow_tf32, cudnn.benchmark
    yield
    cudnn.allow_tf32, cudnn.benchmark = before
    torch.set_float32_matmul_precision(matmul)


@pytest.mark.parametrize(("precision", "rounds"), [("fp32", False), ("auto", True), ("bf16", True)])
def test_single_precision_is_not_rounded_to_tf32_where_a_recipe_asks_for_it(precision, rounds):
    set_up(torch.device("cuda"), None, precision)
    assert torch.backends.cudnn.allow_tf32 is rounds
    assert torch.get_float32_matmul_precision() == ("high" if rounds else "highest")


def test_a_run_on_a_cpu_leaves_the_settings_alone():
    torch.backends.cudnn.allow_tf32 = True
    set_up(torch.device("cpu"), None, "fp32")
    assert torch.backends.cudnn.allow_tf32
