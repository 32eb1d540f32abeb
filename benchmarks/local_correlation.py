"""Time and memory of local correlation, forward and backward: the reference, windows, and the fused kernel on a GPU.

    python benchmarks/local_correlation.py --threads 1
    python benchmarks/local_correlation.py --device cuda

One JSON line a shape and implementation on stdout: medians in ms, speed-ups over the reference, the relative
error against double precision, the peak of memory allocated on the GPU, and the fewest bytes that must be moved.
Inputs are random features and a turned, slightly uneven warp; several sets take turns, so that a GPU's cache does not
hold what the next round needs.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable

import torch

from xmatch.ops import reference, windows

SHAPES = {  # batch, channels, side of both maps in cells, radius
    "cpu": [(1, 128, 64, 3), (1, 64, 128, 2), (8, 32, 96, 2)],
    "cuda": [(1, 128, 64, 3), (32, 64, 56, 3), (32, 48, 112, 2), (32, 24, 224, 2), (8, 512, 40, 7)],
}
TURN_DEG = 25.0


def inputs(shape: tuple[int, int, int, int], device: str, dtype: torch.dtype, seed: int) -> tuple[torch.Tensor, ...]:
    """fixed, moving, warp, and weights of the result for the backward pass."""
    batch, channels, side, radius = shape
    rng = torch.Generator().manual_seed(seed)
    fixed, moving = (torch.randn(batch, channels, side, side, generator=rng) for _ in range(2))
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    c, s = math.cos(math.radians(TURN_DEG)), math.sin(math.radians(TURN_DEG))
    even = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1) @ torch.tensor([[c, s], [-s, c]])
    warp = 0.9 * even + torch.randn(batch, side, side, 2, generator=rng) / side
    weights = torch.randn(batch, (2 * radius + 1) ** 2, side, side, generator=rng)
    features = [x.to(device, dtype).requires_grad_() for x in (fixed, moving)]
    return *features, warp.to(device), weights.to(device, dtype)


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(function: Callable, sets: list[tuple], radius: int, device: str, rounds: int) -> dict[str, float]:
    forward, backward = [], []
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    for i in range(-2, rounds):  # two rounds to warm up
        fixed, moving, warp, weights = sets[i % len(sets)]
        start = clock(device)
        result = function(fixed, moving, warp, radius)
        middle = clock(device)
        torch.autograd.grad(result, (fixed, moving), weights)
        end = clock(device)
        if i >= 0:
            forward.append(1e3 * (middle - start))
            backward.append(1e3 * (end - middle))
    found = {"forward_ms": statistics.median(forward), "backward_ms": statistics.median(backward)}
    if device == "cuda":
        found["peak_mib"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    return found


def error(function: Callable, given: tuple, radius: int) -> float:
    """Largest relative error of result and gradients against double precision, on the first image of the batch."""
    fixed, moving, warp, weights = (x[:1].detach() for x in given)

    def answers(function: Callable, fixed: torch.Tensor, moving: torch.Tensor, warp: torch.Tensor):
        fixed, moving = fixed.requires_grad_(), moving.requires_grad_()
        result = function(fixed, moving, warp, radius)
        return result, *torch.autograd.grad(result, (fixed, moving), weights.to(result.dtype))

    truth = answers(reference.local_correlation, fixed.double(), moving.double(), warp.double())
    found = answers(function, fixed, moving, warp)
    shares = [(one.double() - other).norm() / other.norm() for one, other in zip(found, truth, strict=True)]
    return float(max(shares).item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=SHAPES, default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    contenders = {"reference": reference.local_correlation, "windows": windows.local_correlation}
    hardware = f"{platform.processor() or platform.machine()}, {options.threads} threads"
    if options.device == "cuda":
        from xmatch.ops import fused

        contenders["fused"] = fused.local_correlation
        hardware = torch.cuda.get_device_name()
    for shape in SHAPES[options.device]:
        sets = [inputs(shape, options.device, dtype, seed) for seed in range(3)]
        radius = shape[3]
        least_mib = sum(x.numel() * x.element_size() for x in sets[0]) / 2**20
        usual: dict[str, float] = {}
        for name, function in contenders.items():
            found = measure(function, sets, radius, options.device, options.rounds)
            usual = usual or found
            ratios = {f"{way}_times": usual[f"{way}_ms"] / found[f"{way}_ms"] for way in ("forward", "backward")}
            numbers = {key: round(value, 3) for key, value in {**found, **ratios}.items()}
            told = {"shape": shape, "dtype": options.dtype, "implementation": name, **numbers}
            told |= {"error": error(function, sets[0], radius), "least_mib": round(least_mib, 1), "hardware": hardware}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
