"""Several processes as torchrun starts them, or one alone: the same calls for both."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn

from xmatch.ops.devices import resolved

TIMEOUT = timedelta(minutes=30)
"""A rank that waits longer than this for another one ends: long enough for a validation on a slow machine."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """One process writes files and talks."""
        return self.rank == 0

    def averaged(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes, on each of them."""
        if self.count > 1:
            values = values.clone()
            torch.distributed.all_reduce(values)
            values /= self.count
        return values

    def any_of(self, flags: Sequence[bool], device: torch.device) -> list[bool]:
        """Each flag, true if it is so in any process: all processes hear the same."""
        if self.count == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.uint8, device=device)
        torch.distributed.all_reduce(raised, torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def wrapped(self, model: nn.Module, device: torch.device, *, partly: bool = False) -> nn.Module:
        """A model whose backward pass averages gradients over the processes; `partly`: some steps train parts."""
        if self.count == 1:
            return model
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, find_unused_parameters=partly)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            torch.distributed.barrier()


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu", "cuda" or "cuda:N" as a device; under torchrun each process takes the GPU of its local rank.

    Raises:
        UsageError: CUDA is asked for and not there, or the name is none of these.
    """
    name = resolved(name)
    return torch.device(resolved(f"cuda:{os.environ.get('LOCAL_RANK', 0)}") if name == "cuda" else name)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the other processes that torchrun has started, if it has."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes()
        return
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Processes(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()
