"""Devices: a name that this machine cannot serve is wrong usage, whatever the matcher and the command."""

import subprocess
import sys

import pytest

from xmatch.errors import UsageError
from xmatch.ops.devices import TORCH_ON_CPU, checked, resolved, resolved_with_driver


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU ", "meta", "cuda", "cuda:0"])
def test_an_unknown_or_missing_device_is_refused(no_gpu, name):
    with pytest.raises(UsageError, match=name.strip()):
        checked(name)


def test_auto_is_the_cpu_where_there_is_nothing_else(no_gpu):
    assert (checked("auto"), resolved("auto"), resolved("cpu")) == ("auto", "cpu", "cpu")
    assert checked(TORCH_ON_CPU) == resolved_with_driver(TORCH_ON_CPU) == TORCH_ON_CPU


def test_a_gpu_is_counted_from_0(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert (resolved("auto"), resolved("cuda"), resolved("cuda:1")) == ("cuda", "cuda", "cuda:1")
    with pytest.raises(UsageError, match="2 CUDA devices"):
        resolved("cuda:2")


def test_auto_and_cpu_load_no_torch():
    asked = "from xmatch.ops.devices import checked; checked('auto'), checked('cpu')"
    code = f"import sys; {asked}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("has_driver, expected", [(False, "cpu"), (True, "cuda")])
def test_torch_is_asked_for_a_gpu_only_where_there_is_a_driver(monkeypatch, has_driver, expected):
    monkeypatch.setattr("xmatch.ops.devices._has_driver", lambda: has_driver)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert (resolved_with_driver("auto"), resolved_with_driver("cuda")) == (expected, "cuda")
