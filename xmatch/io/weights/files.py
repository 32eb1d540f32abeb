"""Weights on disk: safetensors files that say what they are, how they came about and on what terms they may be used.

Every field of `WeightsMetadata` stands as a JSON string of its own in the file's `__metadata__`, so that other
programs can read it. The same weights and metadata give the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.errors import ModelError, OutputError
from xmatch.io.weights.guard import weights_kind
from xmatch.io.writing.atomic import atomic_write

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = "xmatch.weights/1"


@dataclass(frozen=True)
class WeightsMetadata:
    """What a file of weights says about itself. Everything is JSON: numbers, strings, lists, dicts with string keys."""

    name: str
    """Such as "xmatch-small"."""
    architecture: str
    """What the network is: a key of `xmatch.networks.registry.ARCHITECTURES`, such as "xmatch" or "roma"."""
    licence: str
    """SPDX name of the terms for these weights; "" when nobody has said."""
    config: dict[str, Any] = field(default_factory=dict)
    """Fields of the network's config."""
    data: list[str] = field(default_factory=list)
    """What it was trained on, one source a line, with its licence."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Options of the training, complete."""
    commit: str = ""
    """Version of the code that trained it."""
    step: int | None = None
    """Optimiser steps taken."""
    minutes: float | None = None
    """Training time, wall clock."""
    hardware: str = ""
    """What it was trained on, such as "1 x NVIDIA H200"."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """Measured results, each with what is needed to repeat it."""
    sources: list[dict[str, Any]] = field(default_factory=list)
    """Files these weights were made from: {"file", "sha256"}."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file, without its numbers."""

    shape: tuple[int, ...]
    dtype: str
    """As safetensors spells it: F32, F16, BF16, I64, ..."""

    @property
    def count(self) -> int:
        number = 1
        for length in self.shape:
            number *= length
        return number


