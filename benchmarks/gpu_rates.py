"""What `gpu_run` measures before it trains: ceilings of the machine, and pairs a second of what matches.

Shares of ceilings are of a large copy and a large product of matrices on the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bytes_moved import Moved
from xmatch.networks.registry import load_objective
from xmatch.ops.devices import TORCH_ON_CPU

ROOT = Path(__file__).parents[1]
NETWORKS = {"xmatch-small": "dense", "xmatch-sparse": "sparse"}
"""Whose rates are measured, and the objective that builds each."""
BATCHES = (1, 8, 64)
STRUCTURE_S, TOGETHER_S, ROMA_S, CORRELATION_S = 30, 75, 40, 30
"""That these parts have."""


def machine(session: Any) -> dict[str, Any]:
    """What it is, and its ceilings: a large copy and a large product of matrices."""
    device, on_gpu = session.device, session.on_gpu
    source, target = (torch.zeros(2**30 if on_gpu else 2**24, device=device) for _ in range(2))
    copy_s = session.seconds(lambda: target.copy_(source), 0.3)
    side, dtype = (8192, torch.bfloat16) if on_gpu else (1024, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product_s = session.seconds(lambda: a @ b, 0.5)
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads",
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "copy_gb_s": round(2 * source.nbytes / copy_s / 1e9, 1),
        "product_tflop_s": round(2 * side**3 / product_s / 1e12, 3),
        "dtype": str(dtype).removeprefix("torch."),
    }


@torch.no_grad()
def inference(session: Any) -> list[dict[str, Any]]:
    """Pairs a second of both networks, from images on the device to matches, and the share of both ceilings."""
    rows = []
    for name, kind in NETWORKS.items():
        if rows and session.is_late:
            break
        objective = load_objective(kind)
        config = objective.config(name, {})
        rows += network_rates(session, name, objective.build(config).to(session.device).eval())
    return rows


def network_rates(session: Any, name: str, model: nn.Module) -> list[dict[str, Any]]:
    """At 512 px, and the operators that take most of the largest batch's time."""
    size = 512 if session.on_gpu else 128
    half = session.on_gpu and name != "xmatch-sparse"
    ceilings = session.found.get("machine", {})
    rows: list[dict[str, Any]] = []
    for batch in BATCHES if session.on_gpu else BATCHES[:1]:
        image = torch.rand(batch, 1, size, size, device=session.device)
        valid = torch.ones_like(image, dtype=torch.bool)

        def match(image=image, valid=valid) -> Any:
            with torch.autocast(session.device.type, torch.bfloat16, enabled=half):
                return model(image, valid, image.flip(3), valid)

        with Moved() as moved, FlopCounterMode(display=False) as counted:
            match()
        seconds = session.seconds(match, 0.7)
        row = {"size": size, "batch": batch, "ms": 1e3 * seconds, "pairs_s": batch / seconds}
        row |= {"gflop_pair": counted.get_total_flops() / batch / 1e9, "mib_pair": moved.bytes / batch / 2**20}
        if "copy_gb_s" in ceilings:
            row["flop_share"] = counted.get_total_flops() / seconds / 1e12 / ceilings["product_tflop_s"]
            row["bandwidth_share"] = moved.bytes / seconds / 1e9 / ceilings["copy_gb_s"]
        rows.append({"network": name} | {key: round(value, 4) for key, value in row.items()})
    rows[-1]["profile"] = profile(session, match)
    return rows


def profile(session: Any, function: Callable[[], Any], most: int = 8) -> dict[str, float]:
    """Operator -> share of the device's time, of those that take most."""
    activity = torch.profiler.ProfilerActivity.CUDA if session.on_gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as found:
        function()
    field = "self_device_time_total" if session.on_gpu else "self_cpu_time_total"
    times = {event.key[:80]: getattr(event, field) for event in found.key_averages()}
    whole = sum(times.values()) or 1.0
    return {key: round(times[key] / whole, 3) for key in sorted(times, key=lambda key: -times[key])[:most]}


def structure(session: Any) -> list[dict[str, Any]]:
    """Pairs a second of what `auto` does by structure: search and refinement, judge, tie points; and how far its poses
    are from those found by numpy (benchmarks/search_speed.py)."""
    side, batches, pairs = (512, BATCHES, 4) if session.on_gpu else (96, BATCHES[:1], 1)
    words = ["--side", str(side), "--pairs", str(pairs), "--rounds", "3" if session.on_gpu else "1"]
    words += ["--batches", *map(str, batches), "--threads", "1"]
    return told(session, "search_speed.py", words, STRUCTURE_S)


def together(session: Any) -> list[dict[str, Any]]:
    """Pairs a second of whole registrations by `auto`, from files to maps, so many at once, and how far their maps lie
    from those by OpenCV (benchmarks/batched_auto.py)."""
    side, at_once, pairs = (512, BATCHES, 4) if session.on_gpu else (96, (1, 2), 1)
    words = ["--side", str(side), "--pairs", str(pairs), "--at-once", *map(str, at_once)]
    device = session.device.type if session.on_gpu else TORCH_ON_CPU
    return told(session, "batched_auto.py", words, TOGETHER_S, device)


def roma(session: Any) -> list[dict[str, Any]]:
    """Pairs a second of RoMa's shape, both passes both ways (benchmarks/roma_speed.py), with weights of chance."""
    if not session.on_gpu:
        return []
    with tempfile.TemporaryDirectory() as folder:
        words = ["--side", "ours", "--answers", folder, "--batch", "1", "8", "--repeat", "2"]
        found = told(session, "roma_speed.py", words, ROMA_S)
    return found[0].get("rows", found) if found else []


def correlation(session: Any) -> list[dict[str, Any]]:
    """benchmarks/local_correlation.py; what it had told when its time was over."""
    if not session.on_gpu:
        return []
    return told(session, "local_correlation.py", ["--rounds", "5"], CORRELATION_S)


def told(session: Any, script: str, words: list[str], most_s: float, device: str | None = None) -> list[dict[str, Any]]:
    """The lines of JSON of another benchmark; what it had told when its time was over.

    Args:
        device: default the session's.
    """
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--device", device or session.device.type, *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        lines, errors = process.communicate(timeout=session.within(most_s))
    except subprocess.TimeoutExpired:
        process.kill()
        lines, errors = process.communicate()
    rows = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return rows if rows or not errors else [{"failed": errors[-1500:]}]
