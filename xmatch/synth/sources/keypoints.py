"""Photographs of two things of one kind with keypoints that people marked: SPair-71k and PF-PASCAL as published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from xmatch.coords import pixel_centres, to_normalised
from xmatch.datasets import pf, spair
from xmatch.datasets.sample import LandmarkTruth, Sample, Truth
from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned
from xmatch.synth.sources.crops import to_tensor
from xmatch.synth.sources.files import ImagePart, Images, decode
from xmatch.synth.sources.squares import both, steady
from xmatch.synth.sources.things import THING

REACH_PX = 8.5
"""How far around a keypoint px are taken to correspond: half the diagonal of a cell of 8 px seen from somewhat further
away, and the px beside it, so that features at 1/8 have a cell there."""
PHOTO_SHARE = (0.7, 1.0)
"""Side of the photograph over that of the square, which a pair sees about two thirds of; around it is nothing."""
MOST_PX = 10**5
"""Longest side of a photograph: any."""
MOST_ZOOM = 3.0
"""Of one thing against the other, as far as its keypoints' spread is believed."""


class Keypoints:
    """Pairs of things of one kind; the flow leads from the surroundings of each keypoint to those of its partner, and
    nothing is known elsewhere. Photographs become squares, as features see them in published evaluations, in the
    middle of what is drawn; half of the pairs are mirrored.

    Args:
        samples: pairs with a `LandmarkTruth`, positions in px of the files.

    Raises:
        InputError: no pair.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        if not samples:
            raise InputError("no pairs of things with keypoints")
        self._truths: dict[tuple[ImagePart, ...], Truth | None] = {
            (sample.fixed, sample.moving): sample.truth for sample in samples
        }
        # Whole: keypoints are px of the files.
        self.images = Images(decode=partial(decode, longest_px=MOST_PX))

    @classmethod
    def below(cls, folder: str | Path) -> Keypoints:
        """The training pairs of SPair-71k or PF-PASCAL, whichever the folder holds.

        Raises:
            InputError: neither, or annotations that cannot be read.
        """
        root = Path(folder)
        if spair.has_training(root):
            return cls(spair.read_training(root))
        if pf.has_training(root):
            return cls(pf.read_pascal_training(root))
        hint = f"{spair.ROOT}/{spair.TRAINING}/*.json of SPair-71k, or {' or '.join(pf.TRAINING_LISTS)} of PF-PASCAL"
        raise InputError("no training pairs with keypoints there", hint=hint, path=root)

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        drawn = [self._pair(size, host) for _ in range(count)]
        first, second = (to_tensor([pair[i] for pair in drawn], rng.device) for i in (0, 1))
        masks = (torch.from_numpy(np.stack([pair[i] for pair in drawn])).to(rng.device) for i in (2, 3, 5))
        first_valid, second_valid, known = masks
        flow = torch.from_numpy(np.stack([pair[4] for pair in drawn])).to(rng.device)
        return Aligned(
            first,
            second,
            first_valid[:, None],
            second_valid[:, None],
            ((THING, THING),) * count,
            tuple(pair[6] for pair in drawn),
            flow,
            known,
        )

    def _pair(self, size: int, host: np.random.Generator) -> tuple:
        """Two squares, what of them is valid, flow (S, S, 2), where it is known (S, S), the first file's name."""
        paths, images = self.images.pick(list(self._truths), host)
        truth = self._truths[paths]
        assert isinstance(truth, LandmarkTruth)
        order, mirrored = (0, 1) if host.random() < 0.5 else (1, 0), host.random() < 0.5
        squares, valid, places = [], [], []
        for i in order:
            share = (truth.fixed_xy, truth.moving_xy)[i] / images[i].shape[1::-1]
            image = images[i]
            if mirrored:
                share, image = share * (-1.0, 1.0) + (1.0, 0.0), np.ascontiguousarray(image[:, ::-1])
            side = round(size * host.uniform(*PHOTO_SHARE))
            border = (size - side) // 2
            squares.append(_framed(_square(image, side), border, size))
            valid.append(_framed(np.ones((side, side), bool), border, size))
            places.append(share * side + border)
        flow, known = around_keypoints(places[0], places[1], size)
        return *squares, *valid, flow, known & valid[0], paths[order[0]].name


def around_keypoints(first_xy: np.ndarray, second_xy: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What keypoints say of the px around them: each px goes with the nearest keypoint, and lies as far from its
    partner as from it, by as much more or less as the second thing's keypoints lie further apart.

    Args:
        first_xy: (N, 2) px of a square of `size` px, N at least 1.
        second_xy: (N, 2) px of another, the n-th shows what the n-th of the first shows.

    Returns:
        (S, S, 2) float32 normalised places in the second, and (S, S) bool: they are to be believed.
    """
    spreads = [np.sqrt(((xy - xy.mean(0)) ** 2).sum(1).mean()) for xy in (first_xy, second_xy)]
    zoom = np.clip(spreads[1] / spreads[0], 1 / MOST_ZOOM, MOST_ZOOM) if min(spreads) > 0 else 1.0
    own = pixel_centres(size, size)
    there, least = np.zeros_like(own), np.full((size, size), np.inf)
    for here, partner in zip(first_xy, second_xy, strict=True):
        distance = ((own - here) ** 2).sum(-1)
        nearer = distance < least
        least[nearer] = distance[nearer]
        there[nearer] = partner + zoom * (own[nearer] - here)
    known = (least <= REACH_PX**2) & both((there > 0) & (there < size)) & steady(there)
    return to_normalised(there, size, size).clip(-1e3, 1e3).astype(np.float32), known


def _square(image: np.ndarray, size: int) -> np.ndarray:
    how = cv2.INTER_AREA if min(image.shape[:2]) > size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how)


def _framed(image: np.ndarray, border: int, size: int) -> np.ndarray:
    """(size, size[, 3]) with the image in the middle, 0 around it."""
    framed = np.zeros((size, size, *image.shape[2:]), image.dtype)
    framed[border : border + len(image), border : border + len(image)] = image
    return framed
