"""One mixture that `gpu_trials` tries, and the scenes that it shares with the others."""

from __future__ import annotations

import json
import math
import threading
import zlib
from pathlib import Path
from typing import Any

import torch

from xmatch.io.weights.files import load_state, load_weights
from xmatch.networks.registry import load_objective
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.recipe import build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.scenes import Job, StoredScene
from xmatch.synth.sources.worlds import SceneMaker, Worlds
from xmatch.training.distributed import Processes
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.run import Run

FREE = ("Apache-2.0", "BSD-3-Clause")
"""Licences of weights that may be shipped."""
KEPT_SCENES = 4000


class Shared:
    """A `SceneMaker` that keeps what it gave, on the device: what one trial has drawn from, the next one has too."""

    def __init__(self, maker: SceneMaker, device: torch.device) -> None:
        self.ahead = maker.ahead
        self._maker, self._device = maker, device
        self._kept: dict[Job, StoredScene] = {}
        self._lock = threading.Lock()

    def ask(self, job: Job) -> None:
        with self._lock:
            if job not in self._kept:
                self._maker.ask(job)

    def take(self, job: Job) -> StoredScene:
        with self._lock:
            if job not in self._kept:
                self._kept[job] = self._maker.take(job).to(self._device)
                if len(self._kept) > KEPT_SCENES:
                    del self._kept[next(iter(self._kept))]
            return self._kept[job]

    def __len__(self) -> int:
        return len(self._kept)


class Trial:
    """One mixture: its run, and what has been measured of it."""

    def __init__(self, name: str, recipe: PretrainRecipe, data: Path, maker: SceneMaker, session: Any) -> None:
        self.name, self.recipe, self.device = name, recipe, session.device
        objective = load_objective(recipe.model.objective)
        config = objective.config(recipe.model.size, recipe.model.config)
        self.run = Run(recipe, objective, config, session.device, Processes())
        tensors, _ = load_weights(session.options.init)
        load_state(self.run.model, tensors, session.options.init)
        self.run.start_from(self.run.model.state_dict())
        self.mixture = build_mixture(recipe.data, data)
        self.mixture.make_with(maker)
        self.stage = recipe.stages[0]
        self.seconds = 0.0
        self.pairs = 0
        self.best = -math.inf

    def draw(self, number: int) -> TrainingPairs:
        self.go_to(number)
        rng = device_rng(self.device, self.recipe.seed, number)
        return draw_pairs(self.mixture, self.stage.batch, self.stage.size, rng, self.recipe.curriculum.bounds()[1])

    def go_to(self, number: int) -> None:
        """Sources that say the same in two recipes show the same scenes, wherever they stand there."""
        for source, spec in zip(self.mixture.sources, self.recipe.data, strict=True):
            if isinstance(source, Worlds):
                key = json.dumps([spec.kind, spec.folder, spec.names, spec.side, spec.pool, spec.fresh])
                source.go_to(number, self.recipe.seed, zlib.crc32(key.encode()))

    def foresee(self) -> None:
        self.go_to(0)
        self.mixture.foresee(self.stage.size)

    @property
    def free(self) -> bool:
        return self.recipe.licence in FREE
