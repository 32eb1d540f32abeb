"""Relative poses of two pinhole views of procedural scenes, from the correspondences of each matcher.

    xmatch models fetch xfeat-lighterglue aliked-n16
    python benchmarks/pose_auc.py sift xmatch-sparse xfeat-lighterglue aliked-n16 -o pose-auc.jsonl

Held out: seeds that no recipe draws scenes from. The fixed view is optical (visible in rooms), the moving one by the
same sensor (`same`) or by another, each in turn (`cross`). Correspondences as `xmatch match --geometry essential` has
them; the pose from all of them by the protocol of SuperGlue (`xmatch/metrics/pose.py`); right are those within 1 px of
the true epipolar lines, both ways. Rows that the file has already are not made again; the table is of all its rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from xmatch.io import open_source
from xmatch.matchers.registry import MATCHERS
from xmatch.metrics import epipolar_errors, estimate_relative_pose, pose_auc, relative_pose_error_deg
from xmatch.registration.epipolar import match_with_depth
from xmatch.registration.options import RegisterOptions
from xmatch.synth.posed import PosedView, posed_views
from xmatch.synth.seeds import device_rng

HELD_OUT = 20_261_127
"""Joins every seed."""
ACROSS = {
    "land": ("nir", "infrared", "sar", "map", "night"),
    "city": ("nir", "infrared", "sar", "map", "night"),
    "indoor": ("visible-other", "depth", "infrared", "night", "normal"),
}
"""Moving's sensors where they are others."""
THRESHOLD_PX = 1.0
LEAST_BASELINE = 0.15
"""Of the median depth: with less, hardly anything tells the direction in which a camera moved."""
LEAST_PARALLAX_PX = 1.0
"""Of the true flow from the nearest homography, root mean square: planes fit two poses."""
LATTICE_PX = 8
THRESHOLDS_DEG = (5, 10, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("matchers", nargs="+", help="names of matchers, files of weights, or names that were fetched")
    parser.add_argument("-o", "--output", type=Path, default=Path("pose-auc.jsonl"))
    parser.add_argument("--count", type=int, default=30, help="scenes of each world")
    parser.add_argument("--size", type=int, default=384, help="px")
    args = parser.parse_args()
    made = rows_of(args.output)
    done = {(row["world"], row["seed"], row["set"], row["matcher"]) for row in made}
    with args.output.open("a", encoding="utf-8") as file:
        for row in measured(args.matchers, args.count, args.size, done):
            print(json.dumps(row), file=file, flush=True)
    print(table(rows_of(args.output)))


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def measured(matchers: list[str], count: int, size: int, done: set) -> Iterator[dict]:
    for seed in range(count):
        for world, others in ACROSS.items():
            same = "visible" if world == "indoor" else "optical"
            sensors = {"same": same, "cross": others[seed % len(others)]}
            wanted = [(s, m) for s in sensors for m in matchers if (world, seed, s, m) not in done]
            if not wanted:
                continue
            views = apart(world, size, seed, tuple(sensors.values()))
            for kind, matcher in wanted:
                facts = {"world": world, "seed": seed, "set": kind, "sensors": [same, sensors[kind]], "size": size}
                yield facts | {"matcher": matcher} | matched(matcher, *views, same, sensors[kind])


def apart(world: str, size: int, seed: int, sensors: tuple[str, ...]) -> tuple[PosedView, PosedView]:
    """The first two views of this seed that are far enough apart."""
    for number in range(100):
        rng = device_rng("cpu", HELD_OUT, list(ACROSS).index(world), seed, number)
        first, second = posed_views(world, 2, size, rng, sensors=sensors)
        baseline = np.linalg.norm(first.camera_to_world[:3, 3] - second.camera_to_world[:3, 3])
        far = baseline >= LEAST_BASELINE * np.median(first.depth[first.depth > 0])
        if far and parallax_px(first, second, size) >= LEAST_PARALLAX_PX:
            return first, second
    raise RuntimeError("cameras never move")


def parallax_px(first: PosedView, second: PosedView, size: int) -> float:
    """How far the true flow is from that of a plane; hidden or not."""
    line = np.arange(LATTICE_PX // 2, size, LATTICE_PX)
    column, row = (axis.ravel() for axis in np.meshgrid(line, line))
    depth = first.depth[row, column]
    here = np.column_stack([column, row]) + 0.5
    points = np.column_stack([here, np.ones(len(here))]) @ np.linalg.inv(first.intrinsics).T * depth[:, None]
    motion = np.linalg.inv(second.camera_to_world) @ first.camera_to_world
    gone = (points @ motion[:3, :3].T + motion[:3, 3]) @ second.intrinsics.T
    there = gone[:, :2] / gone[:, 2:]
    shown = (depth > 0) & (np.abs(there - size / 2) < size / 2).all(1)
    if shown.sum() < 100:
        return 0.0
    plane, _ = cv2.findHomography(here[shown], there[shown], 0)
    flat = np.column_stack([here[shown], np.ones(shown.sum())]) @ plane.T
    return float(np.sqrt(((flat[:, :2] / flat[:, 2:] - there[shown]) ** 2).sum(1).mean()))


def matched(matcher: str, first: PosedView, second: PosedView, fixed: str, moving: str) -> dict:
    cameras = first.intrinsics, second.intrinsics
    focal = tuple(float(k[0, 0]) for k in cameras)
    own = {"matcher": matcher} if matcher in MATCHERS else {"weights": matcher}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("fixed.png", "moving.png")]
        for path, image in zip(paths, (first.images[fixed], second.images[moving]), strict=True):
            cv2.imwrite(str(path), image)
        begun, used = time.perf_counter(), time.process_time()
        with open_source(paths[0]) as one, open_source(paths[1]) as other:
            found = match_with_depth(one, other, RegisterOptions(**own, threads=1), "essential", (focal[0], focal[1]))
        seconds, used = time.perf_counter() - begun, time.process_time() - used
    points = found.correspondences
    motion = np.linalg.inv(second.camera_to_world) @ first.camera_to_world
    truth = motion[:3, :3], motion[:3, 3]
    pose = estimate_relative_pose(points.fixed_xy, points.moving_xy, *cameras, threshold_px=THRESHOLD_PX)
    error = relative_pose_error_deg(pose, *truth)
    squared = epipolar_errors(points.fixed_xy, points.moving_xy, *cameras, *truth)
    right = np.sqrt(squared) * np.mean(focal) < THRESHOLD_PX
    return {
        "correspondences": len(points),
        "right": int(right.sum()),
        "pose_error_deg": error if np.isfinite(error) else None,
        "accepted": found.verdict.accepted,
        "parallax_deg": float(np.degrees(np.arccos(np.clip(axis_of(first) @ axis_of(second), -1, 1)))),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used, 2),
    }


