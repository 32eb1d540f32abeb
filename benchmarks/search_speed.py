"""Pairs per second of what `structural` does, many pairs at once: search and refinement, judging, tie points.

    PYTHONPATH=. python benchmarks/search_speed.py --device cuda -o search_speed.jsonl
    PYTHONPATH=. python benchmarks/search_speed.py --device cpu --batches 1 --side 128 --rounds 1 --threads 1

One JSON line a row on stdout: first by numpy and OpenCV on one core, then batches of each size on the device. Medians
of rounds, each from views on the host to results on the host: `search` to refined proposals (`share_of_time` is of a
further round that waits after each stage), `judge` of three poses a pair, `tie points` around one. `corner_px` is the
largest distance of corners of the best poses from those found by numpy, on the pairs that both were given. Pairs are
drawn here: noise of several sizes under polygons, moving turned, scaled, shifted, and of another contrast. With
--profile FILE the operators that took most of the device's time are written there.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.bytes_moved import Moved
from xmatch.coords import corners, to_centre_matrix
from xmatch.geometry.matrices import apply_projective
from xmatch.matchers.base import Proposal, SearchRange
from xmatch.matchers.search import on_device
from xmatch.matchers.search.settings import EDGE_SEARCH
from xmatch.matchers.structural import propose
from xmatch.ops import frames
from xmatch.raster import View
from xmatch.registration.tie_points import TiePointFinder
from xmatch.registration.tie_points_on_device import described, described_as_posed, matched
from xmatch.registration.windows import NARROW
from xmatch.verification.judge import ProposalJudge
from xmatch.verification.judge_on_device import measured_of_pairs
from xmatch.verification.judge_settings import SIDE_PX

WARM_UP = 2
"""Rounds that are not counted: the first ones plan transforms and ask for memory."""
PART_OF_GPU = 2**33
"""Bytes that a part of the work may take on a GPU of 64 GiB."""
JUDGED = 3
"""Poses a pair, as many as the search hands on."""


def drawn(side: int, seed: int) -> tuple[View, View, np.ndarray]:
    """(fixed, moving, moving px -> fixed px) of side x side px."""
    rng = np.random.default_rng(seed)
    whole = 2 * side
    land = np.zeros((whole, whole), np.float32)
    for sigma in (2.0, 6.0, 20.0):
        noise = cv2.GaussianBlur(rng.standard_normal(land.shape, dtype=np.float32), (0, 0), sigma)
        land += noise / noise.std()
    for _ in range(60):
        middle, reach = rng.uniform(0, whole, 2), rng.uniform(side / 30, side / 6)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
        outline = middle + reach * np.stack([np.cos(angles), np.sin(angles)], -1)
        cv2.fillPoly(land, [outline.round().astype(np.int32)], float(rng.uniform(-2, 2)))
    land = (land - land.min()) / np.ptp(land)
    turn, scale = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(-0.4, 0.4))
    truth = np.eye(3)
    truth[:2, :2] = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([side / 2, side / 2])
    truth[:2, 2] = middle + rng.uniform(-0.08, 0.08, 2) * side - truth[:2, :2] @ middle
    corner = np.array([[1, 0, side / 2], [0, 1, side / 2], [0, 0, 1]])
    fixed = land[side // 2 : side // 2 + side, side // 2 : side // 2 + side]
    onto = to_centre_matrix(np.linalg.inv(corner @ truth))[:2]
    seen = cv2.warpAffine(land, onto, (side, side), flags=cv2.INTER_LINEAR)
    other = (1 - seen) ** 1.5 + 0.05 * rng.standard_normal(seen.shape)
    valid = cv2.warpAffine(np.ones_like(land), onto, (side, side)) > 0.99
    return _view(fixed, np.ones(fixed.shape, bool)), _view(np.clip(other, 0, 1), valid), truth


def _view(image: np.ndarray, valid: np.ndarray) -> View:
    return View(np.where(valid, image, 0).astype(np.float32), valid, np.eye(3))


def corner_px(one: list[Proposal], matrix: np.ndarray, moving: View) -> float:
    """Largest distance of moving's corners under the best pose from where they should be; infinite without one."""
    outline = corners(moving.width, moving.height)
    if not one:
        return float("inf")
    apart = apply_projective(one[0].matrix, outline) - apply_projective(matrix, outline)
    return float(np.linalg.norm(apart, axis=1).max())


