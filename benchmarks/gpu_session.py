"""What the parts of `gpu_run` share: the recipe, the device, and the minutes that are left."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xmatch.recipe import load_recipe
from xmatch.synth.recipe import STORED, build_mixture
from xmatch.training.distributed import choose_device
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.state import checkpoints

ROOT = Path(__file__).parents[1]
TRAINED = {
    "xmatch-aliked": ROOT / "recipes/pretrain-aliked-gpu.yaml",
    "xmatch-sparse": ROOT / "recipes/pretrain-sparse-gpu.yaml",
    "xmatch-small": ROOT / "recipes/pretrain-small.yaml",
}
"""What --train knows; the first is the default, since it gained most a minute on a CPU (docs/lab-log.md)."""
SHIPPED = ROOT / "xmatch/weights"
TRAINING_SHARE = 0.5
"""Of all minutes, that other parts leave for training: what has not begun by then is left out."""


class Session:
    """What the parts share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.whole = 60 * options.minutes
        self.deadline = time.monotonic() + self.whole
        self.device = choose_device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.found: dict[str, Any] = {"schema": "xmatch.gpu-run/1", "arguments": vars(options) | {"argv": sys.argv[1:]}}
        self.recipe = load_recipe(self._recipe_path(), PretrainRecipe)
        if options.makers is not None:
            self.recipe = dataclasses.replace(self.recipe, makers=options.makers)
        if not self.on_gpu and not options.resume_from:
            self.recipe = rehearsal(self.recipe)
        self.maker: Any = None
        if options.rates_from is not None:
            self.found["rates"] = json.loads(options.rates_from.read_text())["rates"]

    def _recipe_path(self) -> Path:
        """Of a run that goes on: the recipe that it was begun with."""
        if self.options.resume_from is None:
            return TRAINED[self.options.train]
        for name in ("recipe.yaml", "history.csv", "validation.csv"):
            if (self.options.resume_from / name).exists():
                shutil.copy(self.options.resume_from / name, self.options.output / name)
        for path in checkpoints(self.options.resume_from)[:1]:
            shutil.copy(path, self.options.output / path.name)
        return self.options.output / "recipe.yaml"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def within(self, most_s: float) -> float:
        """Seconds for a part that wants `most_s` of nine minutes."""
        return min(most_s, self.whole * most_s / 540)

    @property
    def is_late(self) -> bool:
        """Whether only training may begin."""
        return self.left < TRAINING_SHARE * self.whole

    def foresee(self) -> None:
        """Let the processes begin with the scenes of the first draws, while other parts are at work."""
        mixture = build_mixture(self.recipe.data, self.options.data)
        if self.maker is not None:
            mixture.make_with(self.maker)
            newest = checkpoints(self.options.output)
            step = int(re.search(r"checkpoint-(\d+)", newest[0].name)[1]) if newest else 0
            mixture.go_to(step, self.recipe.seed, 0)
            mixture.foresee(self.recipe.stage_at(step).size)

    def clock(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, function: Callable[[], Any], most_s: float = 1.0) -> float:
        """Mean of one call, over as many as take `most_s`, after two to warm up; on a CPU of one, at least."""
        for _ in range(2 if self.on_gpu else 0):
            function()
        begun, count = self.clock(), 0
        while count < (3 if self.on_gpu else 1) or time.perf_counter() - begun < most_s:
            function()
            count += 1
        return (self.clock() - begun) / count


def rehearsal(recipe: PretrainRecipe) -> PretrainRecipe:
    """The same run, small enough for a CPU."""
    stages = tuple(dataclasses.replace(stage, size=64 + 32 * n, batch=4) for n, stage in enumerate(recipe.stages))
    data, held = (
        tuple(dataclasses.replace(s, pool=8, side=192) if s.kind in STORED else s for s in specs)
        for specs in (recipe.data, recipe.validation.data)
    )
    validation = dataclasses.replace(recipe.validation, pairs=8, data=held)
    optimiser = dataclasses.replace(recipe.optimiser, lr=3e-4, warmup_steps=2)
    small = {"stages": stages, "data": data, "validation": validation, "optimiser": optimiser}
    return dataclasses.replace(recipe, **small, feed="inline", makers=1, log_every=5, checkpoint_minutes=0.3)
