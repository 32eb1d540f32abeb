"""Groups of images of one place by several sensors: does the graph of pairs place more of them, and does it hold?

    python benchmarks/groups.py FOLDER... --limit 5 -o groups.jsonl

Each FOLDER holds aligned images PLACE_SENSOR.png of one size a place. Each image but the first of a place (the
reference) is turned, scaled and shifted by chance and cut upright, so that no border tells the answer. All pairs of a
place are registered as `xmatch align` does; the same registrations say what pairs with the reference alone would give.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from xmatch.coords import corners, pixel_centres, to_centre_xy
from xmatch.geometry import Linear, compose, similarity, translation
from xmatch.io import open_source
from xmatch.registration.group import GroupOptions, register_group
from xmatch.registration.options import RegisterOptions
from xmatch.result import GroupRegistration

TURN_DEG, SCALE, SHIFT = 20.0, 1.1, 0.04
"""Up to these, either way; the shift as a share of the longer side."""
KEPT = 0.66
"""Share of the sides that is cut out of the middle: what turning leaves whole."""
FIRST = ("_opt", "_phase", "_T1")
"""Sensors that are the reference where they are there; else the first by name."""
RIGHT_PX = 10.0
"""Corner error below which an image counts as placed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, help="places of each folder")
    parser.add_argument("--skip", default="lulc", help="sensors to leave out, separated by commas")
    parser.add_argument("--matcher", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path("groups.jsonl"))
    args = parser.parse_args()
    rows = []
    with args.output.open("w", encoding="utf-8") as file:
        for folder in args.folders:
            for place, paths in list(places(folder, set(args.skip.split(","))).items())[: args.limit]:
                rows.append({"folder": folder.parent.name, "place": place, **measured(paths, args.matcher)})
                print(json.dumps(rows[-1]), file=file, flush=True)
    print(table(rows))


def places(folder: Path, skip: set[str]) -> dict[str, list[Path]]:
    """Place -> its images; three at least, the reference first."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*.png")):
        place, _, sensor = path.stem.rpartition("_")
        if sensor not in skip:
            found[place].append(path)
    return {
        place: sorted(paths, key=lambda path: not path.stem.endswith(FIRST))
        for place, paths in found.items()
        if len(paths) >= 3
    }


def measured(paths: list[Path], matcher: str) -> dict:
    """One group: errors and verdicts of each image by the group and by its own pair with the reference."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        poses, sources = [], []
        for k, path in enumerate(paths):
            image, pose = posed(
                cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.random.default_rng([k, len(paths)]), k > 0
            )
            cv2.imwrite(f"{folder}/{path.name}", image)
            poses.append(pose)
            sources.append(stack.enter_context(open_source(f"{folder}/{path.name}")))
        group = register_group(sources, GroupOptions(RegisterOptions(matcher=matcher, threads=1)))
        sizes = [(source.header.width, source.header.height) for source in sources]
    truths = [compose(pose, poses[0].inverse) for pose in poses]
    return {"images": [path.stem.rpartition("_")[2] for path in paths], **told(group, poses, truths, sizes)}


def posed(image: np.ndarray, rng: np.random.Generator, moved: bool) -> tuple[np.ndarray, Linear]:
    """The middle of an image, turned and shifted; and its px -> px of the whole."""
    height, width = image.shape[:2]
    w, h = round(KEPT * width), round(KEPT * height)
    angle, scale, dx, dy = (rng.uniform(-1, 1, 4) if moved else np.zeros(4)) * (TURN_DEG, 1, 1, 1)
    shift = SHIFT * max(width, height)
    to_whole = compose(
        translation(-w / 2, -h / 2),
        similarity(angle, SCALE**scale),
        translation(width / 2 + shift * dx, height / 2 + shift * dy),
    )
    xy = to_centre_xy(to_whole(pixel_centres(w, h).reshape(-1, 2))).astype(np.float32).reshape(h, w, 2)
    return cv2.remap(image, xy[..., 0], xy[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), to_whole


def told(group: GroupRegistration, poses: list[Linear], truths: list[Linear], sizes: list[tuple[int, int]]) -> dict:
    def error(found, true, size) -> float | None:
        return (
            None
            if found is None
            else float(np.linalg.norm(found(corners(*size)) - true(corners(*size)), axis=1).mean())
        )

    pairs = []
    for pair in group.pairs:
        true = compose(poses[pair.moving], poses[pair.fixed].inverse)
        pairs.append(
            {
                "pair": [pair.fixed, pair.moving],
                "state": pair.state,
                "off_px": pair.off_px,
                "error_px": error(pair.transform, true, sizes[pair.moving]),
                "trusted": pair.verdict is not None and pair.verdict.accepted,
            }
        )
    placed = [
        {
            "error_px": error(one.transform, true, size),
            "trusted": one.verdict.accepted,
            "ce90_px": one.verdict.ce90_px,
        }
        for one, true, size in zip(group.images[1:], truths[1:], sizes[1:], strict=True)
    ]
    return {"placed": placed, "pairs": pairs, "loops_px": [loop.off_px for loop in group.loops]}


def table(rows: list[dict]) -> str:
    """One line a folder."""
    heads = (
        "folder",
        "groups, images",
        "trusted and right: group; pair with the reference",
        "trusted and wrong: group; pair",
        "median error where both are right, px: group; pair",
        "loops: count, median and 90 %, px",
        "pairs trusted; wrong ones; of these left out; right ones left out",
    )
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for folder in dict.fromkeys(row["folder"] for row in rows):
        chosen = [row for row in rows if row["folder"] == folder]
        by_group = [one for row in chosen for one in row["placed"]]
        every = [pair for row in chosen for pair in row["pairs"] if pair["trusted"]]
        loops = [px for row in chosen for px in row["loops_px"]] or [np.nan]
        wrong = [pair for pair in every if pair["error_px"] >= RIGHT_PX]
        good = [pair for pair in every if pair["error_px"] < RIGHT_PX]
        # Pairs are listed by how far apart they stand: in order of their images they go with those of the group.
        by_pair = [
            pair for row in chosen for pair in sorted(row["pairs"], key=lambda p: p["pair"]) if pair["pair"][0] == 0
        ]
        both = [(g["error_px"], p["error_px"]) for g, p in zip(by_group, by_pair, strict=True) if right(g) and right(p)]
        medians = np.median(both, axis=0) if both else (np.nan, np.nan)
        lines.append(
            f"| {folder} | {len(chosen)}, {len(by_group)} | {sum(map(right, by_group))}; {sum(map(right, by_pair))} | "
            f"{sum(map(is_wrong, by_group))}; {sum(map(is_wrong, by_pair))} | {medians[0]:.2f}; {medians[1]:.2f} | "
            f"{len(loops)}: {np.median(loops):.2f}, {np.quantile(loops, 0.9):.2f} | {len(every)}; {len(wrong)}; "
            f"{sum(pair['state'] != 'used' for pair in wrong)}; {sum(pair['state'] != 'used' for pair in good)} |"
        )
    return "\n".join(lines)


def right(one: dict) -> bool:
    return bool(one["trusted"]) and one["error_px"] is not None and one["error_px"] < RIGHT_PX


def is_wrong(one: dict) -> bool:
    return bool(one["trusted"]) and not right(one)


if __name__ == "__main__":
    main()
