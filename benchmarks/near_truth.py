"""What networks that find correspondences make of pairs whose pose is nearly known, beside nearest descriptors.

    PYTHONPATH=. python benchmarks/near_truth.py aliked-n16 loftr.safetensors sift glue.safetensors+sift \
        --manifests DATA/srif-crop/*/val/pairs.jsonl --limit 5 --worlds 24

A contender is weights as `--weights` takes them, with "+" the companion's, or `sift`: nearest descriptors. Real pairs
are seen as `benchmarks/gpu_real.py` does, moving laid as a pose near the truth has it; drawn ones are scenes that no
training has seen, by any two sensors. Right are matches within 3 px of the view; AUC is of one similarity through all.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_real import LOOKS, _look, _read, fitted
from xmatch.coords import Floats, Image, Mask
from xmatch.matchers.weights import open_correspondence_network
from xmatch.networks.base import CorrespondenceNetwork
from xmatch.networks.keypoints import MutualNearest
from xmatch.networks.lightglue.runner import LightGlueRunner
from xmatch.networks.loftr.runner import LoftrRunner
from xmatch.networks.registry import WITHOUT_WEIGHTS
from xmatch.networks.truth import true_places
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.recipe import SourceSpec, build_mixture

RIGHT_PX = 3.0
AUC_PX = (5, 10)
"""Corner error, px of the fixed file."""
SEED = 20_261_127
"""Of drawn scenes: recipes of training have small ones."""
DRAWN = Difficulty(gap=1.0, max_angle_deg=20, max_scale=1.25, shear=0.05, perspective=0.15, elastic=0.0, noise=0.4)


@dataclass(frozen=True, eq=False)
class Seen:
    """A pair, and what is true of it."""

    group: str
    images: tuple[Image, Image]
    valid: tuple[Mask, Mask]
    pose: tuple[complex, complex, np.ndarray, float] | None
    """Turn and shift of a similarity fixed -> moving, moving's corners, px of the file in one of the view; None: it is
    `drawn`."""
    drawn: TrainingPairs | None

    def off_px(self, fixed_xy: Floats, moving_xy: Floats) -> Floats:
        """(N,) px of the view; inf where moving does not show what is matched."""
        if self.pose is not None:
            turn, shift, *_ = self.pose
            return np.abs(_complex(moving_xy) - (turn * _complex(fixed_xy) + shift))
        assert self.drawn is not None
        places, shown = true_places(self.drawn, torch.from_numpy(fixed_xy).float()[None])
        off = np.linalg.norm(places[0].double().numpy() - moving_xy, axis=1)
        return np.where(shown[0].numpy(), off, np.inf)


def _complex(xy: Floats) -> np.ndarray:
    return xy[:, 0] + 1j * xy[:, 1]


def real(manifests: list[Path], limit: int, side: int) -> Iterator[Seen]:
    """Each pair by both looks of `benchmarks/gpu_real.py`, at 7 and `number` as seeds."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    for manifest in manifests:
        rows = [json.loads(line) for line in manifest.read_text().splitlines()]
        for number in np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int):
            row = rows[number]
            fixed, moving = (_read(manifest.parent / row[name]) for name in ("fixed", "moving"))
            truth = half @ np.array(row["moving_to_fixed"], float) @ np.linalg.inv(half)
            for look, bounds in enumerate(LOOKS):
                images, valid, turn, shift, corners, px = _look(
                    fixed, moving, truth, side, bounds, np.random.default_rng((7, int(number), look))
                )
                grey = images.astype(np.float32) / 255
                pose = turn, shift, corners, px
                yield Seen(manifest.parents[1].name, (grey[0], grey[1]), (valid[0], valid[1]), pose, None)


def drawn(count: int, side: int) -> Iterator[Seen]:
    mixture = build_mixture([SourceSpec("worlds", pool=count, side=max(256, side))])
    mixture.go_to(0, SEED, 0)
    for number in range(count):
        pairs = draw_pairs(mixture, 1, side, torch.Generator().manual_seed(SEED + number), DRAWN)
        (fixed, moving), (here, there) = (
            (a[0, 0].numpy(), b[0, 0].numpy())
            for a, b in ((pairs.fixed, pairs.moving), (pairs.fixed_valid, pairs.moving_valid))
        )
        yield Seen("worlds", (fixed, moving), (here, there), None, pairs)


def opened(contender: str) -> CorrespondenceNetwork:
    if contender in WITHOUT_WEIGHTS:
        entry = WITHOUT_WEIGHTS[contender]
        assert entry.detector is not None
        return MutualNearest(entry.detector(entry.build({}), "cpu"))
    weights, _, companion = contender.partition("+")
    return open_correspondence_network(weights, "cpu", companion or None)


def ask_for(network: CorrespondenceNetwork, least: float) -> None:
    """Matches of at least this certainty, of LightGlue and LoFTR; others give all they have."""
    if isinstance(network, LightGlueRunner):
        network._network.conf.filter_threshold = least
    elif isinstance(network, LoftrRunner):
        network.network.coarse_matching.thr = least


def measured(network: CorrespondenceNetwork, seen: Seen) -> dict[str, float]:
    here, there = (network.describe(*side) for side in zip(seen.images, seen.valid, strict=True))
    found = network.match(here, there)
    off = seen.off_px(found.fixed_xy, found.moving_xy)
    row = {"matches": float(len(found)), "right": float((off < RIGHT_PX).sum())}
    row["share"] = row["right"] / max(1, len(found))
    if seen.pose is not None:
        row |= dict.fromkeys([f"auc{limit}" for limit in AUC_PX], 0.0)
        if len(found) >= 2:
            turn, shift, corners, px = seen.pose
            z, w = (torch.from_numpy(_complex(xy))[None] for xy in (found.fixed_xy, found.moving_xy))
            a, b, agreement = (float_of(t) for t in fitted(z, w, torch.ones(z.shape, dtype=torch.float64)))
            if abs(agreement) > 0:
                error = np.abs((corners - b) / a - (corners - shift) / turn).mean() * px
                row |= {f"auc{limit}": max(0.0, 1 - error / limit) for limit in AUC_PX}
    return row


def float_of(value: torch.Tensor) -> complex:
    return complex(value[0].item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contenders", nargs="+")
    parser.add_argument("--manifests", type=Path, nargs="*", default=[])
    parser.add_argument("--limit", type=int, default=5, help="pairs of a manifest, evenly chosen")
    parser.add_argument("--worlds", type=int, default=0, help="drawn pairs")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--least", type=float, help="certainty of matches of LightGlue and LoFTR; default: their own")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = list(real(args.manifests, args.limit, args.side))
    if args.worlds:
        pairs += drawn(args.worlds, args.side)
    for contender in args.contenders:
        network, begun = opened(contender), time.process_time()
        if args.least is not None:
            ask_for(network, args.least)
        rows = [(seen.group, measured(network, seen)) for seen in pairs]
        seconds = (time.process_time() - begun) / max(1, len(pairs))
        groups = list(dict.fromkeys(group for group, _ in rows))
        print(f"{contender}: {seconds:.2f} s a pair", flush=True)
        for group in groups:
            own = [row for name, row in rows if name == group]
            means = {key: round(float(np.mean([row[key] for row in own])), 3) for key in own[0]}
            print(f"  {group:18} n {len(own):3} {json.dumps(means)}", flush=True)


if __name__ == "__main__":
    main()
