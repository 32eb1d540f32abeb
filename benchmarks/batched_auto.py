"""Pairs per second of whole registrations by `auto`, so many at once, which share a device.

    PYTHONPATH=. python benchmarks/batched_auto.py --device cuda -o batched_auto.jsonl
    PYTHONPATH=. python benchmarks/batched_auto.py --device cpu:0 --at-once 1 4 --pairs 4 --side 160

One JSON line a row on stdout: first by OpenCV, one pair after the other, then on the device, 1, 8 and 64 at once; from
files to maps and verdicts, no raster written. `corner_px` is the largest distance of moving's corners under the maps
from where the first row has them, of pairs that both accept. Pairs are those of benchmarks/search_speed.py, of two
contrasts, so that keypoints are not enough; `device_calls` is how often the device was asked for something, and
`items_a_call` of how many pairs at a time; `peak_mib` is the process's peak so far.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.search_speed import drawn
from xmatch.coords import corners
from xmatch.io import open_source
from xmatch.ops import batching
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register
from xmatch.result import Registration


def written(folder: Path, side: int, count: int) -> list[tuple[Path, Path]]:
    """Files of so many pairs."""
    files = []
    for seed in range(count):
        fixed, moving, _ = drawn(side, seed)
        both = folder / f"{seed}.fixed.png", folder / f"{seed}.moving.png"
        for path, view in zip(both, (fixed, moving), strict=True):
            cv2.imwrite(str(path), (255 * view.image).round().astype(np.uint8))
        files.append(both)
    return files


def registered(files: tuple[Path, Path], options: RegisterOptions) -> Registration:
    with open_source(files[0]) as fixed, open_source(files[1]) as moving:
        return register(fixed, moving, options)


@contextmanager
def calls() -> Iterator[list[int]]:
    """How many items each call of the device is given."""
    given: list[int] = []
    in_halves = batching._in_halves

    def noted(work: Callable[..., Any], items: Sequence[Any], *rest: Any) -> list[Any]:
        given.append(len(items))
        return in_halves(work, items, *rest)

    batching._in_halves = noted
    try:
        yield given
    finally:
        batching._in_halves = in_halves


def row(
    files: list[tuple[Path, Path]], device: str, at_once: int
) -> tuple[dict[str, Any], dict[tuple[Path, Path], Registration]]:
    """What is told of `at_once` pairs, at least as many as there are files, and the registrations."""
    work = partial(registered, options=RegisterOptions(device=device, threads=1))
    asked = list(islice(cycle(files), max(at_once, len(files))))
    with calls() as given:
        begun, cpu = time.perf_counter(), time.process_time()
        found = dict(batching.run_together(work, asked, at_once))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    told = {"device": device, "at_once": at_once, "pairs": len(asked), "seconds": round(seconds, 2)}
    told |= {"pairs_per_second": round(len(asked) / seconds, 3), "cpu_seconds_pair": round(cpu / len(asked), 2)}
    told |= {"device_calls": len(given), "items_a_call": round(sum(given) / max(len(given), 1), 1)}
    told["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told["accepted"] = sum(one.verdict.accepted for one in found.values())
    if device.startswith("cuda"):
        told["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return told, found


def apart_px(one: Registration, other: Registration, side: int) -> float:
    outline = corners(side, side)
    return float(np.linalg.norm(one.transform(outline) - other.transform(outline), axis=1).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu:0: torch on the CPU")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--side", type=int, default=512, help="of the images, px")
    parser.add_argument("--pairs", type=int, default=8, help="different ones; more at once repeat them")
    parser.add_argument("-o", "--output", type=Path, help="the rows once more, in a file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), options.side, options.pairs)
        # The first call on a GPU loads its libraries and plans transforms.
        row(files[:1], options.device, 1)
        expected: dict[tuple[Path, Path], Registration] = {}
        for device, at_once in [("cpu", 1), *((options.device, each) for each in options.at_once)]:
            told, found = row(files, device, at_once)
            expected = expected or found
            both = [pair for pair in files if found[pair].verdict.accepted and expected[pair].verdict.accepted]
            apart = [apart_px(found[pair], expected[pair], options.side) for pair in both]
            rows.append(told | {"corner_px": round(max(apart, default=0.0), 4), "compared": len(apart)})
            print(json.dumps(rows[-1]), flush=True)
            if options.output:
                options.output.write_text("".join(json.dumps(one) + "\n" for one in rows))


if __name__ == "__main__":
    sys.exit(main())
