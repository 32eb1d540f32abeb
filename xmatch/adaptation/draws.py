"""Batches: random cut-outs of scenes under random warps of both images, with exact truth where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch

from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.scenes import PairScene
from xmatch.synth.pairs import TrainingPairs, look_twice
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources.aligned import Aligned
from xmatch.synth.sources.crops import LEAST_SHARE, to_tensor
from xmatch.synth.warps import BASE_PER_SIDE

LABELLED, UNLABELLED, HELD = 0, 1, 2
"""Streams of random numbers that do not meet."""
CUT_TRIES = 4
"""Cut-outs that show little of both images are drawn again so often. Not tuned."""
LEAST_SHOWN = 0.3
"""Share of a cut-out that both images must show. Not tuned."""


@dataclass(frozen=True, eq=False)
class Unlabelled(TrainingPairs):
    """Pairs whose truth must not be learned from. `covisible` is where it is known all the same, for reports."""


class Batches:
    """Batch 0, 1, ... of an adaptation: labelled and unlabelled in turns, whatever of both there is.

    Args:
        labelled, unlabelled: scenes; not both empty.
        recipe: of the adaptation.
        device: where batches are made.
    """

    def __init__(
        self, labelled: Sequence[PairScene], unlabelled: Sequence[PairScene], recipe: AdaptRecipe, device: torch.device
    ) -> None:
        self._labelled, self._unlabelled, self._recipe, self._device = labelled, unlabelled, recipe, device

    def __call__(self, number: int) -> TrainingPairs:
        of_labelled = bool(self._labelled) and (number % 2 == 0 or not self._unlabelled)
        stream = LABELLED if of_labelled else UNLABELLED
        rng = device_rng(self._device, self._recipe.seed, stream, number)
        scenes = self._labelled if of_labelled else self._unlabelled
        chosen = host_rng(rng).integers(len(scenes), size=self._recipe.batch)
        return draw_scenes([scenes[i] for i in chosen], self._recipe, rng, swap=self._recipe.swap)


def held_batches(scenes: Sequence[PairScene], recipe: AdaptRecipe) -> tuple[TrainingPairs, ...]:
    """The same random views of every scene, whatever is trained: `guard.views` of each, one scene after the other, on
    the CPU."""
    wanted = [scene for scene in scenes for _ in range(recipe.guard.views)]
    parts = [wanted[i : i + recipe.batch] for i in range(0, len(wanted), recipe.batch)]
    return tuple(
        draw_scenes(part, recipe, device_rng("cpu", recipe.seed, HELD, number)) for number, part in enumerate(parts)
    )


def draw_scenes(
    scenes: Sequence[PairScene], recipe: AdaptRecipe, rng: torch.Generator, *, swap: bool = False
) -> TrainingPairs:
    """A random view of each scene; all of them labelled, or none.

    Args:
        swap: in half of the views fixed and moving change places; a truth for the report alone is lost there.
    """
    host = host_rng(rng)
    base_px = 8 * round(BASE_PER_SIDE * recipe.size / 8)
    cuts = [_cut(scene, base_px, host, recipe.flip) for scene in scenes]
    swapped = host.random(len(scenes)) < 0.5 * swap
    cuts = [(c[1], c[0], c[3], c[2], c[4]) if turned else c for c, turned in zip(cuts, swapped, strict=True)]
    first, second = (to_tensor([cut[i] for cut in cuts], rng.device) for i in (0, 1))
    first_valid, second_valid = (
        torch.from_numpy(np.stack([cut[i] for cut in cuts]))[:, None].to(rng.device) for i in (2, 3)
    )
    labelled = scenes[0].labelled
    flow = covisible = None
    if not labelled:
        flow = torch.from_numpy(np.stack([cut[4] for cut in cuts])).to(rng.device)
        has_truth = [scene.places is not None and not turned for scene, turned in zip(scenes, swapped, strict=True)]
        known = torch.tensor(has_truth, device=rng.device)
        covisible = known[:, None, None].expand(flow.shape[:3]) & (flow.abs() < 2).all(-1)
    aligned = Aligned(
        first,
        second,
        first_valid,
        second_valid,
        tuple(("moving", "fixed") if turned else ("fixed", "moving") for turned in swapped),
        tuple(scene.name for scene in scenes),
        flow,
        covisible,
    )
    pairs = look_twice(aligned, recipe.size, rng, host, recipe.difficulty)
    if labelled:
        return pairs
    return Unlabelled(**{f.name: getattr(pairs, f.name) for f in fields(pairs)})


Cut = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _cut(scene: PairScene, size: int, host: np.random.Generator, flip: bool) -> Cut:
    """The same random square of both images as (size, size), both masks, and where its px lie in moving, normalised."""
    height, width = scene.fixed.shape
    for _ in range(CUT_TRIES):
        side = max(1, round(min(height, width) * host.uniform(LEAST_SHARE, 1.0)))
        y, x = int(host.integers(height - side + 1)), int(host.integers(width - side + 1))
        part = np.s_[y : y + side, x : x + side]
        if (scene.fixed_valid[part] & scene.moving_valid[part]).mean() > LEAST_SHOWN:
            break
    images = [_resized(image[part], size) for image in (scene.fixed, scene.moving)]
    masks = [_resized(mask[part].astype(np.float32), size) > 0.999 for mask in (scene.fixed_valid, scene.moving_valid)]
    if scene.places is None:
        line = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
        places = np.stack(np.meshgrid(line, line), -1)
    else:
        places = _resized(scene.places[part], size)
        places = np.clip((places - np.array([x, y], np.float32)) * np.float32(2 / side) - 1, -9, 9)
    if flip and host.random() < 0.5:
        images, masks = ([np.ascontiguousarray(a[:, ::-1]) for a in pair] for pair in (images, masks))
        places = np.ascontiguousarray(places[:, ::-1] * np.array([-1, 1], np.float32))
    return images[0], images[1], masks[0], masks[1], places.astype(np.float32)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    how = cv2.INTER_AREA if len(image) > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=how)
