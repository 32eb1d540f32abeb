"""Two things of one kind: what corresponds are their parts, not what they look like."""

from __future__ import annotations

import numpy as np
import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.figures import between, draw_figure, make_kind
from xmatch.synth.sources.squares import steady

THING = "thing"
"""What pairs call their sensor: objectives that tell tasks apart know semantic pairs by it."""


class Things:
    """Pairs of figures of one kind, a new kind for each pair; the flow leads from part to part, the ground has none."""

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        pairs = []
        for _ in range(count):
            kind = make_kind(host)
            pairs.append((draw_figure(kind, size, host), draw_figure(kind, size, host)))
        flow, seen = [], []
        for first, second in pairs:
            there, shown = between(first, second)
            flow.append((there * (2.0 / size) - 1.0).clip(-1e3, 1e3).astype(np.float32))
            seen.append(shown & steady(there))
        images = (np.stack([pair[i].image for pair in pairs])[:, None] for i in (0, 1))
        first_image, second_image = (torch.from_numpy(image).to(rng.device) for image in images)
        return Aligned(
            first_image,
            second_image,
            everywhere(first_image),
            everywhere(second_image),
            ((THING, THING),) * count,
            ("things",) * count,
            torch.from_numpy(np.stack(flow)).to(rng.device),
            torch.from_numpy(np.stack(seen)).to(rng.device),
        )
