"""What each part of matcha-small is worth: MATCHA's ablation in small, on pairs that no training saw.

    python benchmarks/matcha_small.py runs/matcha/weights.safetensors --pairs 32

Rows: the encoder's features alone, side by side (no fusion), the fused ones, both, and with the third. Columns: pairs
of one scene (drawn shapes, seen by two sensors) and of two figures of one kind; the share of fixed's visible cells
whose nearest cell lies within 8 px of the truth, and within a tenth of the image's side (PCK@0.1 by the image).
`--untrained` takes random weights.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from xmatch.networks.loading import load_network
from xmatch.networks.matcha.config import SMALL_SIZES, STRIDE
from xmatch.networks.matcha.fusion import merged, resized
from xmatch.networks.matcha.small import MatchaSmall, SmallFeatures
from xmatch.networks.truth import true_places
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import PairSource, Sensors, Shapes, Things

SEED = 20_000
"""Far from those of trainings."""
DIFFICULTY = Difficulty(
    gap=0.3, max_angle_deg=15, max_scale=1.2, max_shift=0.3, shear=0.0, perspective=0.05, elastic=0.0, noise=0.3
)


def rows_of(found: SmallFeatures) -> dict[str, Tensor]:
    size = found.low.shape[-2:]
    high = resized(found.high, size)
    return {
        "low": merged(found.low),
        "high": merged(high),
        "low + high": merged(found.low, high),
        "fused geometric": found.of_task("geometric"),
        "fused semantic": found.of_task("semantic"),
        "fused both": found.of_task("temporal"),
        "fused both + third": found.of_task(),
    }


@torch.inference_mode()
def measured(network: MatchaSmall, source: PairSource, count: int, size: int) -> dict[str, Tensor]:
    """Row -> (N,) errors, px, over all visible cells of all pairs."""
    errors: dict[str, list[Tensor]] = {}
    for number in range(count // 4):
        batch = draw_pairs(Mixture([source]), 4, size, device_rng("cpu", SEED, number), DIFFICULTY)
        fixed, moving = rows_of(network(batch.fixed)), rows_of(network(batch.moving))
        places, seen = _truth(batch)
        for name in fixed:
            errors.setdefault(name, []).extend(
                (_nearest(fixed[name][i][:, seen[i]].T, moving[name][i]) - places[i, seen[i].flatten()]).norm(dim=1)
                for i in range(len(batch))
            )
    return {name: torch.cat(found) for name, found in errors.items()}


def _truth(batch: TrainingPairs) -> tuple[Tensor, Tensor]:
    """(B, N, 2) px of moving where the cells of fixed lie, and (B, h, w) bool whether they are seen."""
    side = batch.fixed.shape[-1] // STRIDE
    line = STRIDE * (torch.arange(side) + 0.5)
    centres = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, -1, 2)
    places, seen = true_places(batch, centres.expand(len(batch), -1, -1))
    return places, seen.unflatten(1, (side, side))


def _nearest(queries: Tensor, features: Tensor) -> Tensor:
    best = (queries @ features.flatten(1)).argmax(1)
    side = features.shape[-1]
    return STRIDE * (torch.stack([best % side, best // side], -1) + 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    torch.manual_seed(0)
    network = MatchaSmall(SMALL_SIZES["matcha-small"]) if options.untrained else load_network(options.weights).network
    assert isinstance(network, MatchaSmall)
    sources = {"one scene": Shapes(Sensors(["curves", "infrared"])), "one kind": Things()}
    found = {name: measured(network.eval(), source, options.pairs, options.size) for name, source in sources.items()}
    print("| feature | " + " | ".join(f"{name}: within 8 px, PCK@0.1 (cells)" for name in sources) + " |")
    for row in next(iter(found.values())):
        cells = [
            f"{100 * (e < 8).float().mean():.1f} / {100 * (e < options.size / 10).float().mean():.1f} ({len(e)})"
            for e in (errors[row] for errors in found.values())
        ]
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