class Stages:
    """Seconds by stage, the device's work included."""

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begun = clock(self._device)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + clock(self._device) - begun


def clock(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def by_numpy(pairs: list[tuple[View, View, np.ndarray]], rounds: int) -> tuple[dict, list[list[Proposal]]]:
    cv2.setNumThreads(1)
    times, found = [], []
    for number in range(1 + rounds):
        fixed, moving, _ = pairs[number % len(pairs)]
        begun = time.perf_counter()
        poses = propose(fixed, moving, SearchRange(), EDGE_SEARCH, threads=1)
        if number:
            times.append(time.perf_counter() - begun)
        if number < len(pairs):
            found.append(poses)
    return {"what": "search", "path": "numpy", "batch": 1, "threads": 1} | _rates(times, 1), found


def rest_by_numpy(pairs: list[tuple[View, View, np.ndarray]]) -> Iterator[dict]:
    times: dict[str, list[float]] = {"judge": [], "tie points": []}
    for fixed, moving, truth in pairs:
        begun = time.perf_counter()
        judge = ProposalJudge(fixed, moving)
        for off in range(JUDGED):
            judge(_off(truth, off))
        between = time.perf_counter()
        TiePointFinder(fixed, moving)(truth, NARROW)
        times["judge"].append(between - begun)
        times["tie points"].append(time.perf_counter() - between)
    for name, found in times.items():
        yield {"what": name, "path": "numpy", "batch": 1, "threads": 1} | _rates(found, 1)


def steps_on(device: str, batch: int, pairs: list[tuple[View, View, np.ndarray]]) -> dict[str, Callable[[], object]]:
    """What a device does of many pairs at once, by name."""
    chosen = [pairs[i % len(pairs)] for i in range(batch)]
    asked = [(fixed, moving, SearchRange()) for fixed, moving, _ in chosen]
    judged = [(fixed, moving, np.stack([_off(truth, off) for off in range(JUDGED)])) for fixed, moving, truth in chosen]

    def tie_points() -> object:
        here = described([(fixed.image, fixed.valid) for fixed, _, _ in chosen], device)
        sizes = [(fixed.width, fixed.height) for fixed, _, _ in chosen]
        posed = [(moving, truth, size) for (_, moving, truth), size in zip(chosen, sizes, strict=True)]
        return matched(list(zip(here, described_as_posed(posed, device), strict=True)), NARROW)

    return {
        "search": lambda: on_device.propose(asked, EDGE_SEARCH, device),
        "judge": lambda: measured_of_pairs(judged, SIDE_PX, device),
        "tie points": tie_points,
    }


def rest_on(device: str, batch: int, pairs: list[tuple[View, View, np.ndarray]], rounds: int) -> Iterator[dict]:
    steps = steps_on(device, batch, pairs)
    for name, work in ((name, steps[name]) for name in ("judge", "tie points")):
        times = []
        for number in range(rounds + WARM_UP):
            begun = clock(device)
            work()
            times += [clock(device) - begun] if number >= WARM_UP else []
        yield {"what": name, "path": "torch", "device": device, "batch": batch} | _rates(times, batch)


def _off(truth: np.ndarray, px: int) -> np.ndarray:
    moved = truth.copy()
    moved[0, 2] += px
    return moved


def on(
    device: str, batch: int, pairs: list[tuple[View, View, np.ndarray]], known: list[list[Proposal]], rounds: int
) -> dict:
    chosen = [pairs[i % len(pairs)] for i in range(batch)]
    asked = [(fixed, moving, SearchRange()) for fixed, moving, _ in chosen]
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    times = []
    for number in range(rounds + (WARM_UP if device != "cpu" else 0)):
        begun = clock(device)
        found = on_device.propose(asked, EDGE_SEARCH, device)
        if number >= WARM_UP or device == "cpu":
            times.append(clock(device) - begun)
    stages = Stages(device)
    on_device.propose(asked, EDGE_SEARCH, device, stage=stages)
    whole = sum(stages.seconds.values())
    shares = {name: round(seconds / whole, 3) for name, seconds in stages.seconds.items()}
    row = {
        "what": "search",
        "path": "torch",
        "device": device,
        "batch": batch,
        **_rates(times, batch),
        "share_of_time": shares,
    }
    compared = [
        corner_px(poses, other[0].matrix, moving)
        for poses, other, (_, moving, _) in zip(found, known, chosen, strict=False)
        if other
    ]
    right = [corner_px(poses, truth, moving) < 3 for poses, (_, moving, truth) in zip(found, chosen, strict=True)]
    row |= {"corner_px": max(compared), "compared": len(compared), "right_share": round(sum(right) / len(right), 3)}
    if device.startswith("cuda"):
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return row


def _rates(times: list[float], batch: int) -> dict[str, float]:
    seconds = statistics.median(times)
    return {"rounds": len(times), "seconds": round(seconds, 4), "pairs_per_second": round(batch / seconds, 2)}


def profiled(device: str, batch: int, pairs: list[tuple[View, View, np.ndarray]], path: Path) -> None:
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.startswith("cuda")
    search = steps_on(device, batch, pairs)["search"]
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        search()
    order = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    path.write_text(found.key_averages().table(sort_by=order, row_limit=40, max_name_column_width=80))


def counted(device: str, batch: int, pairs: list[tuple[View, View, np.ndarray]]) -> Iterator[dict]:
    """Operators that are begun for a batch, and what they read and write of each pair, if none is fused.

    In parts as large as a GPU's: a CPU's own are cut to what stays near a core.
    """
    frames.ON_CPU = PART_OF_GPU
    for name, work in steps_on(device, batch, pairs).items():
        with Moved() as moved:
            work()
        row = {"what": name, "path": "torch", "device": device, "batch": batch, "operators": moved.operators}
        yield row | {"operators_pair": round(moved.operators / batch), "mib_pair": round(moved.bytes / batch / 2**20)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--side", type=int, default=512, help="of the views, px")
    parser.add_argument("--pairs", type=int, default=8, help="different ones; larger batches repeat them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch on a CPU")
    parser.add_argument("--counted", type=int, nargs="*", default=[], help="batches of which operators are counted")
    parser.add_argument("--profile", type=Path, help="table of the device's operators for the largest batch")
    parser.add_argument("-o", "--output", type=Path, help="the rows once more, in a file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    card = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.processor()
    about = {"side": options.side, "hardware": card, "torch": torch.__version__}
    pairs = [drawn(options.side, seed) for seed in range(options.pairs)]
    rows, known = [], []

    def told(row: dict) -> None:
        rows.append(about | row)
        print(json.dumps(rows[-1]), flush=True)
        if options.output:
            options.output.write_text("".join(json.dumps(one) + "\n" for one in rows))

    row, known = by_numpy(pairs, max(options.rounds, len(pairs) - 1))
    told(row)
    for row in rest_by_numpy(pairs):
        told(row)
    for batch in options.batches:
        told(on(options.device, batch, pairs, known, options.rounds))
    for batch in options.batches:
        for row in rest_on(options.device, batch, pairs, options.rounds):
            told(row)
    for batch in options.counted:
        for row in counted(options.device, batch, pairs):
            told(row)
    if options.profile:
        profiled(options.device, options.batches[-1], pairs, options.profile)


if __name__ == "__main__":
    sys.exit(main())
