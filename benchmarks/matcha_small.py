"""What each part of matcha-small is worth: MATCHA's ablation (Tables 3 and 4) in small, on what no training saw.

    python benchmarks/matcha_small.py matcha-small --pairs 48
    python benchmarks/matcha_small.py --untrained --pairs 48

Rows: the encoder's features alone, side by side (no fusion), the fused ones, both, and with the third. Columns:

- geometric: one scene, drawn shapes seen by two sensors. Share of fixed's visible cells whose nearest cell lies within
  8 px of the truth; MMA, the mean over 1 to 10 px, of the cells that choose each other;
- semantic: two figures of one kind. Share within 8 px, and PCK@0.1 by the image's side;
- temporal: films of a figure that moves before a moving ground, as TAP-Vid measures them: AJ, the mean accuracy of
  positions, and of saying what is hidden, of 32 points, half of them on the figure, the others where the ground has
  texture. No training saw motion.

`--untrained` takes random weights.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from drawn_films import draw_film, followed
from torch import Tensor

from xmatch.metrics.matches import mean_matching_accuracy
from xmatch.metrics.semantic import pck
from xmatch.metrics.tracking import SIDE, tap_vid
from xmatch.networks.loading import load_network
from xmatch.networks.matcha.config import SMALL_SIDES, SMALL_SIZES, STRIDE, Task
from xmatch.networks.matcha.fusion import merged, resized
from xmatch.networks.matcha.small import MatchaSmall, SmallFeatures
from xmatch.networks.truth import true_places
from xmatch.pointwise.images import Seen
from xmatch.pointwise.nearest import centres, mutual_nearest
from xmatch.pointwise.points import track_points
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import PairSource, Sensors, Shapes, Things
from xmatch.synth.sources.figures import Figure

SEED = 20_000
"""Far from those of trainings."""
DIFFICULTY = Difficulty(
    gap=0.3, max_angle_deg=15, max_scale=1.2, max_shift=0.3, shear=0.0, perspective=0.05, elastic=0.0, noise=0.3
)
FRAMES, POINTS = 8, 32
TEXTURE, AROUND_PX = 0.03, 9
"""Least deviation of the ground around a point that is followed, in a square of so many px."""


def rows_of(found: SmallFeatures) -> dict[str, Tensor]:
    size = found.low.shape[-2:]
    high = resized(found.high, size)
    return {
        "encoder, 1/8": merged(found.low),
        "encoder, 1/16": merged(high),
        "both, not fused": merged(found.low, high),
        "fused geometric": found.of_task("geometric"),
        "fused semantic": found.of_task("semantic"),
        "fused both": found.of_task("temporal"),
        "fused both + third": found.of_task(),
    }


@dataclass(frozen=True)
class Errors:
    """Of one row, px, an array a pair."""

    nearest: list[np.ndarray]
    """Of all visible cells of fixed."""
    mutual: list[np.ndarray]
    """Of those that their nearest cell chooses as well."""


@torch.inference_mode()
def measured(network: MatchaSmall, source: PairSource, count: int, size: int) -> dict[str, Errors]:
    errors: dict[str, Errors] = {}
    for number in range(count // 4):
        batch = draw_pairs(Mixture([source]), 4, size, device_rng("cpu", SEED, number), DIFFICULTY)
        fixed, moving = rows_of(network(batch.fixed)), rows_of(network(batch.moving))
        places, seen = _truth(batch)
        for name in fixed:
            row = errors.setdefault(name, Errors([], []))
            for i in range(len(batch)):
                here, there = fixed[name][i], moving[name][i]
                cells = seen[i].flatten().nonzero()[:, 0]
                best = (here.flatten(1)[:, cells].T @ there.flatten(1)).argmax(1)
                row.nearest.append(_distance(best, places[i, cells], size))
                one, other = mutual_nearest(here, there, seen[i], torch.ones_like(seen[i]))
                row.mutual.append(_distance(other, places[i, one], size))
    return errors


def _truth(batch: TrainingPairs) -> tuple[Tensor, Tensor]:
    """(B, N, 2) px of moving where the cells of fixed lie, and (B, h, w) bool whether they are seen."""
    side = batch.fixed.shape[-1] // STRIDE
    cells = STRIDE * centres(torch.arange(side**2), side)
    places, seen = true_places(batch, cells.expand(len(batch), -1, -1))
    return places, seen.unflatten(1, (side, side))


def _distance(cells: Tensor, places: Tensor, size: int) -> np.ndarray:
    return (STRIDE * centres(cells, size // STRIDE) - places).norm(dim=1).numpy()


class RowFeature:
    """A row as `xmatch.networks.matcha.features.Feature`.

    Args:
        kept: what was made of images before, for the rows of one film.
    """

    def __init__(self, network: MatchaSmall, name: str, kept: dict[bytes, dict[str, Tensor]]) -> None:
        self._network, self.name, self._kept = network, name, kept

    @torch.inference_mode()
    def __call__(self, images: Tensor, task: Task) -> Tensor:
        key = images.numpy().tobytes()
        if key not in self._kept:
            self._kept[key] = rows_of(self._network(images.mean(1, keepdim=True)))
        return self._kept[key][self.name]


def tracked(network: MatchaSmall, count: int, side: int) -> dict[str, np.ndarray]:
    """Row -> (AJ, mean accuracy of positions, of visibility), percent, means over films.

    Args:
        side: of the frames as features see them; they are drawn with 256 px, which TAP-Vid's thresholds are for.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number in range(count):
        host = np.random.default_rng((SEED, number))
        film = draw_film(SIDE, FRAMES, host)
        points = _chosen(film[0], host)
        truth = [followed(film[0], frame, points) for frame in film]
        true_xy, true_visible = (np.stack([frame[i] for frame in truth], 1) for i in (0, 1))
        frames = [_seen(frame, side) for frame in film]
        kept: dict[bytes, dict[str, Tensor]] = {}
        for name in ROWS:
            way = list(track_points(RowFeature(network, name, kept), frames[0], frames, points))
            xy, visible = np.stack([w.xy for w in way], 1), np.stack([w.visible for w in way], 1)
            judged = tap_vid(xy, visible, true_xy, true_visible)
            numbers = judged.average_jaccard, judged.average_position_accuracy, judged.occlusion_accuracy
            found.setdefault(name, []).append(numbers)
    return {name: np.mean(rows, 0) for name, rows in found.items()}


