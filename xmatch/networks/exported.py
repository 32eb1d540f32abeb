"""Networks as ONNX files, for programs that have no torch: what is written, and how it is held to the network.

torch's tracing exporter writes them where it can: seconds a network, where the one by `torch.export` takes a minute. A
trace keeps whatever was decided while it ran, so nobody relies on it: every part runs in onnxruntime, on other numbers
than it was traced with and, where lengths are free, on others, and what differs from torch is not given out.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.errors import ModelError, UsageError

TOLERANCE = 1e-4
"""Largest difference from torch; of values beyond 1 relative to them."""
OPSETS = (16, 20)
"""First and last version of ONNX's operators that can be written: the first with `GridSample`, and the exporter's
last."""
OPSET = 18
"""Unless another one is asked for."""

Size = tuple[int, int]
"""(height, width) px."""
Examples = Callable[[Size, int], dict[str, Tensor]]
"""(size, seed) -> the inputs of a part, by name."""


@dataclass(frozen=True, eq=False)
class ExportedPart:
    """A part of a network that is run by itself: tensors in, tensors out."""

    name: str
    """Of the part; empty where it is all of the network."""
    module: nn.Module
    """In evaluation mode, on the CPU."""
    examples: Examples
    outputs: tuple[str, ...]
    """Names, in the order in which `module` returns them."""
    multiple: int
    """Sides of images must be multiples of this, px."""
    usual_px: int
    """Side of images unless another size is asked for."""
    free: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Input -> axis -> what its length is called, of axes that may be of any length; empty where sides are baked in."""
    truth: nn.Module | None = None
    """The network as it is, where `module` computes the same in another way; what is written is held to it."""
    traced: bool = True
    """By the quick exporter; else by the other one, for what the quick one does not know."""


@dataclass(frozen=True, eq=False)
class Written:
    """A part as a file."""

    part: ExportedPart
    data: bytes
    inputs: dict[str, list[int | str]]
    """Name -> shape; words stand for free lengths."""
    difference: float
    """The largest one from torch that was seen, as `TOLERANCE` counts it."""


def onnx_file(
    part: ExportedPart, size: Size | None = None, *, opset: int = OPSET, told: Mapping[str, str] | None = None
) -> Written:
    """A part as an ONNX file that answers as torch does.

    Args:
        size: of the images that it is written for; None: the usual one.
        told: what the file says of itself.

    Raises:
        UsageError: a package is missing; no such opset; sides that the network does not take.
        ModelError: it cannot be written with this opset, or what was written answers otherwise than torch.
    """
    onnx, runtime = (needed(name) for name in ("onnx", "onnxruntime"))
    first = OPSETS[0] if part.traced else OPSET  # the slow exporter's first
    if not first <= opset <= OPSETS[1]:
        raise UsageError(f"opset {opset} cannot be written", hint=f"--opset {first} to {OPSETS[1]}")
    size = size or (part.usual_px, part.usual_px)
    if any(side % part.multiple for side in size):
        nearest = " ".join(str(-(-side // part.multiple) * part.multiple) for side in size)
        raise UsageError(f"sides must be multiples of {part.multiple} px, not {size}", hint=f"--size {nearest}")
    examples = part.examples(size, 0)
    try:
        model = onnx.load_from_string(
            _by_trace(part, examples, opset) if part.traced else _by_export(part, examples, opset)
        )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"opset {opset} cannot hold it: {reason}", hint=f"--opset {OPSETS[1]}") from error
    onnx.helper.set_model_props(model, dict(told or {}))
    data = model.SerializeToString()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    checks = [part.examples(size, 1)]
    if part.free:
        checks.append(part.examples((2 * size[0], size[1] + part.multiple), 2))
    difference = max(_difference(part, session, inputs) for inputs in checks)
    if not difference <= TOLERANCE:
        what = f"the {part.name} " if part.name else ""
        raise ModelError(
            f"{what}answers otherwise in onnxruntime than in torch, by {difference:.1e}; wanted is {TOLERANCE:.0e}",
            hint="nothing was written; try another --opset or --size",
        )
    shapes: dict[str, list[int | str]] = {
        name: [part.free.get(name, {}).get(axis, length) for axis, length in enumerate(x.shape)]
        for name, x in examples.items()
    }
    return Written(part, data, shapes, difference)


@torch.no_grad()
def _by_trace(part: ExportedPart, examples: dict[str, Tensor], opset: int) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of every number that a trace keeps
        torch.onnx.export(
            part.module,
            tuple(examples.values()),
            buffer,  # type: ignore[arg-type]  # a file too, which the annotation leaves out
            dynamo=False,
            opset_version=opset,
            input_names=list(examples),
            output_names=list(part.outputs),
            dynamic_axes={name: dict(lengths) for name, lengths in part.free.items()},
        )
    return buffer.getvalue()


@torch.no_grad()
def _by_export(part: ExportedPart, examples: dict[str, Tensor], opset: int) -> bytes:
    needed("onnxscript")
    lengths = {word: torch.export.Dim(word) for axes in part.free.values() for word in axes.values()}
    free = tuple({axis: lengths[word] for axis, word in part.free.get(name, {}).items()} for name in examples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            part.module,
            tuple(examples.values()),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=list(examples),
            output_names=list(part.outputs),
            dynamic_shapes=free,
        )
    assert program is not None
    found: bytes = program.model_proto.SerializeToString()
    return found


@torch.no_grad()
def _difference(part: ExportedPart, session: Any, inputs: dict[str, Tensor]) -> float:
    expected = (part.truth or part.module)(*inputs.values())
    expected = (expected,) if isinstance(expected, Tensor) else expected
    found = session.run(None, {name: x.numpy() for name, x in inputs.items()})
    return max(off(a.numpy(), b) for a, b in zip(expected, found, strict=True))


def off(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference, of values beyond 1 relative to them; infinity where shapes differ, or one is infinite or
    no number and the other is not."""
    if expected.shape != found.shape:
        return math.inf
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite], equal_nan=True) or not np.isfinite(found[finite]).all():
        return math.inf
    a, b = expected[finite].astype(np.float64), found[finite].astype(np.float64)
    return float((np.abs(a - b) / np.maximum(1.0, np.abs(a))).max(initial=0.0))


def needed(package: str) -> ModuleType:
    """A package that comes with `xmatch[onnx]`.

    Raises:
        UsageError: it is not installed, or cannot be imported.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(
            f"exporting needs the package {package}, which cannot be imported ({error})",
            hint="pip install 'xmatch[onnx]'",
        ) from error


def pictures(size: Size, seed: int, channels: int = 1, px: int = 8) -> tuple[Tensor, Tensor]:
    """Two smooth random images (1, C, H, W) in [0, 1], the second moved by `px`: cells that look alike would leave it
    to rounding which of them is taken."""
    height, width = size
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, channels, height // 4 + 4, width // 4 + 4), generator=rng)
    scene = F.interpolate(coarse, (height + 16, width + 16), mode="bicubic", align_corners=False).clamp(0, 1)
    return scene[..., :height, :width].clone(), scene[..., px : px + height, px : px + width].clone()
