"""Published networks whose weights can be converted and inspected, and that nothing here runs yet.

A network that gets a runner moves into a folder of its own.
"""

from __future__ import annotations

from typing import Any

from xmatch.networks.architecture import Architecture, PublishedWeights

ROMA_V2: Architecture[Any] = Architecture(
    name="romav2",
    title="RoMa v2",
    family="dense",
    marks=("matcher.omega", "refiners.4.", "refiner_features."),
    published=(
        PublishedWeights(
            name="romav2",
            file="romav2.pt",
            licence="MIT AND LicenseRef-DINOv3",
            commercial=False,
            parameters_m=None,
            source="github.com/Parskatt/RoMaV2, release weights",
            note="holds DINOv3, whose own licence limits use",
        ),
    ),
)
