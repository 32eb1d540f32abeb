"""What a further perspective or bend of moving costs a registration: `--transform auto` from file to map.

    python benchmarks/perspective.py --data DIR --pairs 4 --every 5 --corners 0,0.1,0.2,0.3 --bends 12

DIR holds one folder a set with {split}/pairs.jsonl: "fixed", "moving" and "moving_to_fixed", centre-counted px.
Moving's corners are moved at random by up to a share of its shorter side, or its px along sines by so many px each way.
A pair's error is the mean at moving's corners, and of bends the 90th percentile over the overlap. A line a pair, then a
table: below 3 and 10 px, accepted of right (below 10 px) and of wrong ones, median seconds. Only training splits belong
into a choice.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from xmatch.coords import corners, from_centre_matrix, pixel_centres, to_centre_matrix, to_centre_xy
from xmatch.geometry import Linear
from xmatch.geometry.outlines import inside
from xmatch.io import open_source
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register

RIGHT_PX, EXACT_PX = 10.0, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--pairs", type=int, default=4, help="of each set")
    parser.add_argument("--every", type=int, default=5, help="so many-th pair of a set")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--corners", default="0,0.1,0.2,0.3", help="shares of the shorter side")
    parser.add_argument("--bends", default="", help="px each way")
    parser.add_argument("--matcher", default="structural")
    parser.add_argument("--transform", default="auto")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    options = RegisterOptions(matcher=args.matcher, transform=args.transform, threads=1)
    kinds = [("corners", float(x)) for x in args.corners.split(",") if x]
    kinds += [("bend", float(x)) for x in args.bends.split(",") if x]
    rows = defaultdict(list)
    for manifest in sorted(args.data.glob(f"*/{args.split}/pairs.jsonl")):
        pairs = [json.loads(line) for line in manifest.read_text().splitlines()]
        for index in range(args.first, args.first + args.pairs * args.every, args.every):
            if index >= len(pairs):
                break
            for kind, size in kinds:
                row = measured(manifest.parent, pairs[index], kind, size, index, options)
                rows[kind, size].append((manifest.parts[-3], *row))
                error, accepted, ce90, chosen, seconds = row
                said = f"{manifest.parts[-3]:18s} {index:3d} {kind} {size:g}: {error:7.1f} px {chosen:10s}"
                print(
                    f"{said} {'accepted' if accepted else 'refused '} ce90 {ce90 or 0:5.1f} {seconds:5.1f} s",
                    flush=True,
                )
    table(rows)


def table(rows: dict) -> None:
    print("| | n | below 3 px, % | 10 px (of each set) | right accepted, % | wrong accepted | within ce90, % | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (kind, size), found in rows.items():
        name = np.array([row[0] for row in found])
        error, accepted, ce90, seconds = (np.array([row[i] or 0 for row in found], float) for i in (1, 2, 3, 5))
        right, yes = error < RIGHT_PX, accepted > 0
        of_each = " ".join(f"{100 * right[name == one].mean():.0f}" for one in dict.fromkeys(name))
        print(
            f"| {kind} {size:g} | {len(found)} | {100 * (error < EXACT_PX).mean():.0f} "
            f"| {100 * right.mean():.0f} ({of_each}) | {100 * yes[right].mean() if right.any() else 0:.0f} "
            f"| {int(yes[~right].sum())} of {int((~right).sum())} "
            f"| {100 * (error <= ce90)[yes].mean() if yes.any() else 0:.0f} | {np.median(seconds):.2f} |"
        )


def measured(
    folder: Path, pair: dict, kind: str, size: float, seed: int, options: RegisterOptions
) -> tuple[float, bool, float | None, str, float]:
    """Error px, whether accepted, expected error px, kind of the map, seconds."""
    truth = Linear(from_centre_matrix(pair["moving_to_fixed"]), "homography")
    image = cv2.imread(str(folder / pair["moving"]), cv2.IMREAD_UNCHANGED)
    height, width = image.shape[:2]
    with TemporaryDirectory() as place:
        path = str(Path(place) / "moving.png")
        if kind == "corners":
            warped, onto = in_perspective(image, size, seed)
            xy = onto(corners(width, height))
            true = truth.after(onto.inverse)(xy)
        else:
            warped, shown = bent(image, size, seed)
            xy = pixel_centres(width, height, step=8).reshape(-1, 2)
            true = truth(shown[::8, ::8].reshape(-1, 2))
            fixed_height, fixed_width = cv2.imread(str(folder / pair["fixed"]), cv2.IMREAD_UNCHANGED).shape[:2]
            shared = inside(true, fixed_width, fixed_height)
            xy, true = xy[shared], true[shared]
        cv2.imwrite(path, warped)
        with open_source(str((folder / pair["fixed"]).resolve())) as fixed, open_source(path) as moving:
            start = time.perf_counter()
            found = register(fixed, moving, options)
            seconds = time.perf_counter() - start
    if found.transform is None:
        return np.inf, False, None, "none", seconds
    off = np.nan_to_num(np.linalg.norm(found.transform(xy) - true, axis=1), nan=np.inf)
    error = float(off.mean() if kind == "corners" else np.quantile(off, 0.9))
    return error, found.verdict.accepted, found.verdict.ce90_px, found.transform.kind, seconds


def in_perspective(image: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, Linear]:
    """The image in a random quadrangle, what lies around it without data, and the map from its px there."""
    if not share:
        return image, Linear(np.eye(3), "homography")
    height, width = image.shape[:2]
    outline = corners(width, height)
    moved = outline + np.random.default_rng(seed).uniform(-share, share, (4, 2)) * min(width, height)
    moved -= moved.min(axis=0)
    onto = cv2.getPerspectiveTransform(outline.astype(np.float32), moved.astype(np.float32)).astype(np.float64)
    size = tuple(int(n) for n in np.ceil(moved.max(axis=0)))
    seen = cv2.warpPerspective(np.full((height, width), 255, np.uint8), to_centre_matrix(onto), size)
    warped = cv2.warpPerspective(image, to_centre_matrix(onto), size, flags=cv2.INTER_AREA)
    warped = warped if warped.ndim == 3 else cv2.cvtColor(warped, cv2.COLOR_GRAY2BGR)
    return np.dstack([warped[..., :3], np.where(seen > 250, 255, 0).astype(np.uint8)]), Linear(onto, "homography")


def bent(image: np.ndarray, size_px: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The image along sines of the length of its longer side, and (h, w, 2) which of its px each px shows."""
    height, width = image.shape[:2]
    centres = pixel_centres(width, height)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2)
    shown = centres + size_px * np.sin(2 * np.pi * centres[..., ::-1] / max(width, height) + phase)
    at = to_centre_xy(shown).astype(np.float32)
    return cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), shown


if __name__ == "__main__":
    main()
