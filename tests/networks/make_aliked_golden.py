"""Writes aliked_golden.json: what ALIKED with its published weights finds in a sample image.

xmatch models fetch aliked-n16
python tests/networks/make_aliked_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from xmatch.io import open_source
from xmatch.networks.base import Keypoints
from xmatch.networks.loading import load_network
from xmatch.registration.views import framing, make_view

GOLDEN = Path(__file__).with_name("aliked_golden.json")
SAMPLE = Path(__file__).parents[2] / "sample_data" / "optical.tif"
WEIGHTS, FIRST = "aliked-n16", 20


def found() -> Keypoints:
    """Keypoints of the sample image, at 320 px."""
    with open_source(SAMPLE) as source:
        view = make_view(source, framing((0, 0, source.header.width, source.header.height), 320))
    loaded = load_network(WEIGHTS)
    assert loaded.entry.detector is not None
    return loaded.entry.detector(loaded.network, "cpu")(view.image, view.valid)


def golden(points: Keypoints) -> dict[str, list[list[float]]]:
    """The first keypoints, px, and the first numbers of their descriptors."""
    described = points.descriptors[:FIRST, :8].double().numpy()
    return {"xy": np.round(points.xy[:FIRST], 3).tolist(), "descriptors": np.round(described, 4).tolist()}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(found())) + "\n")