def save_weights(
    path: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor],
    metadata: WeightsMetadata,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a safetensors file, complete or not at all.

    Args:
        path: the file.
        state_dict: name -> tensor on any device. Tensors that share memory are written one by one.
        metadata: what the file says about itself.
        half: floating tensors as float16, for files that are shipped; integers stay.
        overwrite: replace an existing file.

    Raises:
        ModelError: a tensor holds NaN, or a number that float16 cannot hold. The old file stays.
        OutputError: it cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    refuse_nan(state_dict, path)
    tensors: dict[str, Tensor] = {}
    memories: set[int] = set()
    for name, tensor in state_dict.items():
        stored = tensor.detach().to("cpu")
        if half and stored.is_floating_point():
            stored = stored.to(torch.float16)
            if stored.isinf().any() and not tensor.isinf().any():
                raise ModelError(f"{name} holds numbers beyond the range of float16", path=path)
        # One memory a tensor: views, tied weights and strided layouts are no business of the file.
        stored, memory = stored.contiguous(), stored.untyped_storage()
        shares = memory.data_ptr() in memories or memory.nbytes() != stored.nbytes
        memories.add(memory.data_ptr())
        tensors[name] = stored.clone() if shares else stored
    with atomic_write(path, overwrite=overwrite, verify=read_metadata) as temporary:
        try:
            save_file(tensors, temporary, metadata=_as_strings(metadata))
        except SafetensorError as error:
            raise OutputError(f"could not be written: {_in_one_line(error)}", path=path) from error
        _sort_header(temporary)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """Tensors on the CPU, in the type they are stored in, and what the file says about itself.

    Raises:
        ModelError: missing, truncated, damaged, no safetensors file, or it holds NaN.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    metadata = read_metadata(path)
    try:
        state_dict = load_file(path)
    except (SafetensorError, OSError, KeyError) as error:
        raise _damaged(path, error) from error
    refuse_nan(state_dict, path)
    return state_dict, metadata


def read_metadata(path: str | os.PathLike[str]) -> WeightsMetadata:
    """What a file says about itself; the numbers are not read. A safetensors file of another program has the name of
    its file, no architecture and no licence.

    Raises:
        ModelError: missing, truncated, damaged, no safetensors file, or written by a newer xmatch.
    """
    return _read_header(path)[0]


def read_entries(path: str | os.PathLike[str]) -> dict[str, TensorEntry]:
    """Name -> shape and type of each tensor, in order of name; the numbers are not read.

    Raises:
        ModelError: as `read_metadata`.
    """
    return _read_header(path)[1]


def load_state(
    network: nn.Module, state_dict: Mapping[str, Tensor], path: str | os.PathLike[str] | None = None
) -> None:
    """Put tensors into a network of exactly their names and shapes; types are converted.

    Raises:
        ModelError: names or shapes differ; says how many, and the first of each kind.
    """
    wanted = network.state_dict()
    common = wanted.keys() & state_dict.keys()
    reshaped = [
        f"{name} {tuple(state_dict[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(common)
        if state_dict[name].shape != wanted[name].shape
    ]
    differences = {
        "missing": sorted(wanted.keys() - common),
        "not expected": sorted(state_dict.keys() - common),
        "of another shape": reshaped,
    }
    found = [f"{len(names)} {what}: {_first(names)}" for what, names in differences.items() if names]
    if found:
        hint = "weights of another architecture or size? see xmatch models info"
        raise ModelError(f"does not fit the network; tensors {'; '.join(found)}", hint=hint, path=path)
    network.load_state_dict(dict(state_dict))


def refuse_nan(state_dict: Mapping[str, Tensor], path: str | os.PathLike[str] | None) -> None:
    """Raise ModelError for NaN in any tensor. Infinities may be meant: masks hold them."""
    bad = [name for name, tensor in state_dict.items() if tensor.is_floating_point() and bool(tensor.isnan().any())]
    if bad:
        raise ModelError(f"NaN in {len(bad)} of {len(state_dict)} tensors: {_first(bad)}", path=path)


def _read_header(path: str | os.PathLike[str]) -> tuple[WeightsMetadata, dict[str, TensorEntry]]:
    from safetensors import SafetensorError, safe_open

    if weights_kind(path) != "safetensors":
        hint = f"xmatch models convert {Path(path).name} {Path(path).stem}.safetensors"
        raise ModelError("is a pickle, which could run code when opened; expected safetensors", hint=hint, path=path)
    try:
        with safe_open(path, framework="np") as file:
            stated = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in sorted(file.keys())}
            entries = {name: TensorEntry(tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    return _from_strings(stated, path), entries


def _as_strings(metadata: WeightsMetadata) -> dict[str, str]:
    values = {"schema": SCHEMA, **dataclasses.asdict(metadata)}
    return {name: json.dumps(value, sort_keys=True, allow_nan=False) for name, value in values.items()}


def _from_strings(stated: Mapping[str, str], path: str | os.PathLike[str]) -> WeightsMetadata:
    if "schema" not in stated:
        return WeightsMetadata(name=Path(path).stem, architecture="", licence="")
    try:
        values = {name: json.loads(text) for name, text in stated.items()}
        schema = values.pop("schema")
        if schema != SCHEMA:
            raise ModelError(f"its metadata are {schema!r}; expected {SCHEMA!r}", hint="update xmatch", path=path)
        known = {f.name for f in dataclasses.fields(WeightsMetadata)}
        return WeightsMetadata(**{name: value for name, value in values.items() if name in known})
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"its metadata cannot be read: {_in_one_line(error)}", path=path) from error


def _sort_header(path: Path) -> None:
    """Metadata come out of the library in the order of a hash map, another one each time. Sorted, the JSON has the
    same length, and offsets in it count from its end."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        ordered = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if len(ordered) > length:
            raise AssertionError("safetensors writes its header otherwise than expected")
        file.seek(8)
        file.write(ordered.ljust(length))


def _damaged(path: str | os.PathLike[str], error: Exception) -> ModelError:
    reason = _in_one_line(error)
    return ModelError(f"is truncated or damaged: {reason}", hint="get the file again", path=path)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