def _chosen(first: Figure, host: np.random.Generator) -> np.ndarray:
    """(N, 2) px of the first frame."""
    mean, square = (cv2.blur(image, (AROUND_PX, AROUND_PX)) for image in (first.image, first.image**2))
    textured = np.sqrt(np.maximum(square - mean**2, 0)) > TEXTURE
    inner = np.zeros(first.part.shape, bool)
    inner[8:-8, 8:-8] = True
    places = []
    for where in (first.part >= 0, (first.part < 0) & textured):
        rows, columns = np.nonzero(where & inner)
        chosen = host.permutation(len(rows))[: POINTS // 2]
        places.append(np.stack([columns[chosen], rows[chosen]], 1) + 0.5)
    return np.concatenate(places)


def _seen(frame: Figure, side: int) -> Seen:
    image = cv2.resize(frame.image, (side, side), interpolation=cv2.INTER_AREA)
    return Seen("", np.repeat(image[..., None], 3, -1), np.ones(image.shape, bool), frame.part.shape[::-1])


ROWS = ("encoder, 1/8", "encoder, 1/16", "both, not fused", "fused geometric", "fused semantic", "fused both")
ROWS = (*ROWS, "fused both + third")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--films", type=int, default=12)
    parser.add_argument("--size", type=int, default=96, help="px of pairs")
    parser.add_argument("--film-side", type=int, default=SMALL_SIDES["temporal"], help="px that features see frames at")
    options = parser.parse_args()
    torch.manual_seed(0)
    network = MatchaSmall(SMALL_SIZES["matcha-small"]) if options.untrained else load_network(options.weights).network
    assert isinstance(network, MatchaSmall)
    network.eval()
    scene, kind = (
        measured(network, source, options.pairs, options.size)
        for source in (Shapes(Sensors(["curves", "infrared"])), Things())
    )
    films = tracked(network, options.films, options.film_side)
    cells = [sum(map(len, part[ROWS[0]].nearest)) for part in (scene, kind)]
    print(f"{cells[0]} cells of scenes, {cells[1]} of figures, {options.films} films of {FRAMES} frames\n")
    print("| feature | one scene: within 8 px, MMA | one kind: within 8 px, PCK@0.1 | films: AJ, positions, hidden |")
    print("| --- | --- | --- | --- |")
    for row in ROWS:
        near = [100 * np.mean(np.concatenate(part[row].nearest) < STRIDE) for part in (scene, kind)]
        mma = mean_matching_accuracy(scene[row].mutual).mean()
        right = pck([errors / options.size for errors in kind[row].nearest], (0.1,)).per_point[0]
        track = " / ".join(f"{number:.1f}" for number in films[row])
        print(f"| {row} | {near[0]:.1f} / {mma:.1f} | {near[1]:.1f} / {right:.1f} | {track} |")


if __name__ == "__main__":
    main()
