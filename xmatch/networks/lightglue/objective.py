"""LightGlue's training, as Lindenberger et al. 2023 describe it, on keypoints of a detector that stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xmatch.networks.architecture import NetworkObjective, mean_share_within
from xmatch.networks.base import Keypoints
from xmatch.networks.grids import numbers
from xmatch.networks.lightglue.assignment import Points, assignment_loss, assignment_truth
from xmatch.networks.lightglue.network import Glue
from xmatch.networks.lightglue.runner import LightGlueRunner
from xmatch.networks.truth import true_places
from xmatch.synth.pairs import TrainingPairs

POINTS = 256
"""Keypoints an image in training, the strongest. Not tuned."""


class Matching(NetworkObjective):
    """Every layer by its assignment; when to stop early stays as it was."""

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        """See `Architecture.config`; says whose keypoints it is trained on."""
        named = self.companion.name if self.companion else None
        return super().config(size, {"keypoints": named, **changes})

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """See `NetworkObjective.build`.

        Raises:
            ModelError: the detector's descriptors are of another length.
        """
        if self.companion is not None:
            self.companion.check_descriptors(config["input"], self.entry.title)
        network = super().build(config)
        assert isinstance(network, Glue)
        network.token_confidence.requires_grad_(False)
        return network

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        found = [self._keypoints(images, valid) for images, valid in _views(batch)]
        fixed, moving = (_points(keypoints, batch.fixed.device) for keypoints in found)
        first, second = (_descriptors(keypoints) for keypoints in found)
        sides = numbers([batch.fixed.shape[-1], batch.fixed.shape[-2]], batch.fixed)
        a, b = ((points.xy - 0.5 - sides / 2) / (sides.max() / 2) for points in (fixed, moving))
        layers = model({"first": first, "second": second, "first_xy": a, "second_xy": b})
        labels = assignment_truth(fixed, moving, *true_places(batch, fixed.xy))
        losses = torch.stack([assignment_loss(scores, *labels) for scores in layers])
        matched = labels[0].float().sum(2).mean()
        return {"total": losses.mean(), "last": losses[-1].detach(), "matched": matched}

    def scores(self, model: nn.Module, batch: TrainingPairs) -> list[float]:
        """As ever, but of all keypoints of fixed that moving shows: one without a match is a miss."""
        return [mean_share_within(errors) for errors in self._errors(model, batch)]

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At the matches, as registering finds them."""
        return tuple(errors[errors.isfinite()] for errors in self._errors(model, batch))

    def _errors(self, model: nn.Module, batch: TrainingPairs) -> list[Tensor]:
        """Px from each keypoint of fixed that moving shows to its true place, inf without a match; (N,) each."""
        assert self.companion is not None
        device = batch.fixed.device
        runner = LightGlueRunner(model, str(device), self.companion.detector(str(device)))
        fixed, moving = (self._keypoints(images, valid) for images, valid in _views(batch))
        points = _points(fixed, device)
        true_xy, seen = true_places(batch, points.xy)
        found = []
        for number, (a, b) in enumerate(zip(fixed, moving, strict=True)):
            matches = runner.match(a, b)
            row = {tuple(xy): index for index, xy in enumerate(a.xy.tolist())}
            at = torch.tensor([row[tuple(xy)] for xy in matches.fixed_xy.tolist()], dtype=torch.long, device=device)
            place = torch.full_like(true_xy[number], torch.inf)
            place[at] = torch.as_tensor(matches.moving_xy, dtype=place.dtype, device=device)
            wanted = seen[number] & points.usable[number]
            found.append(torch.linalg.vector_norm(place - true_xy[number], dim=-1)[wanted])
        return found

    def _keypoints(self, images: Tensor, valid: Tensor) -> list[Keypoints]:
        """At most `POINTS` an image of a batch (B, 1, H, W)."""
        assert self.companion is not None  # `load_companion` sees to it
        detector = self.companion.detector(str(images.device))
        found = []
        for image, shown in zip(images[:, 0].float().cpu().numpy(), valid[:, 0].cpu().numpy(), strict=True):
            all_of_it = detector(image, shown)
            found.append(Keypoints(all_of_it.xy[:POINTS], all_of_it.descriptors[:POINTS], all_of_it.size))
        return found


def _views(batch: TrainingPairs) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (batch.fixed, batch.fixed_valid), (batch.moving, batch.moving_valid)


def _points(found: Sequence[Keypoints], device: torch.device) -> Points:
    xy = np.zeros((len(found), POINTS, 2), np.float32)
    usable = np.zeros((len(found), POINTS), bool)
    for number, keypoints in enumerate(found):
        xy[number, : len(keypoints.xy)] = keypoints.xy
        usable[number, : len(keypoints.xy)] = True
    return Points(torch.from_numpy(xy).to(device), torch.from_numpy(usable).to(device))


def _descriptors(found: Sequence[Keypoints]) -> Tensor:
    """(B, POINTS, D); zeros where an image has fewer."""
    # A copy: the detector's are made in inference mode, which no gradient passes.
    padded = [nn.functional.pad(k.descriptors.clone(), (0, 0, 0, POINTS - len(k.descriptors))) for k in found]
    return torch.stack(padded)
