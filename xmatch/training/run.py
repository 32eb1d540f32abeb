"""One training run while it lasts: what a checkpoint holds, and the step that changes it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from xmatch.errors import ModelError
from xmatch.networks.base import Objective
from xmatch.synth.pairs import TrainingPairs
from xmatch.training.averaging import moving_average
from xmatch.training.distributed import Processes
from xmatch.training.phases import Phases
from xmatch.training.recipe import OptimiserSpec, RunRecipe
from xmatch.training.schedule import learning_rate

MOST_SKIPPED = 3
"""Steps in a row whose loss or gradient is not finite, before the run stops. Not tuned."""

GRADIENT = "gradient_norm"


class RunPart(Protocol):
    """What else a run must remember to go on."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings, and lists and dicts of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""


class Run:
    """Model, averaged weights, optimiser and counters.

    Args:
        recipe: of the run.
        objective: what is trained.
        config: of the network.
        device: where.
        processes: this process among the others.
        parts: name -> what goes into checkpoints beside the network and the optimiser.

    Raises:
        UsageError: the config does not fit.
    """

    def __init__(
        self,
        recipe: RunRecipe,
        objective: Objective,
        config: dict[str, Any],
        device: torch.device,
        processes: Processes,
        parts: Mapping[str, RunPart] | None = None,
    ) -> None:
        self.recipe, self.objective, self.config = recipe, objective, config
        self.device, self.processes, self.parts = device, processes, dict(parts or {})
        seed_everything(recipe.seed)
        self.model = objective.build(config).to(device).train()
        self.average = moving_average(self.model, recipe.average_decay)
        self.optimiser = make_optimiser(self.model, recipe.optimiser, device)
        self._shares = [group["lr"] / recipe.optimiser.lr for group in self.optimiser.param_groups]
        self.step = 0
        """Steps done."""
        self.seconds = 0.0
        """Of training, sessions before this one included."""
        self.skipped = 0
        """Steps whose loss or gradient was not finite, in a row up to now."""
        self.sums: dict[str, float] = {}
        """Of losses and gradient norm since the last report, over so many steps as `counted` says."""
        self.counted: dict[str, int] = {}
        self._wrapped = processes.wrapped(self.model, device, partly=any(stage.finest > 1 for stage in recipe.stages))
        self._buffers = [b for b in self.model.buffers() if b.is_floating_point()]
        self._kept = [b.clone() for b in self._buffers]
        self._bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")

    def advance(self, batch: TrainingPairs, phases: Phases, while_busy: Callable[[], object] = lambda: None) -> None:
        """One step on one batch.

        Args:
            batch: the batch of number `step`, on the device.
            phases: where the time goes.
            while_busy: called when the device has its work and this process would wait.

        Raises:
            ModelError: the loss has not been finite for more than `MOST_SKIPPED` steps.
        """
        seed_everything(self.recipe.seed, self.processes.rank, self.step)
        rate = learning_rate(self.recipe.optimiser, self.step, self.recipe.steps)
        for group, share in zip(self.optimiser.param_groups, self._shares, strict=True):
            group["lr"] = share * rate
        _copy(self._kept, self._buffers)
        stage = self.recipe.stage_at(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            parts = self.objective.step(self._wrapped, batch, finest=stage.finest)
        phases.end("forward")
        self.optimiser.zero_grad(set_to_none=True)
        parts["total"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.clip)
        phases.end("backward")
        reported = torch.stack([*(p.detach().float() for p in parts.values()), norm.float()])
        while_busy()
        numbers = dict(zip((*parts, GRADIENT), self.processes.averaged(reported).tolist(), strict=True))
        if all(map(math.isfinite, numbers.values())):
            self.optimiser.step()
            self.average.update_parameters(self.model)
            self.skipped = 0
            for name, value in numbers.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counted[name] = self.counted.get(name, 0) + 1
        else:
            _copy(self._buffers, self._kept)
            self.skipped += 1
            if self.skipped > MOST_SKIPPED:
                bad = ", ".join(name for name, value in numbers.items() if not math.isfinite(value))
                raise ModelError(
                    f"step {self.step}: {bad} not finite, for {self.skipped} steps in a row",
                    hint="lower optimiser.lr, or precision: fp32",
                )
        phases.end("optimiser")
        self.step += 1

    def means(self) -> dict[str, float]:
        """Means of losses and gradient norm since the last call, each over the steps that had it."""
        found = {name: value / self.counted[name] for name, value in self.sums.items()}
        self.sums, self.counted = {}, {}
        return found

    def averaged_model(self) -> nn.Module:
        """The network with the averaged weights, in evaluation mode; it changes with every step."""
        model: nn.Module = self.average.module
        return model

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Begin with these weights, the average too.

        Args:
            tensors: a state dict of the network.
        """
        self.model.load_state_dict(dict(tensors))
        self.average = moving_average(self.model, self.recipe.average_decay)

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and JSON."""
        return {
            "architecture": self.objective.architecture,
            "config": json.dumps(self.config),
            "recipe": json.dumps(self.recipe.as_dict()),
            "digest": self.recipe.digest(),
            "processes": self.processes.count,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "sums": self.sums,
            "counted": self.counted,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }

    def small_state_dict(self) -> dict[str, Any]:
        """A fourth of that: weights in half precision where it can hold them, and nothing of the optimiser.

        A run that goes on from it is not the same to the bit; the moments are those of the last 1 / (1 - beta) steps.
        """
        state = self.state_dict()
        return {**state, "model": halved(state["model"]), "average": halved(state["average"]), "optimiser": None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Raises:
            ModelError: the state is that of another network.
        """
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            if state["optimiser"] is not None:
                self.optimiser.load_state_dict(state["optimiser"])
            for name, part in self.parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"does not fit the network: {reason}", hint="--no-resume begins anew") from None
        self.step, self.skipped = int(state["step"]), int(state["skipped"])
        self.seconds = float(state["seconds"])
        self.sums, self.counted = dict(state["sums"]), dict(state["counted"])


def make_optimiser(model: nn.Module, spec: OptimiserSpec, device: torch.device) -> torch.optim.AdamW:
    """AdamW; biases and the scales of normalisations are not decayed."""
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim <= 1, spec.lr_of(name)), []).append(parameter)
    found = [
        {"params": groups[key], "lr": key[1], "weight_decay": 0.0 if key[0] else spec.weight_decay}
        for key in sorted(groups)
    ]
    return torch.optim.AdamW(found, lr=spec.lr, betas=spec.betas, fused=device.type == "cuda")


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating tensors as float16, unless it cannot hold them."""
    most = torch.finfo(torch.float16).max
    fits = {name: v.is_floating_point() and bool((v.abs() <= most).all()) for name, v in tensors.items()}
    return {name: v.half() if fits[name] else v for name, v in tensors.items()}


def seed_everything(*numbers: int) -> None:
    """Seed the generators of torch, numpy and Python that layers such as dropout draw from.

    Done before every step, so that a run that goes on needs no saved generator.
    """
    state = np.random.SeedSequence(numbers).generate_state(3)
    torch.manual_seed(int(state[0]))
    np.random.seed(state[1])
    random.seed(int(state[2]))


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(targets, sources)