def axis_of(view: PosedView) -> np.ndarray:
    return view.camera_to_world[:3, 2]


def table(rows: list[dict]) -> str:
    """A line a matcher and set: pose AUC over all its pairs, and what it found."""
    lines = [
        "| set | matcher | pairs | AUC@5 | @10 | @20 degrees | correspondences | right | accepted, below 10 degrees "
        "| CPU s a pair |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    kinds = [(w, s) for s in ("same", "cross") for w in (*ACROSS, "all")]
    for world, kind in kinds:
        for matcher in dict.fromkeys(row["matcher"] for row in rows):
            chosen = [r for r in rows if r["matcher"] == matcher and r["set"] == kind and world in (r["world"], "all")]
            if not chosen:
                continue
            errors = [np.inf if r["pose_error_deg"] is None else r["pose_error_deg"] for r in chosen]
            auc = pose_auc(errors, THRESHOLDS_DEG)
            count = np.median([r["correspondences"] for r in chosen])
            right = np.median([r["right"] / max(1, r["correspondences"]) for r in chosen])
            accepted = [error < 10 for error, r in zip(errors, chosen, strict=True) if r["accepted"]]
            seconds = np.mean([r["cpu_seconds"] for r in chosen])
            lines.append(
                f"| {world}, {kind} | {matcher} | {len(chosen)} | {auc[0]:.1f} | {auc[1]:.1f} | {auc[2]:.1f} "
                f"| {count:.0f} | {100 * right:.0f} % | {sum(accepted)} of {len(accepted)} | {seconds:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
