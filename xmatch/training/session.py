"""What surrounds every run: its folder, held against others; threads and precision; want of memory, told in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from xmatch.errors import OutputError, ResourceError, UsageError, is_out_of_memory
from xmatch.training.distributed import Processes
from xmatch.training.recipe import Precision, RunRecipe


def check_same(state: dict[str, Any], recipe: RunRecipe, processes: Processes, folder: Path) -> None:
    """
    Raises:
        UsageError: a checkpoint is that of another recipe, or of another number of processes.
    """
    if state["digest"] != recipe.digest():
        raise UsageError(
            "this folder holds a run of another recipe or seed",
            hint="name another --output, or --no-resume to replace it",
            path=folder,
        )
    if state["processes"] != processes.count:
        raise UsageError(
            f"this run was begun with {state['processes']} processes, now there are {processes.count}",
            hint=f"torchrun --nproc_per_node={state['processes']}, or --no-resume to begin anew",
            path=folder,
        )


@contextlib.contextmanager
def held_folder(folder: Path, processes: Processes) -> Iterator[Path]:
    """The folder of the run, made and held against other runs by the first process."""
    import filelock

    if not processes.writes:
        processes.wait()
        yield folder
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError("another run is training in this folder", path=folder) from None
    except OSError as error:
        raise OutputError(f"cannot be the folder of a run: {error.strerror}", path=folder) from error
    try:
        processes.wait()
        yield folder
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def memory_errors_explained(recipe: RunRecipe) -> Iterator[None]:
    """Want of memory, told with what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        is_gpu = isinstance(error, torch.cuda.OutOfMemoryError)
        largest = max(recipe.stages, key=lambda stage: stage.batch * stage.size**2)
        raise ResourceError(
            f"out of {'GPU' if is_gpu else 'host'} memory; the largest stage has {largest.batch} pairs of "
            f"{largest.size} px",
            hint="lower batch or size of that stage, or choose precision: bf16",
        ) from error


def set_up(device: torch.device, threads: int | None, precision: Precision) -> None:
    """Threads, and what a GPU may round to TF32: what bfloat16 leaves in single precision, with "fp32" nothing."""
    if threads:
        import cv2

        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    if device.type == "cuda":
        rounds = precision != "fp32"
        torch.set_float32_matmul_precision("high" if rounds else "highest")
        torch.backends.cudnn.allow_tf32 = rounds
        torch.backends.cudnn.benchmark = True
