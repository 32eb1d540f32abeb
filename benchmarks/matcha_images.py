"""Points by a feature between real images: each against itself seen from aside, and aligned pairs of two sensors.

    python benchmarks/matcha_images.py DIR --feature matcha-small

DIR holds images and, where their names end in _a and _b, aligned pairs, in folders of any depth; a row a folder. The
middle square of each is seen at 256 px; corners of moving are moved by up to a tenth of the side. An image against
itself is blurred, darkened or brightened by up to 30 % and gets noise of 7 grey values. Points of a lattice of 16 px
where fixed has any texture: the share within 8 and 3 px of their true place, and within 8 px of those that come back to
within 12 px of their start.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from xmatch.networks.matcha.features import Feature
from xmatch.networks.matcha.loading import FeatureOptions, load_feature
from xmatch.pointwise.images import Seen
from xmatch.pointwise.points import find_points

SIDE, STEP, MARGIN, RETURNS = 256, 16, 24, 12.0
CORNERS = 0.1
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--feature", default="matcha-small")
    parser.add_argument("--weights")
    parser.add_argument("--count", type=int, default=12, help="images of each folder, evenly spread")
    args = parser.parse_args()
    feature = load_feature(args.feature, FeatureOptions(weights=args.weights))
    files = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    print("| folder | images | within 8 px | 3 px | 8 px of those that return | CPU s a pair |\n" + "| --- " * 6 + "|")
    for folder in sorted({path.parent for path in files}):
        own = [path for path in files if path.parent == folder and not path.stem.endswith("_b")]
        chosen = [own[i] for i in np.unique(np.linspace(0, len(own) - 1, args.count).astype(int))] if own else []
        rng = np.random.default_rng(0)
        found = [row for path in chosen if (row := measured(feature, path, rng)) is not None]
        if found:
            near, close, back, seconds = np.nanmean(found, axis=0)
            name = folder.relative_to(args.folder)
            print(f"| {name} | {len(found)} | {near:.0%} | {close:.0%} | {back:.0%} | {seconds:.2f} |", flush=True)


def measured(feature: Feature, path: Path, rng: np.random.Generator) -> tuple[float, float, float, float] | None:
    """Shares and seconds of one image; None where it shows nothing."""
    partner = path.with_stem(path.stem.removesuffix("_a") + "_b") if path.stem.endswith("_a") else None
    fixed, moving = middle(path), middle(partner or path)
    square = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float32)
    to = square + rng.uniform(-CORNERS, CORNERS, (4, 2)).astype(np.float32) * SIDE
    warp = cv2.getPerspectiveTransform(square, to)
    moving = cv2.warpPerspective(moving, warp, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    if partner is None:
        blurred = cv2.GaussianBlur(moving, (0, 0), 0.7) * rng.uniform(0.7, 1.3)
        moving = np.clip(blurred + rng.normal(0, 7, moving.shape), 0, 255).astype(np.uint8)
    line = np.arange(MARGIN, SIDE - MARGIN + 4, STEP)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype(float)
    spread = [fixed[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5].std() for x, y in points]
    true = cv2.perspectiveTransform(points[None], warp)[0]
    usable = (np.array(spread) > 3) & ((true > 4) & (true < SIDE - 4)).all(1)
    if usable.sum() < 5:
        return None
    begun = time.process_time()
    found = find_points(feature, seen(fixed), seen(moving), "geometric", points[usable], device="cpu")
    seconds = time.process_time() - begun
    error = np.linalg.norm(found.moving_xy - true[usable], axis=1)
    back = found.return_px < RETURNS
    return (error < 8).mean(), (error < 3).mean(), (error[back] < 8).mean() if back.any() else np.nan, seconds


def middle(path: Path) -> np.ndarray:
    """(SIDE, SIDE) uint8: the square in the middle."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    side = min(image.shape)
    y, x = ((length - side) // 2 for length in image.shape)
    return cv2.resize(image[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def seen(image: np.ndarray) -> Seen:
    colours = np.repeat(image[..., None], 3, -1).astype(np.float32) / 255
    return Seen("", colours, np.ones(image.shape, bool), (SIDE, SIDE))


if __name__ == "__main__":
    main()
