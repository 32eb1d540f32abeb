"""How well a detector finds and describes the same places of an image that was turned by 90 degrees, or blurred.

    xmatch models fetch aliked-n16 xfeat disk-depth
    python benchmarks/repeatability.py sample_data/optical.tif aliked-n16 aliked-n16rot xfeat disk-depth

Repeatability: share of keypoints with one of the other image within 3 px of their place (Mikolajczyk et al., IJCV 65,
2005, on points); matching score: share whose nearest descriptor of the other image, and back, lies there.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from xmatch.coords import Floats, Image
from xmatch.io import open_source
from xmatch.networks.base import Detector, Keypoints
from xmatch.networks.keypoints import MutualNearest
from xmatch.networks.loading import load_network
from xmatch.registration.views import framing, make_view

NEAR_PX = 3.0
BLUR_PX = 1.5
VIEW_PX = 640


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("weights", nargs="+", help="files, or names that were fetched")
    args = parser.parse_args()
    with open_source(args.image) as source:
        view = make_view(source, framing((0, 0, source.header.width, source.header.height), VIEW_PX))
    print("| detector | change | keypoints | repeated, % | matched, % |\n| --- | --- | --- | --- | --- |")
    for weights in args.weights:
        loaded = load_network(weights)
        assert loaded.entry.detector is not None, f"{weights} are of no detector"
        detector = loaded.entry.detector(loaded.network, "cpu")
        for change, (image, forward) in changes(view.image).items():
            count, repeated, matched = measured(detector, view.image, image, forward)
            print(f"| {weights} | {change} | {count} | {100 * repeated:.0f} | {100 * matched:.0f} |")


def changes(image: Image) -> dict[str, tuple[Image, Floats]]:
    """Name -> the changed image, and the (3, 3) map of positions into it."""
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, image.shape[1]], [0.0, 0.0, 1.0]])
    return {
        "none": (image, np.eye(3)),
        "turned by 90 degrees": (np.ascontiguousarray(np.rot90(image)), quarter),
        f"blurred by {BLUR_PX} px": (cv2.GaussianBlur(image, (0, 0), BLUR_PX), np.eye(3)),
    }


def measured(detector: Detector, image: Image, changed: Image, forward: Floats) -> tuple[int, float, float]:
    """Keypoints of the image, and the shares of them that are found again and matched there."""
    here, there = (detector(each, np.ones(each.shape, bool)) for each in (image, changed))
    apart = distances(here, there, forward)
    found = MutualNearest(detector).match(here, there)
    placed = np.column_stack([found.fixed_xy, np.ones(len(found))]) @ forward.T[:, :2]
    right = np.linalg.norm(placed - found.moving_xy, axis=1) < NEAR_PX
    return len(here.xy), float((apart.min(axis=1) < NEAR_PX).mean()), float(right.sum() / max(1, len(here.xy)))


def distances(here: Keypoints, there: Keypoints, forward: Floats) -> Floats:
    placed = np.column_stack([here.xy, np.ones(len(here.xy))]) @ forward.T[:, :2]
    return np.linalg.norm(placed[:, None] - there.xy[None], axis=2)


if __name__ == "__main__":
    main()
