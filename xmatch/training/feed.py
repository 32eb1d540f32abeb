"""Batches by their number: batch k is a function of (recipe, rank, k), whoever draws it and whenever.

So a run that goes on needs no replay, and a process that draws ahead changes nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from xmatch.errors import ResourceError, XmatchError
from xmatch.synth.makers import open_makers, spare_cores
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.recipe import STORED, Loaders, build_mixture
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.worlds import SceneMaker
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.schedule import difficulty_at

Draw = Callable[[int], TrainingPairs]


def batches(
    recipe: PretrainRecipe,
    folder: str | os.PathLike,
    rank: int,
    device: torch.device | str,
    maker: SceneMaker | None = None,
) -> Draw:
    """A function from the number of a batch to that batch, on `device`.

    Args:
        maker: of the scenes of worlds; None: they are made when they are needed.

    Raises:
        InputError, UsageError: as `build_mixture`.
    """
    loaders = Loaders()
    mixtures = {data: build_mixture(data, folder, loaders) for data in map(recipe.data_of, recipe.stages)}
    if maker is not None:
        for mixture in mixtures.values():
            mixture.make_with(maker)

    def draw(number: int) -> TrainingPairs:
        stage = recipe.stage_at(number)
        mixture = mixtures[recipe.data_of(stage)]
        difficulty = difficulty_at(recipe.curriculum, number, recipe.steps)
        mixture.go_to(number, recipe.seed, rank)
        return draw_pairs(mixture, stage.batch, stage.size, device_rng(device, recipe.seed, rank, number), difficulty)

    return draw


class Feed(Protocol):
    def is_ready(self, number: int, seconds: float) -> bool:
        """Whether batch `number` can be taken without waiting, after waiting for it so long at most. True where it is
        drawn when it is taken."""

    def take(self, number: int) -> TrainingPairs:
        """Batch `number`, on the device of the training."""

    def prepare(self, number: int) -> None:
        """This batch will be asked for next: time to draw it while the device is busy."""


class Inline:
    """Draws in this process. On a GPU in a thread and a stream of its own, beside the training's.

    Launches are what drawing costs: the thread makes them while the training's thread waits in its backward pass.
    Whoever draws waits now and then for a number from the device; in a stream of its own that wait does not include
    the training step that is under way.
    """

    def __init__(self, draw: Draw, device: torch.device) -> None:
        self._draw = draw
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._beside = ThreadPoolExecutor(1, "drawing") if self._stream is not None else None
        self._ready: tuple[int, Future[TrainingPairs]] | None = None

    def _drawn(self, number: int) -> TrainingPairs:
        with torch.cuda.stream(self._stream):
            return self._draw(number)

    def is_ready(self, number: int, seconds: float) -> bool:
        return True

    def prepare(self, number: int) -> None:
        if self._beside is not None:
            self._ready = number, self._beside.submit(self._drawn, number)

    def take(self, number: int) -> TrainingPairs:
        if self._stream is None:
            return self._draw(number)
        if self._ready is None or self._ready[0] != number:
            self.prepare(number)
        assert self._ready is not None
        pairs = self._ready[1].result()
        self._ready = None
        training = torch.cuda.current_stream()
        training.wait_stream(self._stream)
        for field in fields(pairs):
            value = getattr(pairs, field.name)
            if isinstance(value, Tensor):
                value.record_stream(training)  # or its memory would be used again while the training reads it
        return pairs


class Beside:
    """A process of its own with one thread draws the next batch while this one trains.

    Batches come through a pipe as arrays, not through shared memory, which containers keep small.
    """

    def __init__(self, connection: Connection, device: torch.device) -> None:
        self._connection = connection
        self._device = device
        self._asked: int | None = None

    def is_ready(self, number: int, seconds: float) -> bool:
        try:
            if self._asked is None:
                self._ask(number)
            return self._connection.poll(seconds)
        except OSError:
            return True  # `take` says what is wrong

    def _ask(self, number: int) -> None:
        self._connection.send(number)
        self._asked = number

    def prepare(self, number: int) -> None:
        """Nothing: the other process has been asked when the last batch was taken."""

    def take(self, number: int) -> TrainingPairs:
        """
        Raises:
            ResourceError: the process is gone.
            XmatchError: what drawing raised there.
        """
        try:
            if self._asked is None:
                self._ask(number)
            elif self._asked != number:
                raise ValueError(f"batches come in order: asked for {self._asked} before, now for {number}")
            answer = self._connection.recv()
            self._ask(number + 1)
        except (EOFError, OSError):
            raise ResourceError(
                f"the process that draws training pairs ended at batch {number}; was it killed for want of memory?",
                hint="free memory, or set feed: inline in the recipe",
            ) from None
        if isinstance(answer, XmatchError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(f"drawing batch {number} failed:\n{answer}")
        return TrainingPairs(**{k: _tensor(v) for k, v in answer.items()}).to(self._device)


@contextlib.contextmanager
def open_maker(recipe: PretrainRecipe, device: torch.device, processes: int = 1) -> Iterator[SceneMaker | None]:
    """The processes that a recipe wants its scenes made by; None: scenes are made where pairs are drawn.

    Args:
        processes: that train on this machine and share its cores.
    """
    count = 0
    if _draws_inline(recipe, device) and any(spec.kind in STORED for spec in recipe.all_data):
        on_gpu = max(1, spare_cores() // processes) if device.type == "cuda" else 0
        count = on_gpu if recipe.makers is None else recipe.makers
    if not count:
        yield None
        return
    with open_makers(count, pinned=device.type == "cuda") as maker:
        yield maker


@contextlib.contextmanager
def open_feed(
    recipe: PretrainRecipe,
    folder: str | os.PathLike,
    rank: int,
    device: torch.device,
    maker: SceneMaker | None = None,
) -> Iterator[Feed]:
    """The feed that a recipe asks for.

    Args:
        maker: as `batches`, of a feed that draws in this process.

    Raises:
        InputError, UsageError: the data cannot be used.
    """
    draw = batches(recipe, folder, rank, device, maker)  # also tells at once what is wrong with the data
    if _draws_inline(recipe, device):
        yield Inline(draw, device)
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, recipe, str(Path(folder)), rank), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Beside(ours, device)
    finally:
        ours.close()
        process.terminate()
        process.join(10)


def _draws_inline(recipe: PretrainRecipe, device: torch.device) -> bool:
    return recipe.feed == "inline" or (recipe.feed == "auto" and device.type != "cpu")


def _serve(connection: Connection, recipe: PretrainRecipe, folder: str, rank: int) -> None:
    """Answer numbers with batches until the pipe closes."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the other process decides
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        draw = batches(recipe, folder, rank, "cpu")
        while True:
            number = connection.recv()
            answer: Any
            try:
                pairs = draw(number)
                answer = {f.name: _array(getattr(pairs, f.name)) for f in fields(pairs)}
            except XmatchError as error:
                answer = error
            except Exception:
                answer = traceback.format_exc()
            connection.send(answer)


def _array(value: Any) -> Any:
    return ("tensor", value.numpy()) if isinstance(value, Tensor) else value


def _tensor(value: Any) -> Any:
    is_tensor = isinstance(value, tuple) and len(value) == 2 and value[0] == "tensor"
    return torch.from_numpy(value[1]) if is_tensor else value
